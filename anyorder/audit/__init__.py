"""Is a decoder exact? Laws on toy nets, texts re-decoded on real ones, draws against their law.

>>> from anyorder import audit
>>> audit.of("prompt_lookup", model=anyorder.load()).verdict
'exact'

`ties` says whether rounding explains where two texts part; the benchmark asks it, too.
"""

from __future__ import annotations

from typing import Any

__all__ = ["of"]


def __getattr__(name: str) -> Any:
    """`of`, imported when it is asked for: the benchmark needs `ties` alone, and `of` needs the benchmark."""
    if name != "of":
        raise AttributeError(name)
    from anyorder.audit.ours import of

    return of
