"""Lexical drafts (Lexical Unit Decoding, arXiv:2405.15208, judged): placeholders behind the text and behind
every guess predict the next unit, which the same model judges one run later.

The target is asked about

    text  g1  g2  *  *        the last unit's guesses, and behind the text and each of them k - 1 placeholders
     *    *
     *    *

and accepts, say, g1. What it says after g1 is its own next token; what it says after g1's placeholders is the
unit behind that token, as far as it is sure: the next guesses. Wherever acceptance ends, they are known.
"""

from weakref import WeakKeyDictionary

import numpy as np
import torch

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import likeliest, together
from anyorder.core.types import Answer, Tree
from anyorder.drafter import Drafter, by_row

CARD = Card(
    name="lexical_draft",
    family="speculative",
    paper="arXiv:2405.15208",
    exact=True,
    kind="point",
    summary="placeholders behind text and guesses predict the next unit, which is judged one run later",
    headline="33 % speed-up on text with a model trained on units (as the lossy method)",
    cost="1 target run per commit, up to unit * unit cells",
    options=(
        Option("unit", 3, "tokens that a run may commit, at most", low=2, high=16),
        Option("beta", 0.1, "least probability of a guess", low=0, high=1),
        Option("placeholder", -1, "the token that stands for what is not known; -1: the one that ends texts, "
               "0 where none does", low=-1),
    ),
    departures=(
        "the paper commits units unjudged, which is the method lexical_unit; judging them is ours",
        "the paper's thresholds, unit length and placeholder were not found; these are ours",
        "a model that was not trained on units fills placeholders badly, so few guesses hold (1.03 tokens a "
        "run on the embedded model)",
    ),
)  # fmt: skip


@together
def sure(answer: Answer, chance: Chance) -> list[np.ndarray]:
    """For each live row: [lines, 2] the likeliest token after its end and each guess, and its probability."""
    best = likeliest(answer.logits)
    kind = torch.promote_types(answer.logits.dtype, torch.float32)
    chances = answer.logits.softmax(-1, dtype=kind).gather(1, best[:, None])[:, 0]
    both = np.stack([best.cpu().numpy(), chances.cpu().numpy()], 1)
    return [both[lines.start : lines.start + lines.count] for lines in answer.rows]


def spread(guesses: list[int], placeholder: int, count: int) -> Tree:
    """A chain of guesses; behind the text's end and each of them a chain of `count` placeholders."""
    token, parent = list(guesses), list(range(-1, len(guesses) - 1))
    for host in range(-1, len(guesses)):
        parent += [host, *range(len(token), len(token) + count - 1)]
        token += [placeholder] * count
    source = [CARD.name] * len(guesses) + ["placeholder"] * (len(token) - len(guesses))
    return Tree(tuple(token), tuple(parent), source=tuple(source))


def unit_behind(tree: Tree, seen: np.ndarray, path: list[int], beta: float) -> list[int]:
    """The guesses that follow a path about to be committed: its last token is the target's own, said after a
    node of the tree; that node's placeholders say what comes next."""
    children, own = tree.children(), tree.source or ("",) * len(tree)
    nodes = [-1]
    for t in path[:-1]:  # a placeholder may spell what a guess spells
        nodes = [i for node in nodes for i in children.get(node, ()) if tree.token[i] == t]
    unit: list[int] = []
    while nodes := [i for node in nodes for i in children.get(node, ()) if own[i] == "placeholder"]:
        token, chance = seen[nodes[0] + 1]
        if chance < beta:
            break
        unit.append(int(token))
    return unit


def lexical_draft(setting: Setting, unit: int, beta: float, placeholder: int) -> Drafter:
    if placeholder >= setting.vocab:
        raise ValueError(
            f"option placeholder is {placeholder}; allowed is -1 to {setting.vocab - 1}; choose one of these"
        )
    hidden = placeholder if placeholder >= 0 else (setting.eos or (0,))[0]
    units: WeakKeyDictionary[Canvas, dict[int, list[int]]] = WeakKeyDictionary()

    def guess(canvas: Canvas, row: int) -> Tree:
        return spread(units.get(canvas, {}).get(row, []), hidden, unit - 1)

    def learn(canvas, trees, seen, paths) -> None:
        for row, tree, said, path in zip(canvas.live, trees, seen, paths, strict=True):
            units.setdefault(canvas, {})[row] = unit_behind(tree, said, path, beta)

    return Drafter(by_row(guess), look=sure, learn=learn)
