"""Writing under another law of the next token: a rule turns what nets say into logits, any method reads them.

    momentum    logits of the likeliest tokens, less where they would close a circle
    dola        what the last block says, against what an earlier one says
    ensemble    the mean of two nets' laws

`under` runs a method so that wherever it asks the target it reads the rule's logits. Whatever the method is,
plain, speculative or a search, it then does under that law what it does under the target's: the text of
`momentum/then=prompt_lookup` is that of `momentum`, for fewer runs. For that a rule says of every line what
it would say had the guesses before it been written; `continued` tells it the text of each.

>>> under(setting.method("beam/width=4"), rule)                          # of the target alone
>>> under(setting.method("prompt_lookup"), rule, nets=("second",))       # of two nets
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Commit, Flow, Method

Rule = Callable[[Sequence[Answer], Canvas], Tensor]
"""(shaped answers of the target and of the other nets, canvas) -> logits [M, V]."""


class Line(NamedTuple):
    """A line of an answer and the text it continues."""

    at: int  # its place in the answer
    row: int
    length: int  # tokens of the row's text that stand before it
    path: tuple[int, ...]  # guesses behind those


def continued(answer: Answer) -> Iterator[Line]:
    """Every line of an answer with what it continues. Lines that the ask skipped are not there, and guesses
    that mix tokens are no text."""
    first = 0  # a row's lines begin where those of the row before it end
    for lines in answer.rows:
        if lines.cells is not None:
            yield from (Line(lines.start + i, lines.row, cell, ()) for i, cell in enumerate(lines.cells))
            continue
        paths: dict[int, tuple[int, ...]] = {-1: ()}
        if lines.start >= first:
            yield Line(lines.start, lines.row, lines.length, ())
        for node, (token, parent) in enumerate(zip(lines.tree.token, lines.tree.parent, strict=True)):
            paths[node] = (*paths[parent], token) if token >= 0 else paths[parent]
            if lines.start + 1 + node >= first:
                yield Line(lines.start + 1 + node, lines.row, lines.length, paths[node])
        first = max(first, lines.start + lines.count)


def writer(setting: Setting, then: str) -> Method:
    """The method of an option `then`; empty: greedy, and above temperature 0 sample. Raises ValueError."""
    made: Method = setting.method(then or ("greedy" if setting.greedy else "sample"))
    return made


def under(inner: Method, rule: Rule, nets: Sequence[str] = (), layers: Sequence[int] = ()) -> Method:
    """The method, reading the rule's logits wherever it asks the target.

    `nets`: whose laws the rule wants besides, each asked about the same guesses in the same step. `layers`:
    of the target's, whose states it wants.
    """

    def read(ask: Ask, answers: Sequence[Answer], chance: Chance, canvas: Canvas) -> Any:
        mine = answers[0]
        own = {layer: mine.layers[layer] for layer in ask.layers}
        with torch.no_grad():  # a rule may run the net's head, whose weights may be open to gradients
            logits = rule(answers, canvas)
        return ask.read(replace(mine, logits=logits, layers=own), chance)

    def asked(ask: Ask, canvas: Canvas) -> tuple[Ask, ...]:
        """What is asked for the sake of one ask of the method."""
        if ask.net != "target":
            return (ask,)
        more = tuple(sorted({*ask.layers, *layers}))
        if not nets:
            return (replace(ask, read=lambda a, chance: read(ask, (a,), chance, canvas), layers=more),)
        others = (replace(ask, read=whole, net=net, layers=()) for net in nets)
        return (replace(ask, read=whole, layers=more), *others)

    def told(ask: Ask, replies: Sequence[Any], canvas: Canvas) -> Any:
        """What the method receives for its ask."""
        if ask.net != "target" or not nets:
            return replies[0]
        (_, chance), *_ = replies
        return read(ask, [answer for answer, _ in replies], chance, canvas)

    return instead(inner, asked, told)


def asking(inner: Method, net: str) -> Method:
    """The method, asking a net wherever it asks the target, with the target's own chances."""

    def asked(ask: Ask, canvas: Canvas) -> tuple[Ask, ...]:
        if ask.net != "target":
            return (ask,)
        return (replace(ask, net=net, read=lambda a, chance: ask.read(a, chance.of("target"))),)

    return instead(inner, asked, lambda ask, replies, canvas: replies[0])


Asked = Callable[[Ask, Canvas], tuple[Ask, ...]]
Told = Callable[[Ask, Sequence[Any], Canvas], Any]


def instead(inner: Method, asked: Asked, told: Told) -> Method:
    """The method, where for each of its asks others are made, and it is told what they came to."""

    def begin(canvas: Canvas) -> Turn:
        def turn(step: Step) -> Turned:
            if isinstance(step, Commit):
                return (yield step)
            asks = step if isinstance(step, tuple) else (step,)
            groups = [asked(ask, canvas) for ask in asks]
            replies = iter((yield tuple(one for group in groups for one in group)))
            said = [
                told(ask, [next(replies) for _ in group], canvas)
                for ask, group in zip(asks, groups, strict=True)
            ]
            return tuple(said) if isinstance(step, tuple) else said[0]

        return turn

    return turned(inner, begin)


Step = Ask | Commit | tuple[Ask, ...]
Turned = Generator[Step, Any, Any]  # what is done in a step's place; returns what the method is told
Turn = Callable[[Step], Turned]


def turned(inner: Method, begin: Callable[[Canvas], Turn]) -> Method:
    """The method, with something else done in the place of each of its steps."""

    def flow(canvas: Canvas) -> Flow:
        going, reply, turn = inner(canvas), None, begin(canvas)
        try:
            while True:
                try:
                    step = going.send(reply)
                except StopIteration:
                    return
                reply = yield from turn(step)
        finally:
            going.close()

    return flow


def whole(answer: Answer, chance: Chance) -> tuple[Answer, Chance]:
    """The answer, to be read together with other nets'."""
    return answer, chance
