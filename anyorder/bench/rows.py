"""From runs to rows: medians over repeats, ratios to the plain loop, and the gate.

The gate: a row that claims the plain loop's text and parted from it anywhere without a tie (`audit.ties`)
has no speed-up. `speedup` is the mean over prompts of (tokens/s of the row) / (tokens/s of the plain loop
on the same prompt); `speedup_overall` is the ratio of all tokens over all seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any

from anyorder.audit.ties import Divergence
from anyorder.bench.entries import Entry
from anyorder.bench.measure import Measured, Take

Spell = Callable[[int], str]
Figures = dict[int, tuple[float, float, "int | None", "int | None"]]  # prompt -> tokens, seconds, runs, cells


def rows(measured: Measured, spell: Spell = str) -> list[dict[str, Any]]:
    """One row for each entry; none if nothing was measured. `spell` writes a token as text."""
    if not measured.takes:
        return []
    plain = figures(measured, measured.entries[0].label)
    return [_row(measured, entry, plain, spell) for entry in measured.entries]


def figures(measured: Measured, label: str) -> Figures:
    """Of one row and each prompt: tokens, median seconds, runs and cells."""
    each: dict[int, list[Take]] = {}
    for take in measured.takes:
        if take.label == label:
            each.setdefault(take.prompt, []).append(take)
    out: Figures = {}
    for prompt, takes in each.items():
        first = takes[0].run
        tokens = fmean(len(take.run.tokens) for take in takes)
        out[prompt] = (tokens, median(take.run.seconds for take in takes), first.runs, first.cells)
    return out


def _row(measured: Measured, entry: Entry, plain: Figures, spell: Spell) -> dict[str, Any]:
    mine = figures(measured, entry.label)
    parted = _divergences(measured, entry.label)
    bugs = sum(any(not d.tie for d in of.values()) for of in parted.values())
    ties, refused = len(parted) - bugs, bugs > 0
    claims = entry.claim == "text"
    places: dict[str, list[int]] = {}
    for prompt in sorted(mine):
        places.setdefault(measured.prompts[prompt].category, []).append(prompt)
    return {
        "method": entry.label,
        **_speed(mine, plain, sorted(mine), refused),
        "runs": _total(mine, 2), "cells": _total(mine, 3), "prompts": len(mine),
        "equal": len(mine) - ties - bugs if claims else None,
        "ties": ties if claims else None, "bugs": bugs if claims else None,
        "exact": entry.exact, "claim": entry.claim,
        "by_category": {name: _speed(mine, plain, these, refused) for name, these in places.items()},
        "divergences": [
            _place(measured, prompt, repeat, d, spell)
            for prompt, of in parted.items() for repeat, d in of.items()
        ],
    }  # fmt: skip


def _speed(mine: Figures, plain: Figures, prompts: Sequence[int], refused: bool) -> dict[str, Any]:
    """Tokens per second, speed-up and tokens per run over some prompts."""
    rate = {p: mine[p][0] / mine[p][1] for p in prompts}
    base = {p: plain[p][0] / plain[p][1] for p in prompts}
    overall = _rate(mine, prompts) / _rate(plain, prompts)
    runs = _total({p: mine[p] for p in prompts}, 2)
    return {
        "tokens_per_second": round(_rate(mine, prompts), 2),
        "speedup": None if refused else round(fmean(rate[p] / base[p] for p in prompts), 3),
        "speedup_overall": None if refused else round(overall, 3),
        "tokens_per_run": round(sum(mine[p][0] for p in prompts) / runs, 3) if runs else None,
    }


def _rate(of: Figures, prompts: Sequence[int]) -> float:
    return sum(of[p][0] for p in prompts) / sum(of[p][1] for p in prompts)


def _total(of: Figures, column: int) -> int | None:
    """The sum of a column, None if a peer does not count it."""
    found = [count for figure in of.values() if (count := figure[column]) is not None]
    return int(sum(found)) if len(found) == len(of) else None


def _divergences(measured: Measured, label: str) -> dict[int, dict[int, Divergence]]:
    """Prompt -> repeat -> where the row parted from the plain loop."""
    out: dict[int, dict[int, Divergence]] = {}
    for take in measured.takes:
        if take.label == label and take.divergence is not None:
            out.setdefault(take.prompt, {})[take.repeat] = take.divergence
    return out


def _place(measured: Measured, prompt: int, repeat: int, d: Divergence, spell: Spell) -> dict[str, Any]:
    named = measured.prompts[prompt]
    return {
        "prompt": named.id, "category": named.category, "repeat": repeat, "position": d.position,
        "plain": None if d.plain is None else spell(d.plain),
        "method": None if d.other is None else spell(d.other),
        "margin": d.margin, "noise": d.noise, "verdict": d.verdict,
    }  # fmt: skip
