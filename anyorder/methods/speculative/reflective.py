"""Reflective verification (Think Before You Accept, arXiv:2505.18629): the target reads the draft twice.

Behind the drafted branch stand a sentence that asks to reconsider, the last tokens of the text, and the
branch once more, all in the one run that judges it:

    text | d1 d2 d3 | reflection | end of the text | d1 d2 d3

The first copy says what the target thinks of each token, the second what it thinks having seen where they
lead. A guess is judged by (1 - share) * first + share * second, in logits; whatever else is written is the
first's. Lossy, unless share is 0. The second copy sees the first, so it is inclined to agree.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Commit, Flow, Lines, Method, Tree
from anyorder.drafter import Drafter
from anyorder.methods.speculative.rules import walk
from anyorder.methods.speculative.speculative import fitted

CARD = Card(
    name="reflective",
    family="speculative",
    paper="arXiv:2505.18629",
    exact=False,
    summary="judges a draft by what the target says of it before and after it has read it (lossy)",
    headline="5 to 15 % on top of exact or typical verification",
    cost="1 target run per commit, the cells of the draft, twice, and those of reflection and prefix",
    options=(
        Option("drafter", "prompt_lookup", "who guesses, with its options: name/option=value"),
        Option("share", 0.3, "weight of the second reading; 0: greedy or match, exactly", low=0, high=1),
        Option("reflection", "\nRead it again and correct it:\n", "what stands between the two copies"),
        Option("prefix", 4, "tokens of the text repeated before the second copy", low=1, high=64),
    ),
    departures=(
        "reflection, prefix and share are ours; the paper's wording was not at hand",
        "of a tree the branch of first children is read twice, the other nodes are judged as ever (ours)",
        "above temperature 0 the second reading changes the chance of the guess; among the other tokens the "
        "target's own law decides, in one draw of the noise that `match` uses (ours)",
        "without a tokenizer there is no reflection; near the end of the context there is no second copy",
    ),
)  # fmt: skip


Between = Callable[[Sequence[int]], list[int]]  # a row's text -> what stands between the copies


class Twice(NamedTuple):
    """One row's guesses: the drafted tree, its branch of first children, and all that the run is given."""

    tree: Tree
    branch: tuple[int, ...]
    whole: Tree

    def second(self, i: int) -> int:
        """The line that says, on second reading, what comes after i tokens of the branch."""
        return len(self.whole) - len(self.branch) + i


def twice(tree: Tree, between: Sequence[int], room: int) -> Twice:
    """The tree with a second copy of its first branch; without, where there is no branch or no room."""
    children, branch = tree.children(), []
    node = -1
    while node in children and tree.token[children[node][0]] >= 0:
        node = children[node][0]
        branch.append(node)
    more = [*between, *(tree.token[node] for node in branch)]
    if not branch or len(branch) + len(more) > room:
        return Twice(tree, (), tree)
    parent = (branch[-1], *range(len(tree), len(tree) + len(more) - 1))
    source = tree.source and (*tree.source, *(CARD.name,) * len(more))
    whole = Tree((*tree.token, *more), (*tree.parent, *parent), None, source, tree.soft)
    return Twice(tree, tuple(branch), whole)


def fused(first: Tensor, second: Tensor, share: float) -> Tensor:
    """[V] the two readings' logits mixed; the first alone where no token is possible in both."""
    if share in (0, 1):
        return second if share else first
    both = (1 - share) * first + share * second
    return first if bool(both.max().isinf()) else both


def swayed(first: Tensor, second: Tensor, token: int, share: float) -> Tensor:
    """[V] logits of the first reading, but `token` as likely as the mixture finds it."""
    law, chance = first.double().log_softmax(-1), fused(first, second, share).double().log_softmax(-1)[token]
    others, left = (
        (-law[token].exp()).log1p(),
        (-chance.exp()).log1p(),
    )  # logs of 1 - p(token), before and after
    if not others.isinf():
        law = law - others + left  # the others keep their proportions
    return law.index_fill(0, torch.tensor([token], device=law.device), float(chance))


def judge(
    answer: Answer, chance: Chance, given: Sequence[Twice], share: float, greedy: bool
) -> list[list[int]]:
    def path(lines: Lines, guess: Twice) -> list[int]:
        steps = {1 + node: i for i, node in enumerate((-1, *guess.branch[:-1]))} if guess.branch else {}

        def token(line: int) -> int:
            first = answer.logits[lines.start + line]
            own = int(first.argmax()) if greedy else -1
            if line in steps:
                drafted = guess.tree.token[guess.branch[steps[line]]]
                second = answer.logits[lines.start + guess.second(steps[line])]
                if greedy:
                    return drafted if int(fused(first, second, share).argmax()) == drafted else own
                first = swayed(first, second, drafted, share)
            return own if greedy else chance.pick(first, lines.row, lines.position(line))

        return walk(lines, token)

    return [path(lines, guess) for lines, guess in zip(answer.rows, given, strict=True)]


def reflecting(canvas: Canvas, drafter: Drafter, setting: Setting, share: float, between: Between) -> Flow:
    try:
        while True:
            trees = fitted(canvas, (yield from drafter.draft(canvas)), setting)
            rows = [canvas.rows[row] for row in canvas.live]
            room = [setting.context - len(row) if share else 0 for row in rows]
            given = [twice(tree, between(row), n) for tree, row, n in zip(trees, rows, room, strict=True)]

            def read(answer: Answer, chance: Chance, given: list[Twice] = given) -> tuple[Any, Any]:
                pairs = zip(answer.rows, given, strict=True)
                drafted = replace(answer, rows=tuple(replace(x, tree=twice.tree) for x, twice in pairs))
                return judge(drafted, chance, given, share, setting.greedy), drafter.look(drafted, chance)

            paths, seen = yield Ask(read, guess=tuple(guess.whole for guess in given))
            drafter.learn(canvas, trees, seen, paths)
            yield Commit(paths)  # of the first copy only
    finally:
        drafter.close()


def reflective(setting: Setting, drafter: str, share: float, reflection: str, prefix: int) -> Method:
    made = setting.make(drafter)
    words = setting.encode(reflection) if setting.encode is not None else []
    return lambda canvas: reflecting(canvas, made, setting, share, lambda row: [*words, *row[-prefix:]])
