"""What parallel decoding is measured by: pure functions of tokens, runs, cells fed and verdicts.

PBx is ParallelBench's (arXiv:2510.04767), AUP d3LLM's (arXiv:2601.07568), p_cache WeDLM's (arXiv:2512.22737).
Only content counts as written: the tokens up to the first end of text, and that. What fills a canvas behind
it would flatter every policy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import exp
from typing import Any, NamedTuple

from anyorder.core.types import Answer
from anyorder.errors import UserError

LOST = 5.0  # points of quality below the first that AUP forgives
STEEP = 3.0  # of AUP's weight
BINS = 10  # of confidence
THIRDS = ("first", "middle", "last")


class Point(NamedTuple):
    """A policy at one setting."""

    speed: float  # content tokens for each forward
    quality: float  # percent
    name: str = ""


def content(tokens: Sequence[int], eos: Collection[int]) -> int:
    """How many tokens are content.

    >>> content([5, 6, 1, 1, 1], {1})
    3
    """
    return next((i + 1 for i, token in enumerate(tokens) if token in eos), len(tokens))


def tokens_per_forward(
    texts: Iterable[Sequence[int]], forwards: Iterable[int], eos: Collection[int]
) -> float:
    """TPF: content tokens of all texts over the forwards that all took, store and refresh runs included."""
    return sum(content(text, eos) for text in texts) / sum(forwards)


def fed_per_token(texts: Iterable[Sequence[int]], fed: Iterable[int], eos: Collection[int]) -> float:
    """Cells fed for each content token. Its inverse is p_cache."""
    return sum(fed) / sum(content(text, eos) for text in texts)


def still(points: Iterable[Point], percent: float) -> float | None:
    """PBx: the most tokens per forward at which quality is at least x percent; None: at no point."""
    return max((point.speed for point in points if point.quality >= percent), default=None)


def area(points: Iterable[Point], best: float) -> float:
    """AUP, accuracy under parallelism. `best`: the best quality known for the task, percent.

    Points in order of speed; those that lost more than 5 points against the slowest do not count; each is
    weighted by min(exp(-3 (1 - y / best)), 1).

    >>> area([Point(1, 80), Point(3, 80)], best=80)
    240.0
    """
    assert best > 0, "a task that nobody solves has no area"
    ordered = sorted(points)
    if not ordered:
        return 0.0
    first = ordered[0]
    kept = [point for point in ordered if point.quality >= first.quality - LOST]
    weighed = [point.quality * min(exp(-STEEP * (1 - point.quality / best)), 1.0) for point in kept]
    total = first.speed * first.quality
    for i in range(1, len(kept)):
        total += (kept[i].speed - kept[i - 1].speed) * (weighed[i] + weighed[i - 1]) / 2
    return total


# agreement with the reference, static decoding of one cell a step -------------------------------------------


def agreement(texts: Sequence[Sequence[int]], reference: Sequence[Sequence[int]]) -> float:
    """Sequential agreement: the share of texts that are the reference's, token for token."""
    same = [list(a) == list(b) for a, b in zip(texts, reference, strict=True)]
    return sum(same) / len(same)


def edit_agreement(texts: Sequence[Sequence[int]], reference: Sequence[Sequence[int]]) -> float:
    """1 - the edit distance in tokens over the longer text's length, mean over texts. Raises UserError."""
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        raise UserError(
            "edit agreement is counted by rapidfuzz, which is not installed; pip install 'anyorder[bench]'"
        ) from None
    near = [
        Levenshtein.normalized_similarity(list(a), list(b)) for a, b in zip(texts, reference, strict=True)
    ]
    return sum(near) / len(near)


# calibration ------------------------------------------------------------------------------------------------


class Said(NamedTuple):
    """What one run said of one cell."""

    when: float  # the run's place among those of its text, from 0 to below 1
    sure: float  # probability of the likeliest token
    right: bool  # whether that token stands there in the end


class Bin(NamedTuple):
    """Said with about the same confidence in the same third of steps."""

    third: str
    low: float
    high: float
    cells: int
    sure: float  # mean confidence
    right: float  # share that stand there in the end


def heard(answers: Sequence[Answer], final: Sequence[int]) -> list[Said]:
    """What the runs of one request said of the cells they were asked about.

    answers: in order, of one live row each; final: the row as static decoding leaves it. A cell behind its
    end is not judged.
    """
    said = []
    for step, answer in enumerate(answers):
        sure, token = answer.logits.double().softmax(-1).max(-1)
        (lines,) = answer.rows
        assert lines.cells is not None, "any-order nets are asked for cells"
        for i, cell in enumerate(lines.cells):
            if cell < len(final):
                one = Said(step / len(answers), float(sure[i]), int(token[i]) == final[cell])
                said.append(one)
    return said


def calibration(said: Iterable[Said], bins: int = BINS) -> list[Bin]:
    """Confidence against truth, by thirds of the steps and bins of confidence; empty bins are left out."""
    held: dict[tuple[int, int], list[Said]] = {}
    for one in said:
        place = min(int(one.when * 3), 2), min(int(one.sure * bins), bins - 1)
        held.setdefault(place, []).append(one)
    return [
        Bin(
            THIRDS[third], b / bins, (b + 1) / bins, len(those),
            sum(one.sure for one in those) / len(those), sum(one.right for one in those) / len(those),
        )
        for (third, b), those in sorted(held.items())
    ]  # fmt: skip


def error(table: Iterable[Bin]) -> float:
    """The expected calibration error: how far confidence is from truth, mean over all that was said."""
    rows = list(table)
    return sum(row.cells * abs(row.sure - row.right) for row in rows) / sum(row.cells for row in rows)


# a benchmark's rows -----------------------------------------------------------------------------------------


def points(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """Method -> its judged rows, slowest first. A policy is a method; its rows are its settings."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        if "quality" in row and row.get("tokens_per_forward"):
            point = Point(row["tokens_per_forward"], 100 * row["quality"], row["method"])
            found.setdefault(row["method"].partition(":")[0], []).append(point)
    return {method: sorted(each) for method, each in found.items()}


def policies(rows: Iterable[Mapping[str, Any]], percents: Sequence[int] = (80, 90)) -> list[dict[str, Any]]:
    """For each policy PBx and AUP over all its rows, weighed against the best row of all."""
    found = points(rows)
    best = max((point.quality for each in found.values() for point in each), default=0.0)
    return [
        {"policy": method, "settings": len(each)}
        | {f"pb{x}": still(each, x) for x in percents}
        | {"aup": round(area(each, best), 2) if best else 0.0}
        for method, each in found.items()
    ]
