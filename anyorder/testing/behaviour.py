"""Laws 4, 5 and 6: company, limits and repetition."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anyorder.core.canvas import Canvas, Stop
from anyorder.core.chance import Chance
from anyorder.core.types import Written
from anyorder.testing.oracles import greedy_text
from anyorder.testing.record import Record, golden, play
from anyorder.testing.subject import PROMPTS, Subject, subject

COMPANY = {"row": ("greedy", "sample", "prompt_lookup"), "cells": ("static", "raster")}


def alone_as_in_company(tested: Subject) -> str:
    """Law 4. Other requests, of other methods, one of them joining late, change nothing."""
    for greedy in tested.ways:
        given: dict[str, Any] = {"greedy": greedy, "chance": Chance(5)}
        nets = tested.nets(tested.card, 13)
        alone = tested.run(PROMPTS[-1], 9, nets=nets, **given)
        mine = tested.request(PROMPTS[-1], 9, nets=nets, **given)
        others = [
            subject(name).request(PROMPTS[i % 3], 4 + 5 * i, greedy=greedy, nets=nets, chance=Chance(i))
            for i, name in enumerate(COMPANY[tested.card.canvas])
        ]
        twin = tested.request(PROMPTS[0], 4, nets=nets, greedy=greedy, chance=Chance(9))
        record = play([others[0], mine, *others[1:]], later=[twin])[1]
        assert record.texts == alone.texts, f"alone {alone.texts}, in company {record.texts}"
        assert record.transcript == alone.transcript, "other steps in company"
    return f"among {len(others) + 1} others"


def pair(first: int, second: int) -> Stop:
    """A stop rule: fires at `second` right after `first`."""

    def stop(generated: Sequence[int], new: int) -> int | None:
        for end in range(max(2, len(generated) - new + 1), len(generated) + 1):
            if list(generated[end - 2 : end]) == [first, second]:
                return end
        return None

    return stop


def limits_hold(tested: Subject) -> str:
    """Law 5. Nothing is written past budget, end-of-text or stop, and commits alone write."""
    cells, count = tested.card.canvas == "cells", 0
    for prompt in PROMPTS[1:]:
        nets = tested.nets(tested.card, 13)
        likely = [4, 7] if cells else greedy_text(nets["target"], prompt, 9)
        ends: list[dict[str, Any]] = [{}, *({"eos": [t]} for t in sorted(set(likely)))]
        if not cells:
            ends += [{"stop": pair(*two)} for two in itertools.pairwise(likely)]
        for budget in (1, 4, 9):
            for end in ends:
                for greedy in tested.ways:
                    _check_limits(tested.run(prompt, budget, greedy=greedy, nets=nets, **end))
                    count += 1
    return f"{count} runs"


def _check_limits(record: Record) -> None:
    canvas = record.canvas
    assert canvas.done, "the request is over and its canvas is not done"
    for text, why in zip(record.texts, canvas.ended, strict=True):
        assert len(text) <= canvas.budget, f"{len(text)} tokens with a budget of {canvas.budget}"
        assert not canvas.eos & set(text[:-1]), f"{text} goes on after the end of text"
        if canvas.mask is None:
            assert (text[-1:] and text[-1] in canvas.eos) == (why == "eos"), f"{text} ended by {why}"
        if canvas.stop is not None:
            assert canvas.stop(text[:-1], len(text)) is None, f"{text} goes on after a stop"
    written = rewritten(canvas, record)
    assert canvas.rows == written, f"the canvas says {canvas.rows}, the commits {written}"


def rewritten(canvas: Canvas, record: Record) -> list[list[int]]:
    """The rows as the commits of a record wrote them."""
    holes = [] if canvas.mask is None else [canvas.mask] * canvas.budget
    first = record.request.canvas.rows[0][: canvas.prompt]
    rows = [first + holes]
    for commit, written in zip(record.commits, record.written, strict=True):
        parents = range(len(rows)) if commit.parents is None else commit.parents
        if written.at is None:
            rows = [rows[p] + list(token) for p, token in zip(parents, written.token, strict=True)]
        else:
            _fill(rows, written, canvas)
    return rows


def _fill(rows: list[list[int]], written: Written, canvas: Canvas) -> None:
    for row, token, at, why in zip(rows, written.token, written.at or (), written.ended, strict=True):
        for t, i in zip(token, at, strict=True):
            row[i] = t
        if why == "eos":
            end = next(i for i in range(canvas.prompt, len(row)) if row[i] in canvas.eos)
            del row[end + 1 :]


def same_seed_same_transcript(tested: Subject, file: Path | None = None) -> str:
    """Law 6. A run can be repeated to the letter; the golden file shows in a diff what changed."""
    lines = []
    for greedy in tested.ways:
        one, two = (tested.run(PROMPTS[-1], 9, greedy=greedy, chance=Chance(3)) for _ in "ab")
        assert one.transcript == two.transcript, "the same seed gave another transcript"
        lines += ["# greedy" if greedy else "# sampling, seed 3", *one.transcript]
    if file is not None:
        golden(file, lines)
    return f"{len(lines)} lines{f' as in {file.name}' if file else ''}"
