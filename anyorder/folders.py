"""Where things are kept between starts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from anyorder.errors import UserError


def cache_folder() -> Path:
    """Converted models, measured costs, tables: $ANYORDER_CACHE, or the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ANYORDER_CACHE") or Path(home) / "anyorder")


def writable(out: str) -> Path:
    """The folder of --out, made and found writable before anything slow happens. Raises UserError."""
    folder = Path(out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}); name one that can") from error
    return folder
