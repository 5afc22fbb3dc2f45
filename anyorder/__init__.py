"""anyorder: one engine for every way of decoding from a language model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyorder.api import Model, Result, load
    from anyorder.engine.engine import Engine
    from anyorder.hf import for_transformers

__version__ = "0.1.0"
__all__ = ["Engine", "Model", "Result", "__version__", "for_transformers", "load"]

# numba takes all cores where it is told nothing, and its threads become torch's; two threads on a core that
# others use, too, take ten times as long as one
if threads := os.environ.get("OMP_NUM_THREADS", "").split(",")[0]:
    os.environ.setdefault("NUMBA_NUM_THREADS", threads)


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import anyorder` and the command's help do not import torch."""
    if name in ("Model", "Result", "load"):
        from anyorder import api

        return getattr(api, name)
    if name == "Engine":
        from anyorder.engine.engine import Engine

        return Engine
    if name == "for_transformers":
        from anyorder.hf import for_transformers

        return for_transformers
    raise AttributeError(f"module 'anyorder' has no attribute {name!r}")
