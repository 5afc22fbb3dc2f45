"""Shapers: logits to logits, before anybody reads them.

A shaper sees the text each line continues: the row and, for a guess, the guessed path that leads to it. So a
penalty acts along every branch of a tree exactly as it would have acted had the branch been written.

>>> shape = compose(Sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.1))
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.decode import as_it_is
from anyorder.core.types import Answer, Shape

INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Context:
    """What the lines of an answer continue."""

    answer: Answer
    canvas: Canvas

    def counts(self, prompt: bool) -> Iterator[tuple[int, Counter[int]]]:
        """(line, how often each token stands before it); `prompt`: count the prompt too.

        With `at`, every line continues the whole row as far as it is written. Lines the ask skipped are not
        there: a row's lines begin where those of the row before it end.
        """
        first = 0
        for lines in self.answer.rows:
            row = self.canvas.rows[lines.row][0 if prompt else self.canvas.prompt :]
            base = Counter(t for t in row if t != self.canvas.mask)
            if (
                lines.cells is not None and self.canvas.mask is None
            ):  # cells of a text, told by what is before
                start = 0 if prompt else self.canvas.prompt
                for i, cell in enumerate(lines.cells):
                    yield lines.start + i, Counter(self.canvas.rows[lines.row][start:cell])
                continue
            if lines.cells is not None:
                yield from ((lines.start + i, base) for i in range(lines.count))
                continue
            if lines.start >= first:
                yield lines.start, base
            seen = {-1: base}
            for node, (token, parent) in enumerate(zip(lines.tree.token, lines.tree.parent, strict=True)):
                seen[node] = seen[parent] + Counter([token] * (token >= 0))  # a soft one is no text
                if lines.start + 1 + node >= first:
                    yield lines.start + 1 + node, seen[node]
            first = max(first, lines.start + lines.count)


Shaper = Callable[[Tensor, Context], Tensor]  # logits [M, V] float -> [M, V]; may change its argument


def temperature(t: float) -> Shaper:
    """Divide by t; t = 0 leaves only the likeliest token (the lowest id among equals)."""
    if t > 0:
        return lambda logits, context: logits.div_(t)

    def coldest(logits: Tensor, context: Context) -> Tensor:
        best = logits.argmax(-1, keepdim=True)
        return torch.full_like(logits, -INFINITY).scatter_(-1, best, 0.0)

    return coldest


def top_k(k: int) -> Shaper:
    """Keep the k likeliest tokens, and their equals."""

    def shape(logits: Tensor, context: Context) -> Tensor:
        worst = logits.topk(min(k, logits.shape[-1]))[0][..., -1:]
        return logits.masked_fill_(logits < worst, -INFINITY)

    return shape


def top_p(mass: float) -> Shaper:
    """Keep the fewest likeliest tokens whose probabilities reach `mass` (nucleus)."""

    def shape(logits: Tensor, context: Context) -> Tensor:
        ordered, index = logits.sort(dim=-1, descending=True, stable=True)
        law = ordered.softmax(-1)
        beyond = law.cumsum(-1) - law >= mass  # what stands before a token already reaches the mass
        beyond[..., 0] = False
        return logits.masked_fill_(beyond.scatter(-1, index, beyond), -INFINITY)

    return shape


def min_p(share: float) -> Shaper:
    """Keep tokens at least `share` times as likely as the likeliest."""
    least = math.log(share)

    def shape(logits: Tensor, context: Context) -> Tensor:
        return logits.masked_fill_(logits < logits.amax(-1, keepdim=True) + least, -INFINITY)

    return shape


def typical_p(mass: float) -> Shaper:
    """Keep the fewest tokens whose surprise is nearest to the law's entropy and whose probabilities reach
    `mass` (locally typical sampling: Meister et al. 2022, arXiv:2202.00666, equation 8)."""

    def shape(logits: Tensor, context: Context) -> Tensor:
        logp = logits.log_softmax(-1)
        entropy = -torch.special.xlogy(logp.exp(), logp.exp()).sum(-1, keepdim=True)
        _, index = (-logp - entropy).abs().sort(dim=-1, stable=True)
        law = logp.gather(-1, index).exp()
        beyond = law.cumsum(-1) - law >= mass
        beyond[..., 0] = False
        return logits.masked_fill_(torch.zeros_like(beyond).scatter(-1, index, beyond), -INFINITY)

    return shape


def epsilon_cutoff(epsilon: float) -> Shaper:
    """Keep tokens at least epsilon likely, and the likeliest (Hewitt et al. 2022, arXiv:2210.15191)."""
    return _cutoff(lambda entropy: torch.full_like(entropy, epsilon))


def eta_cutoff(eta: float) -> Shaper:
    """Keep tokens at least min(eta, sqrt(eta) exp(-entropy)) likely, and the likeliest (Hewitt et al. 2022,
    arXiv:2210.15191, section 3.2)."""
    return _cutoff(lambda entropy: (math.sqrt(eta) * (-entropy).exp()).clamp(max=eta))


def _cutoff(least: Callable[[Tensor], Tensor]) -> Shaper:
    """Keep tokens at least `least(entropy [M, 1])` likely, and the likeliest."""

    def shape(logits: Tensor, context: Context) -> Tensor:
        law = logits.softmax(-1)
        entropy = -torch.special.xlogy(law, law).sum(-1, keepdim=True)
        below = (law < least(entropy)) & (law < law.amax(-1, keepdim=True))
        return logits.masked_fill_(below, -INFINITY)

    return shape


def repetition_penalty(factor: float) -> Shaper:
    """Logits of tokens already in prompt or text: positive ones divided by factor, others multiplied
    (Keskar et al. 2019, section 4.1)."""

    def shape(logits: Tensor, context: Context) -> Tensor:
        for line, count in context.counts(prompt=True):
            ids = torch.tensor(list(count), dtype=torch.long, device=logits.device)
            old = logits[line, ids]
            logits[line, ids] = torch.where(old > 0, old / factor, old * factor)
        return logits

    return shape


def count_penalty(presence: float, frequency: float) -> Shaper:
    """Subtract `presence` once and `frequency` per occurrence for tokens generated so far."""

    def shape(logits: Tensor, context: Context) -> Tensor:
        for line, count in context.counts(prompt=False):
            ids = torch.tensor(list(count), dtype=torch.long, device=logits.device)
            times = torch.tensor(list(count.values()), dtype=logits.dtype, device=logits.device)
            logits[line, ids] -= presence + frequency * times
        return logits

    return shape


def logit_bias(bias: Mapping[int, float]) -> Shaper:
    """Add a number to the logits of some tokens."""
    ids = torch.tensor(list(bias), dtype=torch.long)
    value = torch.tensor(list(bias.values()), dtype=torch.float64)

    def shape(logits: Tensor, context: Context) -> Tensor:
        logits[:, ids.to(logits.device)] += value.to(logits)
        return logits

    return shape


def ban(tokens: Sequence[int]) -> Shaper:
    """Make tokens impossible."""
    return logit_bias(dict.fromkeys(tokens, -INFINITY))


@dataclass(frozen=True)
class Sampling:
    """How next-token laws are shaped, the same for every method.

    `registry.SHAPING` says what the numbers mean and bounds them. The defaults change nothing; temperature 0
    takes the likeliest token.
    """

    logit_bias: Mapping[int, float] = field(default_factory=dict)
    banned: tuple[int, ...] = ()
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    epsilon: float = 0.0
    eta: float = 0.0
    constraint: Shaper | None = None  # what a text may be; see `anyorder.constraints`

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def shapers(self) -> list[Shaper]:
        made: list[Shaper] = []
        if self.logit_bias:
            made.append(logit_bias(self.logit_bias))
        if self.banned:
            made.append(ban(self.banned))
        if self.repetition_penalty != 1:
            made.append(repetition_penalty(self.repetition_penalty))
        if self.presence_penalty or self.frequency_penalty:
            made.append(count_penalty(self.presence_penalty, self.frequency_penalty))
        if self.constraint is not None:
            made.append(self.constraint)
        if not self.greedy:
            if self.temperature != 1:
                made.append(temperature(self.temperature))
            if self.top_k:
                made.append(top_k(self.top_k))
            if self.top_p < 1:
                made.append(top_p(self.top_p))
            if self.min_p:
                made.append(min_p(self.min_p))
            if self.typical_p < 1:
                made.append(typical_p(self.typical_p))
            if self.epsilon:
                made.append(epsilon_cutoff(self.epsilon))
            if self.eta:
                made.append(eta_cutoff(self.eta))
        return made


def chained(shapers: Sequence[Shaper]) -> Shape:
    """Shapers one after the other, on a copy of the logits in at least float32."""
    if not shapers:
        return as_it_is

    def shape(answer: Answer, canvas: Canvas) -> Answer:
        context = Context(answer, canvas)
        logits = answer.logits.to(torch.promote_types(answer.logits.dtype, torch.float32), copy=True)
        for shaper in shapers:
            logits = shaper(logits, context)
        return replace(answer, logits=logits)

    return shape


def compose(sampling: Sampling) -> Shape:
    """The shape a request asked for."""
    return chained(sampling.shapers())
