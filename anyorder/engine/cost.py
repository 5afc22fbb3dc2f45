"""What a run costs: seconds over k cells, batch and context, measured once per net and machine.

A run over a few cells takes as long as reading the weights; from some number of cells on, every cell costs.
Where that is depends on net, precision and machine, and it decides how many guesses pay (`anyorder.sizes`).
So it is measured: medians on a small grid, kept in the user's cache folder, linear in between.

>>> cost = load_or_measure(model.target, model.name, model.precision)
>>> cost(8) / cost(1)  # how much dearer a run with seven guesses is
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate, takewhile
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from anyorder.core.canvas import Canvas
from anyorder.core.readers import every_argmax, read_together
from anyorder.core.types import Answer, Ask, Net, chain
from anyorder.engine.processor import cpu_model
from anyorder.errors import UserError
from anyorder.folders import cache_folder
from anyorder.nets.memory import Full

CELLS = (1, 2, 4, 8, 16, 32, 64)  # of one request: the end of its text and its guesses
BATCHES = (1, 4, 16)  # requests in one run
CONTEXTS = (64, 512, 1024)  # tokens of each text
MOST = 256  # cells of all requests together; points with more are not measured
LEAST, TIMES = 3, 9  # repeats of a point: as many as are wanted, and at most
LIMIT = 15.0  # seconds of measuring, after the first runs
TAIL = 4  # last tokens of a text that no other text of its context shares
FORMAT = 1  # of the file

Point = tuple[int, int, int]  # cells of a request, batch, context


@dataclass(frozen=True, eq=False)
class Cost:
    """Seconds of a run. More cells never cost less: where noise says so, the dearer figure counts."""

    seconds: Mapping[Point, float]  # as measured

    def __call__(self, k: float, batch: int = 1, context: int = 64) -> float:
        """Seconds of one run over k cells for each of `batch` requests with `context` tokens of text.

        Linear between the points of the grid along each axis and beyond them.
        """
        assert k >= 1, "a run has a cell for the end of the text"
        return _at(k, *_line(self, batch, context))


@lru_cache(maxsize=1024)
def _line(cost: Cost, batch: int, context: int) -> tuple[list[int], list[float]]:
    """Cells, and the seconds of runs over so many."""
    points = cost.seconds
    cells, contexts = sorted({k for k, _, _ in points}), sorted({c for _, _, c in points})
    by_context = []
    for c in contexts:
        batches = sorted({b for _, b, other in points if other == c})
        by_batch = []
        for b in batches:
            here = [k for k in cells if (k, b, c) in points]
            by_batch.append([_at(k, here, [points[k, b, c] for k in here]) for k in cells])
        by_context.append([_at(batch, batches, column) for column in zip(*by_batch)])
    least = min(points.values())
    line = [max(least, _at(context, contexts, column)) for column in zip(*by_context)]
    return cells, list(accumulate(line, max))


def _at(x: float, xs: Sequence[int], ys: Sequence[float]) -> float:
    """The value at x of the line through the points; its first and last pieces go on for ever."""
    if len(xs) == 1:
        return ys[0]
    i = min(max(bisect(xs, x), 1), len(xs) - 1)
    return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1])


# measuring --------------------------------------------------------------------------------------------------

Asks = list[tuple[Ask, Canvas]]


def measure(net: Net, limit: float = LIMIT, clock: Callable[[], float] = time.perf_counter) -> Cost:
    """Measure a net in about `limit` seconds; a slow one takes longer, for its smallest context at least.

    Texts are synthetic. The net must not run for anybody else meanwhile; what it has in its cache stays
    there as far as its memory reaches, and what was measured on is dropped. Raises UserError.
    """
    grid = Grid(net, clock, limit)
    try:
        grid.prepare()
        grid.repeat()
    finally:
        grid.clear()
    return Cost({point: median(took[1:] or took) for point, took in grid.took.items()})


class Grid:
    """Texts that a net has read, and the timed runs over them."""

    def __init__(self, net: Net, clock: Callable[[], float], limit: float):
        self.net, self.clock, self.limit = net, clock, limit
        self.asks: dict[Point, Asks] = {}
        self.took: dict[Point, list[float]] = {}  # seconds; the first of each is a warm-up
        self.opened: list[Canvas] = []
        self.start, self.draw = clock(), np.random.default_rng(0)
        self.batches = [b for b in BATCHES if b == 1 or "pack" in net.can]
        self.contexts = [c for c in CONTEXTS if c + CELLS[-1] <= net.context] or [max(1, net.context // 2)]
        self.cells = [k for k in CELLS if k == 1 or self.contexts[0] + k <= net.context]
        self.leads = [self.tokens(self.contexts[-1]) for _ in range(BATCHES[-1])]

    @property
    def spent(self) -> float:
        return self.clock() - self.start

    def tokens(self, count: int) -> list[int]:
        return self.draw.integers(self.net.vocab, size=count).tolist()

    def prepare(self) -> None:
        """Time every point once: the smallest context in those batches that fit into the net's memory, the
        other contexts if all of these fit and there is time."""
        for context in self.contexts:
            groups = list(takewhile(bool, (self.group(batch, context) for batch in self.batches)))
            if self.took and len(groups) < len(self.batches):
                return
            if not groups:
                raise UserError(
                    f"the net's memory does not hold {context} cells; measuring its cost needs a few more; "
                    "allow more memory"
                )
            self.batches = self.batches[: len(groups)]
            self.took |= {point: [seconds] for group in groups for point, seconds in group.items()}
            if context == self.contexts[0]:
                self.start = self.clock()  # the first runs of all compile; the second ones tell the pace
                for point in self.took:
                    self.again(point)
            if self.spent > self.limit / 2:
                return

    def group(self, batch: int, context: int) -> dict[Point, float]:
        """The points of one batch and context, timed once; {} if they do not fit into the net's memory."""
        texts, timed = self.read(batch, context), {}
        for k in self.cells if texts else ():
            if k * batch <= MOST:
                point = (k, batch, context)
                self.asks[point] = [
                    (Ask(every_argmax, guess=(chain(self.tokens(k - 1)),)), text) for text in texts
                ]
                seconds = self.run(self.asks[point], tries=2 * batch)
                if seconds is None:
                    return {}
                timed[point] = seconds
        return timed

    def read(self, batch: int, context: int) -> list[Canvas]:
        """Canvases that the net has read; [] if they do not fit into its memory. Reading is dear: all texts
        differ, but when they take too long to read, the later ones begin like the earlier."""
        start, texts, leads = self.clock(), [], 1
        for i in range(batch):
            if self.clock() - start < self.limit / 8:
                leads = i + 1
            tail = self.tokens(min(TAIL, context))
            texts.append(Canvas(self.leads[i % leads][: context - len(tail)] + tail, CELLS[-1]))
            self.opened.append(texts[-1])
            if self.run([(Ask(every_argmax), texts[-1])], tries=2 * context) is None:
                return []
        return texts

    def run(self, asks: Asks, tries: int = 1) -> float | None:
        """Seconds of the first run that answers all asks, reading the answers included; None: none did, for
        want of memory."""
        for _ in range(tries):
            start = self.clock()
            said = self.net(asks)
            if faults := [fault for fault in said if isinstance(fault, Exception)]:
                if not isinstance(faults[0], Full):
                    raise faults[0]
                return None
            answers = [answer for answer in said if isinstance(answer, Answer)]
            if len(answers) == len(asks):
                read_together(every_argmax, answers)
                return self.clock() - start
        return None

    def repeat(self) -> None:
        """Time the points again by turns, so that all see the same noise: dear ones less often than cheap."""
        share = (self.limit - self.spent) / len(self.took)
        spent = dict.fromkeys(self.took, 0.0)  # point -> seconds of its repeats
        while spent:
            for point in list(spent):
                times, last = len(self.took[point]) - 1, self.took[point][-1]
                wanted = not times or (times < LEAST and self.spent < 2 * self.limit)
                more = wanted or (times < TIMES and spent[point] + last <= share)
                if more and self.again(point):
                    spent[point] += self.took[point][-1]
                else:
                    del spent[point]

    def again(self, point: Point) -> bool:
        """Time a point once more; False if it was put off."""
        seconds = self.run(self.asks[point])
        if seconds is not None:
            self.took[point].append(seconds)
        return seconds is not None

    def clear(self) -> None:
        """Leave the net's cache as it was."""
        for canvas in self.opened:
            canvas.close()
            self.net.follow(canvas, None)


# keeping ----------------------------------------------------------------------------------------------------


def load_or_measure(net: Net, model: str, precision: str, refresh: bool = False) -> Cost:
    """The net's cost: as it was kept, or measured and kept if the cache folder can be written. `model`: what
    tells its weights' shape from others'; `refresh`: measure again. Raises UserError as `measure` does."""
    kept = None if refresh else known(net, model, precision)
    if kept is not None:
        return kept
    cost = measure(net)
    _keep(cost, facts(net, model, precision))
    return cost


def known(net: Net, model: str, precision: str) -> Cost | None:
    """The net's cost if it was measured before and kept; nothing is measured."""
    mine = facts(net, model, precision)
    try:
        said = json.loads(file_of(mine).read_text(encoding="utf-8"))
        points = {(int(k), int(b), int(c)): float(seconds) for k, b, c, seconds in said["seconds"]}
        ours = said["facts"] == mine
    except (OSError, ValueError, TypeError, KeyError):  # not there, or not a file of ours
        return None
    sound = all(isfinite(seconds) and seconds > 0 for seconds in points.values())
    return Cost(points) if ours and points and sound else None


def facts(net: Net, model: str, precision: str) -> dict[str, Any]:
    """Everything that a net's cost depends on."""
    body = getattr(net, "body", net)
    device = torch.device(getattr(body, "device", "cpu"))
    return {
        "format": FORMAT, "model": model, "precision": precision, "body": type(body).__name__,
        "shape": [net.vocab, net.context, getattr(net, "cell_bytes", 0)],
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model(),
        "threads": torch.get_num_threads(),
        **{package: _version(package) for package in ("anyorder", "torch", "numba")},
    }  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def file_of(facts: Mapping[str, Any]) -> Path:
    """Where a cost with these facts is kept."""
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "cost" / f"{key}.json"


def _keep(cost: Cost, facts: Mapping[str, Any]) -> None:
    """Write the file whole or not at all; a cache folder that cannot be written keeps nothing."""
    file = file_of(facts)
    said = {"facts": facts, "seconds": [[*point, seconds] for point, seconds in cost.seconds.items()]}
    scratch = file.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(said) + "\n", encoding="utf-8")
        scratch.replace(file)
