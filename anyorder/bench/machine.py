"""Where a number was measured: processor, memory and its bandwidth, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from anyorder.engine.processor import cpu_model

PACKAGE = Path(__file__).parent.parent
READ = 2**29  # bytes read to measure the bandwidth: far more than any cache holds
PACKAGES = ("anyorder", "torch", "transformers", "llama-cpp-python")


def hardware() -> dict[str, Any]:
    """What the nets run on."""
    import torch

    return {
        "cpu": cpu_model(), "cores": cores(), "threads": torch.get_num_threads(), "memory_gb": memory(),
        "bandwidth_gb_s": round(bandwidth() / 1e9, 1), "system": f"{platform.system()} {platform.release()}",
    }  # fmt: skip


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> float | None:
    """GiB of memory; None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


@cache
def bandwidth() -> float:
    """Bytes per second that all threads together read from memory; measured once, the best of several."""
    import torch

    array, seconds = torch.ones(READ // 4), []
    for _ in range(10):
        start = time.perf_counter()
        array.sum()
        seconds.append(time.perf_counter() - start)
    return READ / min(seconds)


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def commit() -> str | None:
    """The package's git commit, with -dirty if files were changed since; None if it is not a checkout."""
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None
    try:
        asked = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
