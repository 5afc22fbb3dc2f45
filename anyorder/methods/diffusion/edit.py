"""Draft and edit (LLaDA 2.1, arXiv:2602.08676): every step fills holes and overwrites cells it thinks wrong.

    fill       holes whose likeliest token is surer than `draft`, or the surest one
    overwrite  filled cells where another token than theirs is the likeliest and surer than `change`

When a draft completes its block, it is read again as if it were written, and edited until nothing is to be
changed; only then it is written. `back` lets blocks be edited that were finished before.
"""

from collections.abc import Generator

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Cells, Flow, Method
from anyorder.filling import Seen, at_least_one
from anyorder.revising import Edits, Heard, Mine, New, filled, hear, holes_of, write

CARD = Card(
    name="edit",
    family="diffusion",
    paper="arXiv:2602.08676",
    exact=False,
    revises=True,
    summary="fills cells above a low threshold and overwrites those that look wrong afterwards",
    headline="LLaDA2.1-flash: 5.93 tokens a run at a mean score of 72.34, or 3.64 at 73.54",
    cost="up to `1 + edit_steps` runs per commit",
    canvas="cells",
    attention=("full", "block", "hybrid"),
    options=(
        Option("draft", 0.7, "a hole is filled with a token surer than this", low=0, high=1),
        Option("change", 0.5, "a filled cell is overwritten by a token surer than this", low=0, high=1),
        Option("edits", 2, "how often a cell may be overwritten; 0: never, as threshold", low=0),
        Option("edit_steps", 4, "most runs that edit a block without filling any cell", low=0),
        Option("back", 0, "finished blocks before this one that may still be edited", low=0),
    ),
    departures=(
        "a cell is overwritten at most `edits` times, a complete block read `edit_steps` times (ours)",
        "a draft that completes its block, or the text, is edited before it is written: a canvas that is "
        "complete is over (ours)",
        "overwriting takes the likeliest token above temperature 0 too (ours)",
        "cells that a template gave are never overwritten (ours)",
    ),
)


def edit(setting: Setting, draft: float, change: float, edits: int, edit_steps: int, back: int) -> Method:
    def drafted(seen: Seen) -> New:
        """Gamma: the sure holes, at least one."""
        sure = [i for i in range(len(seen)) if seen.sure[i] > draft]
        return {seen.cells[i]: seen.token[i] for i in at_least_one(seen, sure)} if len(seen) else {}

    def wrong(seen: Seen, text: list[int]) -> New:
        """Delta: filled cells where another token is the likeliest, and sure."""
        said = zip(seen.cells, seen.best, seen.sure, strict=True)
        return {cell: token for cell, token, sure in said if token != text[cell] and sure > change}

    def step(canvas: Canvas, holes: Cells, old: Cells, counted: Edits) -> Generator[Ask, Heard, list[New]]:
        """What a step writes."""
        heard = yield hear(holes, old, setting.greedy, why=counted.why)
        counted.step()
        both = zip(heard.holes, heard.filled, strict=True)
        return [drafted(a) | counted.allowed(b.row, wrong(b, canvas.rows[b.row])) for a, b in both]

    def again(
        canvas: Canvas, near: range, mine: Mine, new: list[New], counted: Edits
    ) -> Generator[Ask, Heard, list[New]]:
        """What is edited in rows that would be complete; nothing is asked if none would."""
        texts = [written(canvas, h, row) for h, row in zip(canvas.live, new, strict=True)]
        cells: list[list[int]] = [[] for _ in texts]
        for h, row, text, at in zip(canvas.live, new, texts, cells, strict=True):
            if row and complete(canvas, text, near.stop):
                at += [i for i in near if i in mine[h] and i < len(text)]
        if not any(cells):
            return []
        assumed = [row if at else {} for row, at in zip(new, cells, strict=True)]
        heard = yield hear([[] for _ in cells], cells, True, fill=assumed, why=counted.why)
        counted.step()
        said = zip(heard.filled, texts, strict=True)
        return [counted.allowed(seen.row, wrong(seen, text)) for seen, text in said]

    def method(canvas: Canvas) -> Flow:
        mine, counted = holes_of(canvas), Edits(edits)
        for block in canvas.blocks():
            near = range(max(canvas.prompt, block.start - back * canvas.block), block.stop)
            while any(holes := canvas.holes(block)):
                old = filled(canvas, near if edits else (), mine, holes)
                new = yield from step(canvas, holes, old, counted)
                for _ in range(edit_steps if edits else 0):
                    more = yield from again(canvas, near, mine, new, counted)
                    if not any(more):
                        break
                    new = [a | b for a, b in zip(new, more, strict=True)]
                yield write(new)

    return method


def written(canvas: Canvas, row: int, new: New) -> list[int]:
    """The row as it would be."""
    return [new.get(i, token) for i, token in enumerate(canvas.rows[row])]


def complete(canvas: Canvas, text: list[int], stop: int) -> bool:
    """Whether nothing is open before `stop`, or before an end of the text."""
    hole = text.index(canvas.mask, canvas.prompt) if canvas.mask in text[canvas.prompt :] else len(text)
    return hole >= stop or not canvas.eos.isdisjoint(text[canvas.prompt : hole])
