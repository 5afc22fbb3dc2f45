"""OpenMP's workers, when another thread than the one that loaded a model computes.

Every thread that computes gets workers of its own. Once a process has more of them than cores, libgomp lets
all sleep between two operations instead of waiting awake, and a step of many small ones takes twice as long.
So who hands work to another thread gives up its own workers first; they come back when it computes again.
"""

from __future__ import annotations

import contextlib
import ctypes

HARD = 2  # omp_pause_hard: let go of everything that can be made again


def give_up_workers() -> None:
    """End the idle workers of the calling thread, where the OpenMP library can (5.0, libgomp from 9 on)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).omp_pause_resource_all(HARD)
