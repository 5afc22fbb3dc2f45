"""OpenAI-compatible endpoints over the engine, where each request chooses its method; see docs/server.md.

>>> from anyorder.server import Settings, create_app
>>> app = create_app(anyorder.load(), Settings(most=16))
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from anyorder.server.settings import Settings

if TYPE_CHECKING:
    from anyorder.server.app import create_app

__all__ = ["Settings", "create_app"]

# torch reads these when it is imported: it keeps what it compiled for each number of cells, with its scratch,
# a thousand kinds of it, and a server's numbers keep changing
for capacity in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
    os.environ.setdefault(capacity, "64")


def __getattr__(name: str) -> Any:
    """Import on first use: settings are read before a model, and torch, are loaded."""
    if name == "create_app":
        from anyorder.server.app import create_app

        return create_app
    raise AttributeError(f"module 'anyorder.server' has no attribute {name!r}")
