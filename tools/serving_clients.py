"""`tools/serving.py clients`: a crowd of mixed requests, each compared with what it writes alone."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import psutil

import anyorder
from anyorder.testing.clients import Outcome, Plan, Served, counted, crowd, served, unequal

GROWTH = 0.02  # of memory that is no growth
QUIET = 60.0  # seconds within which a server that nobody asks must be idle


def clients(
    model: str, precision: str, serve: tuple[str, ...], seed: int, clients: int, requests: int,
    warm_up: int, max_tokens: int, leaving: float,
) -> dict[str, Any]:  # fmt: skip
    with served(model, "--precision", precision, *serve) as there:
        started = settled(there)
        warm = asyncio.run(crowd(there.url, clients, warm_up, Plan(seed + 1, max_tokens, leaving)))
        before = settled(there)
        start = time.perf_counter()
        outcomes = asyncio.run(crowd(there.url, clients, requests, Plan(seed, max_tokens, leaving)))
        seconds = time.perf_counter() - start
        after = settled(there)
    counts, growth = counted(outcomes), after / before - 1
    print(f"{len(outcomes)} requests of {clients} clients: {counts}")
    print(f"memory {before / 2**20:.1f} MB before, {after / 2**20:.1f} MB after ({growth:+.2%})", flush=True)
    wrong = compared(model, precision, outcomes)
    figures = {
        "clients": clients, "requests": len(outcomes), "counts": counts, "warm_up": counted(warm),
        "rss_started_mb": round(started / 2**20, 1),
        "compared": counts.get("200", 0), "unequal": len(wrong), "seconds": round(seconds, 1),
        "rss_before_mb": round(before / 2**20, 1), "rss_after_mb": round(after / 2**20, 1),
        "growth": round(growth, 4),
        "other": sorted({o.wrong[:200] for o in outcomes if o.wrong})[:5], "wrong": wrong[:5],
    }  # fmt: skip
    holds = not wrong and not counts.get("other", 0) and abs(growth) <= GROWTH
    print(f"{figures['compared']} texts compared with the same request alone, {len(wrong)} unequal")
    return {**figures, "holds": holds}


def compared(model: str, precision: str, outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Texts that are not what the library writes alone."""
    loaded, known, wrong = anyorder.load(model, precision=precision), dict[str, str](), []
    for i, outcome in enumerate(outcomes, 1):
        wrong += unequal(loaded, [outcome], known)
        if i % 50 == 0 or i == len(outcomes):
            print(f"\ralone {i}/{len(outcomes)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return wrong


def rss(there: Served) -> int:
    """Bytes of memory that the server holds, its children's with it."""
    process = psutil.Process(there.process.pid)
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))


def settled(there: Served) -> int:
    """The server's memory once it does nothing, as its processor time tells. Raises TimeoutError."""
    process, end = psutil.Process(there.process.pid), time.monotonic() + QUIET
    while time.monotonic() < end:
        if process.cpu_percent(1.0) < 5.0:
            return rss(there)
    raise TimeoutError(f"the server is still busy {QUIET:g} s after the last request")
