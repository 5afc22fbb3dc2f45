"""Grammars of any-order canvases: a policy chooses cells and tokens, the grammar has the last word.

The tokens of a commit are judged one after the other, the likeliest first: one with which the canvas can
still become a text of the grammar is written, else the next likeliest of its cell that is allowed. An end of
text ends the cells behind it, too. Where none of so many is allowed, the canvas is completed by the shortest
text that is left (arXiv:2508.10111). So every policy and cache writes texts of the grammar; what it writes
is no longer the policy's own text, and a policy that revises keeps a cell whose new token is refused. Of a
tokenizer that knows whole words only, a text is its words without spaces.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from anyorder.constraints import schema
from anyorder.constraints.states import Vocabulary
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Commit, Method
from anyorder.errors import UserError
from anyorder.law import Step, Turn, Turned, turned
from anyorder.text import words_only

TRIES = 100  # tokens of a cell that are judged before the canvas is completed (the paper's number)
SHAPES = ("json_schema", "grammar", "regex", "choices")
KEY = "constraints.filled"  # where a model's memory keeps compiled grammars and the tokenizer's words


def taken(shaping: dict[str, Any], others: Sequence[str], vocabulary: Vocabulary, greedy: bool) -> Any:
    """What holds a policy to the grammar among shaping options, which are taken out: Method -> Method; None
    if there is no grammar. `others`: constraints that only a text written from left to right can have.
    Raises UserError."""
    asked = {name: value for name in (*SHAPES, *others) if (value := shaping.pop(name, None))}
    if wrong := [name for name in asked if name not in SHAPES]:
        raise UserError(
            f"{' and '.join(wrong)} hold texts that are written from left to right, and this model fills "
            f"cells in any order; allowed are {', '.join(SHAPES)}; leave it out"
        )
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} were given; allowed is one of them; drop the others")
    for name, value in asked.items():
        made = compiled(name, lark(name, value, vocabulary.trusted), vocabulary)
        return lambda inner: within(inner, made, greedy)
    return None


def lark(name: str, value: str, trusted: bool = True) -> str:
    """The grammar of an option, as Lark writes it. Raises UserError."""
    from anyorder.constraints.completable.schema import lark_of

    match name:
        case "json_schema":
            return lark_of(schema.parsed(schema.read(name, value, trusted)))
        case "grammar":
            return schema.read(name, value, trusted)
        case "regex":
            return f"start: /{value.replace('/', chr(92) + '/')}/"
        case _:
            return "start: " + " | ".join(json.dumps(text) for text in value.split("|") if text)


def compiled(name: str, text: str, vocabulary: Vocabulary) -> Callable[[Sequence[int], int], Any]:
    """(a row's cells, the hole's token) -> its `Fillable`. Kept for the model. Raises UserError."""
    try:
        from anyorder.constraints.completable import Fillable, Language, Spelling
    except ImportError as error:
        raise UserError(
            f"{name} on an any-order canvas needs {error.name}, which is not installed; install it with: "
            "pip install 'anyorder[constraints]'"
        ) from None
    memory: dict[Any, Any] = vocabulary.memory
    language = memory.get((KEY, text)) or memory.setdefault((KEY, text), Language.of_lark(text))
    spelling = memory.get(KEY)
    if spelling is None and words_only(vocabulary.tokenizer):
        special = set(vocabulary.tokenizer.all_special_ids)
        spelling = Spelling(
            lambda t: None if t in special else vocabulary.spell([t]), vocabulary.size, vocabulary.eos
        )
    memory[KEY] = spelling = spelling or Spelling.of(vocabulary)
    return lambda row, hole: Fillable(language, spelling, row, hole, name=name)


class Law(NamedTuple):
    """What was last said of a cell."""

    logits: Tensor  # [V]
    draw: Callable[[Tensor], int] | None  # None: at temperature 0

    def choices(self, token: int) -> Iterator[int]:
        """The token, then others: the likeliest, or further draws with the noise that drew it."""
        yield token
        left = self.logits.clone()
        left[token] = -torch.inf
        if self.draw is None:
            best = left.topk(min(TRIES, len(left))).indices.tolist()
            yield from (t for t in best if left[t] > -torch.inf)
            return
        for _ in range(TRIES):
            if bool(left.isinf().all()):
                return
            again = self.draw(left)
            yield again
            left[again] = -torch.inf


def within(inner: Method, made: Callable[[Sequence[int], int], Any], greedy: bool = True) -> Method:
    """The method, whose commits the grammar judges."""

    def begin(canvas: Canvas) -> Turn:
        assert canvas.mask is not None, "left to right a shaper holds the text to its grammar"
        fits = [made(row[canvas.prompt :], canvas.mask) for row in canvas.rows]
        heard: dict[tuple[int, int], Law] = {}  # (row, cell) -> its last answer

        def noted(ask: Ask) -> Ask:
            def read(answer: Answer, chance: Chance) -> Any:
                for lines in answer.rows:
                    for i, cell in enumerate(lines.cells or ()):
                        draw = partial(chance.pick, row=lines.row, position=cell, turn=lines.count)
                        heard[lines.row, cell] = Law(answer.logits[lines.start + i], None if greedy else draw)
                return ask.read(answer, chance)

            return replace(ask, read=read)

        def turn(step: Step) -> Turned:
            if isinstance(step, Commit):
                return (yield judged(step, canvas, fits, heard))
            return (yield tuple(map(noted, step)) if isinstance(step, tuple) else noted(step))

        return turn

    return turned(inner, begin)


def judged(
    commit: Commit, canvas: Canvas, fits: Sequence[Any], heard: Mapping[tuple[int, int], Law]
) -> Commit:
    """The commit as far as the grammar allows, with other tokens where it does not."""
    assert commit.at is not None
    token, at = [], []
    for h, words, cells in zip(canvas.live, commit.token, commit.at, strict=True):
        mine = {cell: heard[h, cell] for cell in cells if (h, cell) in heard}
        written = _row(canvas, h, dict(zip(cells, words, strict=True)), mine, fits[h])
        at.append(list(written))
        token.append(list(written.values()))
    keep = [[i for i in kept if i not in new] for kept, new in zip(commit.keep, map(set, at))]
    return replace(commit, token=token, at=at, keep=keep)


def _row(
    canvas: Canvas, h: int, wanted: Mapping[int, int], laws: Mapping[int, Law], fit: Any
) -> dict[int, int]:
    """Position -> token of what is written to one row."""
    assert canvas.mask is not None
    first, hole, written = canvas.prompt, canvas.mask, dict[int, int]()
    row = canvas.rows[h][first:]

    def surely(cell: int) -> float:
        law = laws.get(cell)
        return 0.0 if law is None or wanted[cell] == hole else float(law.logits.log_softmax(-1)[wanted[cell]])

    for cell in sorted(wanted, key=lambda cell: (-surely(cell), cell)):
        i, before = cell - first, row[cell - first]
        row[i] = hole
        law = None if wanted[cell] == hole else laws.get(cell)
        choices = [wanted[cell]] if law is None else law.choices(wanted[cell])
        chosen = next((t for t in choices if t == hole or fit.allowed(row, i, t)), None)
        if chosen is None and before == hole:
            return written | _completed(canvas, row, fit)
        row[i] = written[cell] = token = before if chosen is None else chosen
        if token in fit.spelling.eos:
            written |= {first + j: token for j in range(i + 1, len(row))}
            break
    return written


def _completed(canvas: Canvas, row: list[int], fit: Any) -> dict[int, int]:
    """A shortest text for the holes that are left. Raises UserError if none is known."""
    rest = fit.complete(row)
    if rest is None:
        raise UserError(
            f"no text of the {fit.name} was found that fits the {len(row)} cells; allowed is a text with an "
            "end within them; ask for more with max_tokens, or shorten the fixed text"
        )
    return {canvas.prompt + i: token for i, token in rest.items()}
