"""`tools/serving.py soak`: steady load for long, and whether memory or latency grow."""

from __future__ import annotations

import asyncio
import csv
import math
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import httpx
from serving_clients import rss

from anyorder.testing.clients import Outcome, Plan, Served, counted, crowd, served, tried

SURE = 2.0  # standard errors that a slope must exceed to be above noise
ROUND = 4  # requests of each client while the server's most is found


class Row(NamedTuple):
    """One window."""

    seconds: float  # since the first
    rss: int
    finished: int
    median: float  # seconds of a request
    p95: float


def soak(
    model: str, precision: str, serve: tuple[str, ...], seed: int, minutes: float, clients: int,
    utilisation: float, warm_up: float, window: float, max_tokens: int, out: Path | None,
) -> dict[str, Any]:  # fmt: skip
    plan = Plan(seed, max_tokens, leaving=0.05)
    with served(model, "--precision", precision, *serve) as there:
        for _ in range(2):  # the first round compiles and fills what is kept
            start = time.perf_counter()
            asyncio.run(crowd(there.url, clients, ROUND, plan))
            most = clients * ROUND / (time.perf_counter() - start)
        rate = utilisation * most
        print(f"{most:.2f} requests a second at most; asking for {rate:.2f}", file=sys.stderr)
        rows, outcomes, late = asyncio.run(steady(there, plan, rate, minutes, warm_up, window))
    if out is not None:
        with out.open("w", newline="") as file:
            csv.writer(file).writerows([Row._fields, *rows])
    counts = counted(outcomes)
    grown = {"memory": trend([r.seconds for r in rows], [float(r.rss) for r in rows])}
    busy = [r for r in rows if r.finished]
    grown["latency"] = trend([r.seconds for r in busy], [r.median for r in busy])
    print(f"{len(outcomes)} requests in {minutes:g} minutes at {rate:.2f} a second: {counts}")
    for name, found in grown.items():
        print(
            f"{name}: slope {found['per_hour']:+.2%} of its mean an hour, standard error "
            f"{found['error_per_hour']:.2%}, {'ABOVE' if found['grows'] else 'not above'} noise"
        )
    holds = not counts.get("other", 0) and not late and not any(x["grows"] for x in grown.values())
    return {
        "minutes": minutes, "rate": round(rate, 3), "most": round(most, 3), "utilisation": utilisation,
        "counts": counts, "late": late, "windows": len(rows), **grown,
        "rss_mb": [round(rows[i].rss / 2**20, 1) for i in (0, -1)],
        "latency_median": [round(busy[i].median, 4) for i in (0, -1)],
        "other": sorted({o.wrong[:200] for o in outcomes if o.wrong})[:5], "holds": holds,
    }  # fmt: skip


async def steady(
    there: Served, plan: Plan, rate: float, minutes: float, warm_up: float, window: float
) -> tuple[list[Row], list[Outcome], int]:
    """Requests at a fixed rate, however long answers take; a row for each window after the warm-up. Requests
    that would make more than `inside` at once are not sent, but counted."""
    inside, going, late = 64, set[asyncio.Task[None]](), 0
    outcomes: list[Outcome] = []
    async with httpx.AsyncClient(base_url=there.url, timeout=300) as client:

        async def one() -> None:
            ask, stream, leave = plan.ask(), plan.random.random() < 0.6, plan.leave()
            outcomes.append(await tried(client, ask, stream=stream, leave=leave))

        looking = asyncio.create_task(looked(there, outcomes, minutes * 60, warm_up * 60, window))
        start, sent = time.perf_counter(), 0
        while not looking.done():
            await asyncio.sleep(max(0.0, start + sent / rate - time.perf_counter()))
            sent += 1
            if len(going) >= inside:
                late += 1
                continue
            going.add(task := asyncio.create_task(one()))
            task.add_done_callback(going.discard)
        await asyncio.gather(*going)
        return await looking, outcomes, late


async def looked(
    there: Served, outcomes: list[Outcome], length: float, warm_up: float, window: float
) -> list[Row]:
    """A row for each window."""
    await asyncio.sleep(warm_up)
    start, seen, rows = time.perf_counter(), len(outcomes), list[Row]()
    while (now := (len(rows) + 1) * window) <= length:
        await asyncio.sleep(max(0.0, start + now - time.perf_counter()))
        fresh, seen = outcomes[seen:], len(outcomes)
        times = sorted(o.seconds for o in fresh if o.status == 200 and not o.cancelled)
        middle = median(times) if times else math.nan
        high = times[math.ceil(0.95 * len(times)) - 1] if times else math.nan
        rows.append(Row(now, rss(there), len(times), middle, high))
        print(f"\r{now:.0f} s, {rows[-1].rss / 2**20:.0f} MB, {middle:.3f} s ", end="", file=sys.stderr)
    print(file=sys.stderr)
    return rows


def trend(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """The straight line through figures over time (seconds), its slope as a share of the mean for an hour.

    Neighbouring windows resemble each other, so the standard error is widened by the correlation r of
    neighbouring residuals, as sqrt((1 + r) / (1 - r)). It grows if the slope is above `SURE` errors;
    `over_run` is what that makes from the first window to the last, as a share of the mean.
    """
    if len(x) < 4:
        raise ValueError(f"{len(x)} windows; a slope with its error needs 4 or more; run for longer")
    mean, middle = fmean(y), fmean(x)
    spread = sum((a - middle) ** 2 for a in x)
    slope = sum((a - middle) * (b - mean) for a, b in zip(x, y)) / spread
    off = [b - mean - slope * (a - middle) for a, b in zip(x, y)]
    total = sum(o * o for o in off)
    r = sum(a * b for a, b in pairwise(off)) / total if total else 0.0
    r = min(0.99, max(0.0, r))
    error = math.sqrt(total / (len(x) - 2) / spread * (1 + r) / (1 - r))
    return {
        "mean": mean, "per_hour": slope * 3600 / mean, "error_per_hour": error * 3600 / mean,
        "over_run": slope * (x[-1] - x[0]) / mean, "correlation": round(r, 3), "grows": slope > SURE * error,
    }  # fmt: skip
