"""A diffusion model that is never wrong about a cell: the law of valid answers, given what is written.

It knows all answers to a prompt, each as likely as the others. Asked for a cell it counts, among the answers
that agree with everything written, what stands there. So whatever a policy writes that is no answer is the
policy's fault: it wrote cells together that hang on each other (ParallelBench, arXiv:2510.04767).

>>> (record,) = play([oracle_request(lists.draw("shuffle", 6, random.Random(0), NAMES), "static")])
>>> valid(record.request)
True
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.types import Answer, Ask, Commit, Lines
from anyorder.tasks.lists import Example, said
from anyorder.tasks.rules import answers
from anyorder.tasks.vocabulary import END, IDS, MASK, STOP, WORDS

CELLS = 8  # that a list is written in
NOWHERE = 1e-9  # chance of a token that stands there in no answer


class Oracle:
    """A net of perfect marginals. `dead` counts the rows it was asked about that no answer agrees with.

    `answers`: prompt -> its answers, all of one length or ended with `eos` by a longer canvas. `noise` is the
    standard deviation of what is added to logits, a function of seed, text and cell: a net that misjudges its
    own certainty.
    """

    can = frozenset({"rows", "pack", "any-order", "full", "blind"})

    def __init__(
        self,
        answers: Mapping[tuple[int, ...], Sequence[Sequence[int]]],
        vocab: int = len(WORDS),
        mask: int = IDS[MASK],
        eos: int = IDS[END],
        *,
        temperature: float = 1.0,
        noise: float = 0.0,
        seed: int = 0,
    ):
        assert temperature > 0, "logits are divided by the temperature"
        self.answers, self.vocab, self.mask, self.eos = answers, vocab, mask, eos
        self.temperature, self.noise, self.seed = temperature, noise, seed
        self.context = 1 << 20
        self.dead = 0
        self.padded: dict[tuple[tuple[int, ...], int], np.ndarray] = {}

    def forget(self) -> None:
        """Drop all caches, of which there are none."""

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        """What is said depends on the text alone."""

    def all_answers(self, prompt: tuple[int, ...], cells: int) -> np.ndarray:
        """[answers, cells] every answer to a prompt, ended and padded with `eos`."""
        if (prompt, cells) not in self.padded:
            rows = [[*y, *[self.eos] * (cells - len(y))] for y in self.answers[prompt]]
            self.padded[prompt, cells] = np.array(rows)[:, :cells]
        return self.padded[prompt, cells]

    def plain(self, row: Sequence[int], prompt: int) -> Tensor:
        """Logits [n, V] of the cells behind a prompt of so many tokens: ln(p + 1e-9)."""
        known = self.all_answers(tuple(row[:prompt]), len(row) - prompt)
        text = np.array(row[prompt:])
        fit = known[((known == text) | (text == self.mask)).all(1)]
        self.dead += not len(fit)
        law = np.zeros((len(text), self.vocab))
        if len(fit):
            np.add.at(law, (np.arange(len(text)), fit), 1 / len(fit))
        else:
            law[:] = 1 / self.vocab
        logits = torch.from_numpy(np.log(law + NOWHERE)) / self.temperature
        if self.noise:
            key = [self.seed, zlib.crc32(np.array(row, np.int64).tobytes())]
            logits += self.noise * torch.from_numpy(np.random.default_rng(key).standard_normal(law.shape))
        logits[:, self.mask] = -torch.inf
        return logits

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer]:
        return [self._answer(ask, canvas) for ask, canvas in asks]

    def _answer(self, ask: Ask, canvas: Canvas) -> Answer:
        assert ask.at is not None, "a two-way net is asked for cells"
        assert not ask.guess, "a two-way net takes no guesses"
        logits: list[Tensor] = []
        rows, start, fed = [], 0, 0
        live = canvas.live
        for h, cells, assumed, blind in zip(
            live, ask.at, ask.fill or ({},) * len(live), ask.blind or ((),) * len(live), strict=True
        ):
            row = list(canvas.rows[h])
            for cell, token in assumed.items():
                assert cell >= canvas.prompt or row[cell] == token, (
                    "the oracle answers one prompt, not another in its place"
                )
                row[cell] = token
            logits += self._lines(row, canvas.prompt, cells, frozenset(blind))
            rows.append(Lines(h, start, len(row), cells=tuple(cells)))
            start += len(cells)
            fed += len(row) + len(blind)
        said = torch.stack(logits) if logits else torch.zeros(0, self.vocab, dtype=torch.float64)
        return Answer(said, tuple(rows), cells=fed)

    def _lines(
        self, row: list[int], prompt: int, cells: Sequence[int], blind: frozenset[int]
    ) -> list[Tensor]:
        """What is said of the asked cells; of a blind one, as if it were a hole."""
        seeing: Tensor | list[Tensor] = [] if blind.issuperset(cells) else self.plain(row, prompt)
        lines = []
        for cell in cells:
            if cell in blind:
                lines.append(self.plain([*row[:cell], self.mask, *row[cell + 1 :]], prompt)[cell - prompt])
            else:
                lines.append(seeing[cell - prompt])
        return lines


# tasks ------------------------------------------------------------------------------------------------------


def prompt_of(example: Example) -> tuple[int, ...]:
    """A question in the words of the shipped model: what its tokenizer makes of `lists.said`."""
    return tuple(IDS[word] for word in (*re.findall(r"\w+", said(example)), STOP))


def oracle(examples: Sequence[Example], **options: Any) -> Oracle:
    """A net that knows the answers to these questions. Options: temperature, noise, seed."""
    known = {prompt_of(e): [[IDS[word] for word in y] for y in answers(e)] for e in examples}
    return Oracle(known, **options)


def oracle_request(
    example: Example,
    method: Any = "static",
    *,
    cells: int = 0,
    block: int | None = None,
    seed: int = 0,
    greedy: bool = True,
    net: Oracle | None = None,
    **options: Any,
) -> Request:
    """A question put to the oracle, answered by a method: its name, with its options, or a built one.

    cells: of the canvas; 0: eight, or as many as the answer needs. net: one that several requests share.
    """
    net = net or oracle([example])
    setting = Setting(greedy=greedy, vocab=net.vocab, context=net.context, eos=(net.eos,))
    run = registry.build(method, options, setting) if isinstance(method, str) else method
    budget = cells or max(CELLS, len(example.gold))
    canvas = Canvas(prompt_of(example), budget, eos=(net.eos,), mask=net.mask, block=block)
    return Request(canvas, run, {"target": net}, chance=Chance(seed))


def valid(request: Request) -> bool:
    """Whether what was written to row 0 is one of the oracle's answers."""
    net, canvas = request.nets["target"], request.canvas
    assert isinstance(net, Oracle)
    text = canvas.generated(0)
    text = text[: text.index(net.eos)] if net.eos in text else text
    return text in [list(y) for y in net.answers[tuple(canvas.rows[0][: canvas.prompt])]]
