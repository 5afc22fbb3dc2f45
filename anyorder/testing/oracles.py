"""Brute force: what the text should be, by computing everything from nothing, one token after the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.decode import as_it_is
from anyorder.core.types import Answer, Ask, Lines, Shape


def plain_line(net: Any, prompt: Sequence[int], text: Sequence[int], shape: Shape = as_it_is) -> Tensor:
    """Shaped logits [V] of the token after prompt and text, by a net that remembers nothing."""
    canvas = Canvas(prompt, len(text) + 1)
    canvas.rows[0] += text
    if hasattr(net, "plain"):
        row = canvas.rows[0]
        answer = Answer(net.plain(row)[None], (Lines(0, 0, len(row)),))
    else:
        net.forget()
        (answer,) = net([(Ask(lambda answer, chance: None), canvas)])
    return shape(answer, canvas).logits[0]


def greedy_text(
    net: Any, prompt: Sequence[int], length: int, shape: Shape = as_it_is, eos: Collection[int] = ()
) -> list[int]:
    """The likeliest token, one at a time; with the end-of-text token if it comes."""
    text: list[int] = []
    while len(text) < length and not (text and text[-1] in eos):
        text.append(int(plain_line(net, prompt, text, shape).argmax()))
    return text


def law_of_text(
    net: Any, prompt: Sequence[int], length: int, shape: Shape = as_it_is, eos: Collection[int] = ()
) -> dict[tuple[int, ...], float]:
    """The law of what plain sampling writes: every text with its probability."""
    found: dict[tuple[int, ...], float] = {}
    open_texts: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    while open_texts:
        text, weight = open_texts.pop()
        if len(text) == length or (text and text[-1] in eos):
            found[text] = weight
            continue
        law = plain_line(net, prompt, text, shape).double().softmax(-1).tolist()
        open_texts += [((*text, t), weight * p) for t, p in enumerate(law) if p > 0]
    return found


def log_probability(net: Any, prompt: Sequence[int], text: Sequence[int]) -> float:
    """log p(text | prompt)."""
    lines = [plain_line(net, prompt, text[:i]).double().log_softmax(-1)[t] for i, t in enumerate(text)]
    return float(torch.stack(lines).sum())


def likeliest_of_length(
    net: Any, prompt: Sequence[int], length: int, shape: Shape = as_it_is, eos: Collection[int] = ()
) -> tuple[tuple[int, ...], float, int]:
    """The likeliest text of exactly `length` tokens, with the end of text behind it where there is one; its
    log-probability; how many prefixes were read. Branch and bound (arXiv:2311.08817): log p of a prefix only
    falls, so a prefix that is not likelier than the best text found has nothing behind it.
    """
    best: tuple[int, ...] = ()
    found, read = float("-inf"), 0
    nodes: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    while nodes:  # depth first, the likelier child first
        text, logp = nodes.pop()
        if logp <= found:
            continue
        if len(text) == length + bool(eos):
            best, found = text, logp
            continue
        read += 1
        line = plain_line(net, prompt, text, shape).double().log_softmax(-1).tolist()
        allowed = eos if len(text) == length else [t for t in range(len(line)) if t not in eos]
        nodes += sorted((((*text, t), logp + line[t]) for t in allowed), key=lambda node: node[1])
    return best, found, read


def distance(one: Mapping[Any, float], other: Mapping[Any, float]) -> float:
    """Total variation of two laws: half the sum of all differences."""
    return 0.5 * sum(abs(one.get(x, 0.0) - other.get(x, 0.0)) for x in {*one, *other})
