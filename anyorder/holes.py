"""From a prompt to an any-order canvas: how many holes, in what blocks, between what fixed text.

>>> model.generate("reverse: Ann, Ben, Cid", method="threshold", block=4)
>>> model.generate("A list of two names.", method="threshold", template='["<4>", "<4>"]')

In a template `<n>` stands for n holes; everything else is fixed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anyorder.card import Option
from anyorder.core.canvas import Canvas, Stop
from anyorder.errors import UserError
from anyorder.nets.adapter import Adapter

OPTIONS = (
    Option("block", 0, "cells that are filled before the next ones; 0: the model's own, or 32", low=0),
    Option("template", "", "fixed text with <n> for n holes; without one the whole canvas is holes"),
)
BLOCK = 32  # where a model was trained with none (LLaDA's evaluation)
LONG = 128  # cells where neither request nor model names a number


def taken(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options split into those of the canvas, with their values, and others. Raises ValueError."""
    own = dict(given)
    values = {o.name: o.parse(own.pop(o.name, o.default)) for o in OPTIONS}
    return values, own


def filled(template: str, mask: int, encode: Callable[[str], list[int]]) -> list[int]:
    """Tokens of a template, holes among them. Raises UserError if it has none."""
    parts = re.split(r"<(\d+)>", template)
    if len(parts) == 1 or not any(int(n) for n in parts[1::2]):
        raise UserError(
            f"template is {template!r}, which has no holes; allowed is fixed text with <n> for n holes; "
            'write for example "Ann <2> Cid"'
        )
    tokens: list[int] = []
    for i, part in enumerate(parts):
        tokens += [mask] * int(part) if i % 2 else encode(part) if part else []
    return tokens


def canvas(
    prompt: Sequence[int],
    cells: int | None,
    adapter: Adapter,
    options: Mapping[str, Any],
    encode: Callable[[str], list[int]],
    eos: Sequence[int],
    stop: Stop | None,
) -> Canvas:
    """The canvas of a request. Raises UserError for blocks that the model was not trained for, and for a
    template that is longer than the cells asked for."""
    given = filled(options["template"], adapter.mask, encode) if options["template"] else []
    if given and cells is not None and cells < len(given):
        raise UserError(
            f"the template has {len(given)} cells and max_tokens is {cells}; allowed is a template that "
            "fits; ask for more tokens or shorten it"
        )
    budget = len(given) or cells or adapter.cells or LONG
    block = options["block"] or adapter.block or min(BLOCK, budget)
    if adapter.attention == "block" and adapter.block and block != adapter.block:
        raise UserError(
            f"block is {block} and this model was trained with blocks of {adapter.block}; allowed is its "
            "own; leave block out"
        )
    origin = 0 if adapter.attention == "block" else None
    return Canvas(
        prompt, budget, eos=eos, stop=stop, mask=adapter.mask, block=block, given=given, origin=origin
    )
