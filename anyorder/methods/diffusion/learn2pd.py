"""Learning to parallel decode (Learn2PD, arXiv:2509.25188): a trained filter says which cells are right.

The filter reads how sure the net is of every cell of the block, filled or not, and says of each hole how
likely its token is what static unmasking would end with; those above `theta` are filled, and the surest one.

End-of-text prediction (EoTP): behind an end of text that is written the canvas is cut off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Commit, Flow, Method
from anyorder.errors import UserError
from anyorder.filling import at_least_one
from anyorder.revising import Heard, Mine, New, hear, holes_of, write

CARD = Card(
    name="learn2pd",
    family="diffusion",
    paper="arXiv:2509.25188",
    exact=False,
    summary="a small trained filter picks the cells; the canvas is cut behind an end of text",
    headline="22.58 times faster than static on GSM8K with 1024 cells, mostly by not filling the padding",
    cost="up to 1 run per cell",
    canvas="cells",
    attention=("full", "block", "hybrid"),
    options=(
        Option("filter", "", "the recipe's .json file; empty: the one of list-diffusion", local=True),
        Option("theta", 0.96, "a hole is filled if the filter is surer than this; 1: static", low=0, high=1),
        Option("eotp", True, "cut the canvas behind an end of text that is written"),
    ),
    departures=(
        "cells that a block lacks to the filter's width count as sure (ours)",
        "the canvas is cut behind an end that is written; the release also where it merely predicts one",
        "cells that a template gave are never cut off (ours)",
    ),
)

SHIPPED = Path(__file__).parents[2] / "weights" / "list-diffusion" / "learn2pd.json"
TRAIN = "train one: python -m anyorder.recipes.learn2pd --model NAME"


@dataclass(frozen=True)
class Filter:
    """A perceptron [B] -> [B] with an inner layer of D, and whose confidences it was trained on."""

    inner: np.ndarray  # [D, B]
    inner_bias: np.ndarray  # [D]
    outer: np.ndarray  # [B, D]
    outer_bias: np.ndarray  # [B]
    spelling: str = ""  # of the model's tokenizer

    def __call__(self, sure: np.ndarray) -> np.ndarray:
        """[n] how likely each cell is right, of the cells' confidences [n], n up to B."""
        full = np.concatenate([sure, np.ones(len(self.outer_bias) - len(sure))])
        said = self.outer @ np.maximum(self.inner @ full + self.inner_bias, 0) + self.outer_bias
        return ((1 + np.tanh(said / 2)) / 2)[: len(sure)]  # sigma


@lru_cache(8)
def _read(file: Path, changed: int) -> Filter:
    said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    parts = {n: np.array(said[n], np.float64) for n in ("inner", "inner_bias", "outer", "outer_bias")}
    made = Filter(**parts, spelling=str(said.get("spelling", "")))
    made(np.ones(1))  # shapes that do not fit together are found now
    return made


def read_filter(name: str) -> Filter:
    """Raises UserError."""
    file = Path(name).expanduser()
    try:
        return _read(file, file.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"filter {name} cannot be read ({type(error).__name__}: {error}); allowed is a .json file that "
            f"the recipe wrote; {TRAIN}"
        ) from error


def chosen(name: str, setting: Setting) -> Filter:
    """The named filter, or the shipped one for the model it was trained on. Raises UserError."""
    if name:
        return read_filter(name)
    found = read_filter(str(SHIPPED)) if SHIPPED.is_file() else None
    if found is None or setting.spelling not in ("", found.spelling):
        raise UserError(
            "method learn2pd has no filter for this model; allowed is one trained on the model's own "
            f"confidences; {TRAIN}, and give its file as option filter"
        )
    return found


def confidences(heard: Heard, index: int, block: range) -> np.ndarray:
    """[n] how sure the net is of each cell of the block that a row has, in the cells' order."""
    sure: dict[int, float] = {}
    for seen in (heard.holes[index], heard.filled[index]):
        sure.update(zip(seen.cells, seen.law().amax(-1).tolist(), strict=True))
    return np.array([sure[i] for i in block if i in sure])


def ended(canvas: Canvas, commit: Commit, mine: Mine) -> Commit:
    """The commit, cutting each row behind the first end of text that it writes there (EoTP)."""
    lengths, cut = [len(canvas.rows[h]) for h in canvas.live], []
    for h, length, token, at in zip(canvas.live, lengths, commit.token, commit.at or (), strict=True):
        ends = [i for t, i in zip(token, at, strict=True) if t in canvas.eos]
        given = max(set(range(length)) - mine[h])  # the prompt's last cell, or the template's
        cut.append(max(min(ends), given) + 1 if ends else length)
    return replace(commit, cut=cut) if cut != lengths else commit


def learn2pd(setting: Setting, filter: str, theta: float, eotp: bool) -> Method:
    net = chosen(filter, setting)

    def accepted(heard: Heard, index: int, block: range) -> New:
        """What a row writes: holes that the filter is sure of, and the surest."""
        seen = heard.holes[index]
        if not len(seen):
            return {}
        right = net(confidences(heard, index, block))
        some = [i for i, cell in enumerate(seen.cells) if right[cell - block.start] > theta]
        return {seen.cells[i]: seen.token[i] for i in (*some, *at_least_one(seen, ()))}

    def method(canvas: Canvas) -> Flow:
        mine = holes_of(canvas)
        if (cells := max(map(len, canvas.blocks()))) > (width := len(net.outer_bias)):
            raise UserError(
                f"the filter is for blocks of {width} cells and the canvas has blocks of {cells}; "
                f"allowed are shorter ones; give block={width}, or train another filter"
            )
        for block in canvas.blocks():
            while any(holes := canvas.holes(block)):
                rest = [
                    [i for i in block if i < len(canvas.rows[h]) and i not in open_] if open_ else []
                    for h, open_ in zip(canvas.live, holes, strict=True)
                ]
                heard = yield hear(holes, rest, setting.greedy)
                commit = write([accepted(heard, k, block) for k in range(len(holes))])
                yield ended(canvas, commit, mine) if eotp else commit

    return method
