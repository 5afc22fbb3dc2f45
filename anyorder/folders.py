"""Where things are kept between starts."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Converted models, measured costs, tables: $ANYORDER_CACHE, or the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ANYORDER_CACHE") or Path(home) / "anyorder")
