"""From runs to rows: medians over repeats, ratios to the plain loop, the gate and the roofline.

The gate: a row that claims the plain loop's text and parted from it anywhere without a tie (`audit.ties`)
has no speed-up. Tokens per second of a prompt are those of its batch, all tokens over all seconds, and the
batch's seconds, runs and cells are shared among its prompts by their tokens. A prompt's speed-up is the
median over repeats of (tokens/s of the row) / (tokens/s of the plain loop a moment before); `speedup` is
the mean over prompts, `speedup_overall` the ratio of all tokens over all median seconds. `roofline` is weight
bytes read per second over the memory's bandwidth, every run reading every weight once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from anyorder.audit.ties import Divergence
from anyorder.bench import quality
from anyorder.bench.entries import Entry
from anyorder.bench.machine import bandwidth
from anyorder.bench.record import Measured, Take

Spell = Callable[[int], str]
Figures = dict[int, tuple[float, float, float, "float | None"]]  # prompt -> tokens, seconds, runs, cells


def rows(measured: Measured, spell: Spell = str) -> list[dict[str, Any]]:
    """One row for each entry; none if nothing was measured. `spell` writes a token as text."""
    if not measured.takes:
        return []
    plain = figures(measured, measured.entries[0].label)
    return [_row(measured, entry, plain, spell) for entry in measured.entries]


def figures(measured: Measured, label: str) -> Figures:
    """Of one row and each prompt: tokens, median seconds, runs and cells."""
    each: dict[int, list[tuple[float, float, float, float | None]]] = {}
    for take in _takes(measured, label):
        for prompt, text in zip(take.prompts, take.run.tokens, strict=True):
            share, run = len(text) / take.run.written, take.run
            cells = None if run.cells is None else run.cells * share
            each.setdefault(prompt, []).append((len(text), run.seconds * share, run.runs * share, cells))
    return {
        prompt: (fmean(f[0] for f in of), median(f[1] for f in of), of[0][2], of[0][3])
        for prompt, of in each.items()
    }


def gains(measured: Measured, label: str) -> dict[int, float]:
    """Of one row and each prompt: the speed-up."""
    base = {(t.prompts, t.repeat): t.run.rate for t in _takes(measured, measured.entries[0].label)}
    each: dict[int, list[float]] = {}
    for take in _takes(measured, label):
        for prompt in take.prompts:
            each.setdefault(prompt, []).append(take.run.rate / base[take.prompts, take.repeat])
    return {prompt: median(of) for prompt, of in each.items()}


def _takes(measured: Measured, label: str) -> list[Take]:
    return [take for take in measured.takes if take.label == label]


def _row(measured: Measured, entry: Entry, plain: Figures, spell: Spell) -> dict[str, Any]:
    mine, gain = figures(measured, entry.label), gains(measured, entry.label)
    parted = _divergences(measured, entry.label)
    bugs = sum(any(not d.tie for d in of.values()) for of in parted.values())
    ties, refused = len(parted) - bugs, bugs > 0
    claims = entry.claim == "text"
    weights = measured.weights[entry.label]
    places: dict[str, list[int]] = {}
    for prompt in sorted(mine):
        places.setdefault(measured.prompts[prompt].category, []).append(prompt)

    def speed(prompts: Sequence[int]) -> dict[str, Any]:
        own, base = ({p: of[p] for p in prompts} for of in (mine, plain))
        return _speed(own, base, None if refused else fmean(gain[p] for p in prompts))

    return {
        "method": entry.label,
        **speed(sorted(mine)),
        "runs": _total(mine, 2), "cells": _total(mine, 3), "prompts": len(mine),
        "equal": len(mine) - ties - bugs if claims else None,
        "ties": ties if claims else None, "bugs": bugs if claims else None,
        "exact": entry.exact, "claim": entry.claim,
        "precision": weights.precision, "roofline": roofline(mine, weights.size, bandwidth()),
        **quality.figures(measured, entry.label),
        "by_category": {name: speed(these) for name, these in places.items()},
        "divergences": [
            _place(measured, prompt, repeat, d, spell)
            for prompt, of in parted.items() for repeat, d in of.items()
        ],
    }  # fmt: skip


def roofline(of: Figures, size: float | None, most: float) -> float | None:
    """The share of the bandwidth `most` (bytes per second) at which weights of `size` bytes were read."""
    if size is None:
        return None
    return round(sum(f[2] for f in of.values()) * size / sum(f[1] for f in of.values()) / most, 4)


def _speed(mine: Figures, plain: Figures, gain: float | None) -> dict[str, Any]:
    """Tokens per second, speed-up and tokens per run; no speed-up where there is no gain."""
    overall = _rate(mine) / _rate(plain)
    tokens, runs = sum(f[0] for f in mine.values()), sum(f[2] for f in mine.values())
    return {
        "tokens_per_second": round(_rate(mine), 2),
        "speedup": None if gain is None else round(gain, 3),
        "speedup_overall": None if gain is None else round(overall, 3),
        "tokens_per_run": round(tokens / runs, 3) if runs else None,
    }


def _rate(of: Figures) -> float:
    return sum(f[0] for f in of.values()) / sum(f[1] for f in of.values())


def _total(of: Figures, column: int) -> int | None:
    """The sum of a column, None if a peer does not count it."""
    found = [count for figure in of.values() if (count := figure[column]) is not None]
    return round(sum(found)) if len(found) == len(of) else None


def _divergences(measured: Measured, label: str) -> dict[int, dict[int, Divergence]]:
    """Prompt -> repeat -> where the row parted from the plain loop."""
    out: dict[int, dict[int, Divergence]] = {}
    for take in _takes(measured, label):
        for prompt, parted in zip(take.prompts, take.divergences):
            if parted is not None:
                out.setdefault(prompt, {})[take.repeat] = parted
    return out


def _place(measured: Measured, prompt: int, repeat: int, d: Divergence, spell: Spell) -> Mapping[str, Any]:
    named = measured.prompts[prompt]
    return {
        "prompt": named.id, "category": named.category, "repeat": repeat, "position": d.position,
        "plain": None if d.plain is None else spell(d.plain),
        "method": None if d.other is None else spell(d.other),
        "margin": d.margin, "noise": d.noise, "verdict": d.verdict,
    }  # fmt: skip
