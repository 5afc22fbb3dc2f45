"""Typical acceptance (Medusa, arXiv:2401.10774): a guess that is likely enough holds, drawn or not.

A guess x is accepted if p(x) > min(epsilon, delta exp(-H(p))): where the target is sure only its likeliest
tokens pass, where its entropy H is large less likely ones do. The longest accepted path becomes text, and one
token of the target's own, which the next run judges nothing about (the "root" of the paper). Lossy: the text
is one the target might have written, but neither its greedy text nor drawn from its law.
"""

from functools import lru_cache
from math import log

from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Lines, Method, Reader
from anyorder.methods.speculative.speculative import speculative

CARD = Card(
    name="typical",
    family="speculative",
    paper="arXiv:2401.10774",
    exact=False,
    summary="accepts every guess that the target finds likely enough (lossy)",
    headline="Medusa-1 2.2x, Medusa-2 2.3x to 3.6x with trained heads",
    cost="1 target run per commit, the cells of the drafter's guesses",
    options=(
        Option("drafter", "token_recycling", "who guesses, with its options: name/option=value"),
        Option("epsilon", 0.09, "a guess likelier than this is accepted", low=0, high=1),
        Option("delta", 0.3, "and one likelier than delta * exp(-entropy)", low=0, high=1),
    ),
    departures=(
        "above temperature 0 the target's own token is drawn from its law, the paper takes the likeliest "
        "(ours); so without accepted guesses the text is plain sampling's",
        "at temperature 0 p is the law at temperature 1 (ours); the reference code verifies greedily there",
        "the first tokens of a text are judged too; the reference writes one token of the target's own first",
    ),
)  # fmt: skip


def accepted(laws: Tensor, lines: Lines, epsilon: float, delta: float) -> list[int]:
    """The nodes of the longest accepted path; of several the one with the largest sum of log p."""
    entropy = -(laws * (laws + 1e-5).log()).sum(-1)  # [1 + N]
    least = (delta * (-entropy).exp()).clamp(max=epsilon).tolist()
    tree = lines.tree
    best: tuple[int, float, list[int]] = (0, 0.0, [])
    ways: dict[int, tuple[float, list[int]]] = {-1: (0.0, [])}  # accepted nodes: sum of log p, path of nodes
    for node, (token, parent) in enumerate(zip(tree.token, tree.parent, strict=True)):
        p = float(laws[1 + parent, token]) if token >= 0 else 0.0  # soft ones are never text
        if parent in ways and p > least[1 + parent]:
            weight, path = ways[parent]
            weight, path = weight + log(p), [*path, node]
            ways[node] = (weight, path)
            if len(path) > best[0] or (len(path) == best[0] and weight > best[1]):
                best = (len(path), weight, path)
    return best[2]


@lru_cache
def rule(epsilon: float, delta: float, greedy: bool) -> Reader:
    def read(answer: Answer, chance: Chance) -> list[list[int]]:
        paths = []
        for lines in answer.rows:
            logits = answer.logits[lines.start : lines.start + lines.count]
            nodes = accepted(logits.double().softmax(-1), lines, epsilon, delta)
            line = 1 + nodes[-1] if nodes else 0
            if greedy:
                own = int(logits[line].argmax())
            else:
                own = chance.pick(logits[line], lines.row, lines.position(line))
            paths.append([*(lines.tree.token[node] for node in nodes), own])
        return paths

    return read


def typical(setting: Setting, drafter: str, epsilon: float, delta: float) -> Method:
    made = setting.make(drafter)
    return lambda canvas: speculative(canvas, made, rule(epsilon, delta, setting.greedy), setting)
