"""Superposed Decoding (Shen et al. 2024, arXiv:2405.18400): k drafts from one run for each position.

The next cell reads a mixture of the drafts' last tokens, weighted by how likely the drafts are; what is said
there serves them all. So k continuations cost what one costs. An n-gram model, told each draft's own text,
keeps them apart and coherent.

>>> gammas([Draft((7,), -1.0), Draft((8,), -1.0)])
{7: 0.5, 8: 0.5}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import exp, inf, log
from typing import Any, NamedTuple

import numpy as np

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Reader, Tree
from anyorder.tables import Table, of_tokens
from anyorder.trees import mixture

LAMBDA = {2: 0.01, 3: 0.04, 4: 0.15, 5: 0.18, 6: 0.12}  # n -> weight of the n-grams, the paper's
UNSEEN = -200.0  # added to the log-probabilities of a draft that no n-gram knows, the reference's

Said = Sequence[tuple[int, float]]  # candidates and their log-probabilities, best first


class Draft(NamedTuple):
    """A continuation, and the sum of log p_f of its tokens."""

    token: tuple[int, ...] = ()
    score: float = 0.0


class Grams:
    """The n-gram model of some texts: p_ng = sum of lambda_n p_n, where what was never seen adds 0.

    The texts are tables with suffix arrays: the places where a phrase stands are neighbours in it.
    """

    def __init__(self, tables: Sequence[Table]):
        self.tables = tables

    def __call__(self, text: Sequence[int], tokens: Sequence[int]) -> list[float]:
        """p_ng of each token after the text."""
        total = np.zeros(len(tokens))
        for n, weight in LAMBDA.items():
            if len(text) >= n - 1:
                after = [following(table, text[len(text) - n + 1 :]) for table in self.tables]
                seen = np.concatenate(after)
                if len(seen):
                    total += weight * (seen == np.array(tokens)[:, None]).mean(1)
        return total.tolist()


def following(table: Table, phrase: Sequence[int]) -> np.ndarray:
    """What follows the phrase, at every place where the table's texts have it."""
    token, suffix, size = table.token, table.suffix, len(phrase)
    ends = []
    for beyond in (False, True):  # the first place that is not before the phrase, the first that is behind it
        low, high = 0, len(suffix)
        while low < high:
            middle = (low + high) // 2
            here = token[suffix[middle] : suffix[middle] + size].tolist()
            if here < list(phrase) or (beyond and here == list(phrase)):
                low = middle + 1
            else:
                high = middle
        ends.append(low)
    return token[suffix[ends[0] : ends[1]] + size]  # a text ends in a gap, so there is always a next one


def with_text(table: Table | None, text: Sequence[int]) -> Grams:
    """The n-grams of a corpus, if there is one, and of a text."""
    own = of_tokens([list(text)])
    return Grams((own,) if table is None else (table, own))


@dataclass(frozen=True)
class Superposition:
    """How drafts are chosen: k of them, from so many candidates of softmax(logits / sharpness), with n-grams
    at the power alpha."""

    drafts: int = 3
    candidates: int = 9
    sharpness: float = 0.06
    alpha: float = 0.0


def smoothed(said: Said, grams: list[float], alpha: float) -> Said:
    """log p_f = (1 - alpha) log p + alpha log p_ng of the candidates that have n-grams; where none has, all
    of them at a large penalty, which keeps their order."""
    known = [(t, (1 - alpha) * p + alpha * log(g)) for (t, p), g in zip(said, grams, strict=True) if g > 0]
    return known or [(t, (1 - alpha) * p + UNSEEN) for t, p in said]


def gammas(drafts: Collection[Draft]) -> dict[int, float]:
    """Last token of the drafts -> gamma: a draft's share of their joint probabilities. Rounded, so that
    machines that differ in a last bit mix the same."""
    best = max(draft.score for draft in drafts)
    share = [exp(draft.score - best) for draft in drafts]
    gamma: dict[int, float] = {}
    for draft, p in zip(drafts, share, strict=True):
        gamma[draft.token[-1]] = gamma.get(draft.token[-1], 0.0) + p / sum(share)
    return {token: round(weight, 9) for token, weight in gamma.items()}


@cache
def newest(count: int, sharpness: float) -> Reader:
    """For each live row: the `count` likeliest tokens after its last guess, of the sharpened law."""

    def read(answer: Answer, chance: Chance) -> list[Said]:
        out: list[Said] = []
        for lines in answer.rows:
            logits = answer.logits[lines.start + len(lines.tree)].double() / sharpness
            token = logits.topk(min(count, len(logits)))[1]
            pairs = zip(token.tolist(), logits.log_softmax(-1)[token].tolist(), strict=True)
            out.append(sorted(((t, p) for t, p in pairs if p > -inf), key=lambda pair: (-pair[1], pair[0])))
        return out

    return read


def superpose(
    canvas: Canvas,
    how: Superposition,
    tokens: int,
    grams: Callable[[int], Grams] | None = None,
    net: str = "target",
    eos: Collection[int] = (),
) -> Generator[Ask, Any, list[list[Draft]]]:
    """For each live row its drafts, best first, one run of the net for each of `tokens` positions. Drafts
    that ended keep their place in the ranking and leave the mixture. `grams(row)`: what alpha works with."""
    live = canvas.live
    trees = [Tree()] * len(live)
    drafts = [[Draft()] for _ in live]
    known = [grams(row) if grams and how.alpha else None for row in live]
    for depth in range(tokens):
        read = newest(max(how.drafts, how.candidates), how.sharpness if depth else 1.0)
        for i, said in enumerate((yield Ask(read, guess=tuple(trees), net=net, skip=depth))):
            rated = partial(weighed, said, how, known[i], canvas.rows[live[i]])
            drafts[i] = extended(drafts[i], rated, how.drafts, eos)
            going = [draft for draft in drafts[i] if draft.token[-1] not in eos]
            if not going:
                return drafts
            trees[i] = grown(trees[i], gammas(going))
    return drafts


def weighed(said: Said, how: Superposition, grams: Grams | None, text: list[int], draft: Draft) -> Said:
    """What may extend a draft; step 1 takes the likeliest as they are."""
    if not draft.token:
        return said
    best = said[: how.candidates]
    return smoothed(best, grams([*text, *draft.token], [t for t, _ in best]), how.alpha) if grams else best


def extended(
    drafts: Sequence[Draft], rated: Callable[[Draft], Said], k: int, eos: Collection[int]
) -> list[Draft]:
    """The k best of all drafts that ended and all extensions of the others."""
    found = []
    for draft in drafts:
        if draft.token and draft.token[-1] in eos:
            found.append(draft)
        else:
            found += [Draft((*draft.token, t), draft.score + p) for t, p in rated(draft)]
    return sorted(found, key=lambda draft: -draft.score)[:k]


def grown(tree: Tree, gamma: dict[int, float]) -> Tree:
    """The chain with one more node: the mixture, or the token itself where all drafts have the same."""
    name = mixture(gamma) if len(gamma) > 1 else next(iter(gamma))
    soft = {**tree.soft, name: gamma} if name < 0 else tree.soft
    return Tree((*tree.token, name), (*tree.parent, len(tree) - 1), soft=soft)
