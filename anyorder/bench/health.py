"""How far a cache of stale states leads from what the model says, and what it saves.

>>> health(lambda: model.request("reverse: Ann, Ben, Cid", "dual_cache"))
Health(runs=8, fed=2.5, refreshes=2, off=0.31, same_top=1.0, same_text=1.0)

The cached request is decoded once and its every step put before the model again, which now computes all cells
afresh: what it says of the same cells of the same canvas is what the cache should have said. Where it would
choose other tokens for more than one cell in a hundred, blame the cache before the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from statistics import fmean

from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.readers import likeliest
from anyorder.core.types import EXACT, Answer, Ask, Commit, Flow, Method
from anyorder.law import Step, Turned, turned

HEALTHY = (
    0.99  # of the cells a cached run is asked about, those of which it says what a fresh one says (ours)
)


@dataclass(frozen=True)
class Health:
    """A cached request beside its uncached twin."""

    runs: int  # of the target
    fed: float  # cells for each token written; its inverse is WeDLM's p_cache
    refreshes: int  # runs that used no stale state, or fewer than they might: their attention had drifted
    off: float  # the most that a logit is off, on the same canvas
    same_top: float  # share of asked cells with the same likeliest token, on the same canvas
    same_text: float  # share of cells with the same token in the end, each deciding for itself

    @property
    def healthy(self) -> bool:
        return self.same_top >= HEALTHY


@dataclass(frozen=True)
class Said:
    """One answer of the target, and whether stale states spoke in it."""

    run: int
    answer: Answer
    stale: bool


def health(make: Callable[[], Request]) -> Health:
    """Decode a request three times: as it is, its steps once more without reuse, and freely without reuse.
    `make` gives a new request, with the same seed, at each call."""
    steps: list[Step] = []
    cached, said = played(make(), steps)
    again = make()
    again.method = repeated(steps)
    _, true = played(again, [])
    free = make()
    free.method = uncached(free.method)
    played(free, [])
    off, same = 0.0, []
    for ours, theirs in zip(said, true, strict=True):
        one, two = ours.answer.logits, theirs.answer.logits
        off = max([off, *(one - two).nan_to_num(0.0, 0.0, 0.0).abs().flatten().tolist()])
        same += (likeliest(one) == likeliest(two)).tolist()
    rows = range(len(free.canvas.rows))
    pairs = [zip_longest(cached.canvas.generated(h), free.canvas.generated(h)) for h in rows]
    text = [a == b for both in pairs for a, b in both]
    written = sum(len(cached.canvas.generated(h)) for h in rows)
    runs = cached.runs.get("target", 0)
    return Health(
        runs, cached.cells.get("target", 0) / max(1, written), runs - len({s.run for s in said if s.stale}),
        off, fmean(same or [1]), fmean(text or [1]),
    )  # fmt: skip


def played(request: Request, steps: list[Step]) -> tuple[Request, list[Said]]:
    """Decode a request; its steps go into the list."""
    said: list[Said] = []
    request.method = _noted(request.method, steps)

    def watch(_: Request, ask: Ask, answer: Answer) -> None:
        if ask.net == "target":
            said.append(Said(len(steps), answer, _stale(request.canvas, steps, ask, answer)))

    for _ in decode([request], watch):
        pass
    return request, said


def _stale(canvas: Canvas, steps: Sequence[Step], ask: Ask, answer: Answer) -> bool:
    """Whether a run left cells out because the commit before it said so, and computed them nowhere else."""
    keep = next((step.keep for step in reversed(steps) if isinstance(step, Commit)), EXACT)
    out = sum(len(set(cells) - set(at)) for cells, at in zip(keep, ask.at or ()))
    whole = sum(len(canvas.rows[h]) for h in canvas.live)
    return out > 0 and answer.cells <= whole - out


def _noted(inner: Method, steps: list[Step]) -> Method:
    def turn(step: Step) -> Turned:
        steps.append(step)
        return (yield step)

    return turned(inner, lambda canvas: turn)


def repeated(steps: Sequence[Step]) -> Method:
    """The steps once more, of states that are all fresh."""

    def flow(canvas: Canvas) -> Flow:
        for step in steps:
            yield _fresh(step)

    return flow


def uncached(inner: Method) -> Method:
    """The method, whose runs use nothing stale."""

    def turn(step: Step) -> Turned:
        return (yield _fresh(step))

    return turned(inner, lambda canvas: turn)


def _fresh(step: Step) -> Step:
    if isinstance(step, Commit):
        return replace(step, keep=EXACT)
    if isinstance(step, tuple):
        return tuple(replace(ask, drift=-1.0) for ask in step)
    return replace(step, drift=-1.0)
