"""Growing trees of guesses, child by child, by what a drafter says may follow.

A *policy* chooses the shape. It is a generator that gets a tree under way, yields the nodes whose
continuations it wants to know, and takes children from under them, one at a time; it goes on inside the
reader of the draft net's run, where there is chance to draw from. A star of three:

    def star(tree):
        yield [-1]                          # -1: the end of the row's text
        for _ in range(3):
            tree.child(-1)

Decide, then draw: a policy decides to take a child before it knows which, and what was taken stays. A token
that is looked at and then thrown away would bend the law of those that stay.

Drawn children are drawn without replacement, and the law of each is what was left. Every draw has noise of
its own: its turn tells its node and its depth, and with its position so the length of the text it was drafted
at; what a policy remembers of past drafts therefore says nothing about the draws to come.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Tree
from anyorder.drafter import Drafter, Learn, Ranked, Trees
from anyorder.trees import part

FAR = 1 << 16  # more than any depth
DEEPEST = 1 << 62  # no limit
SHARE = 0.04  # of a target's run that a draft net's takes, where nothing tells it (SmartSpec's figure)


class Taken(NamedTuple):
    node: int
    share: float  # R(y): the chance of the child among those that were left
    rest: float  # 1 - R(y)


@dataclass
class InOrder:
    """What may follow, likeliest first; deterministic."""

    ranked: Ranked
    next: int = 0
    left: float = 1.0

    def __bool__(self) -> bool:
        return self.next < len(self.ranked)

    def take(self, chance: Chance | None, *place: int) -> tuple[int, float, float, None]:
        token, worth = self.ranked[self.next]
        share = min(1.0, worth / self.left) if self.left > 0 else 0.0
        self.next, self.left = self.next + 1, max(0.0, self.left - worth)
        return token, share, 1.0 - share, None


@dataclass
class Urn:
    """What may follow, to be drawn without replacement."""

    law: Tensor  # [V] float64, of those that are left
    some: bool = True

    def __bool__(self) -> bool:
        return self.some

    def take(self, chance: Chance | None, *place: int) -> tuple[int, float, float, Tensor]:
        assert chance is not None, "draws need chance"
        law = self.law
        token = chance.pick(law.log(), *place)
        share, rest = float(law[token]), law.clone()
        rest[token] = 0.0
        total = float(rest.sum())
        self.some = total > 0
        self.law = rest / total if total > 0 else rest
        return token, share, total, law


@dataclass
class Growing:
    """The tree of one row under way. Lists are over its nodes; a child comes after its parent and after its
    elder siblings."""

    row: int
    length: int  # tokens in the row's text
    room: int  # no node is deeper
    chance: Chance | None = None  # of the latest run
    token: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    law: list[Tensor] = field(default_factory=list)  # that each was drawn from, if it was drawn
    below: dict[int, InOrder | Urn] = field(default_factory=dict)  # node -> its next children, once known
    said: dict[int, Tensor] = field(default_factory=dict)  # node -> [V] the net's law of what follows it
    hidden: dict[int, Tensor] = field(default_factory=dict)  # node -> [D] the net's state at it

    def can(self, node: int) -> bool:
        """Whether a child of the node may be taken, or asked about."""
        return self.deep(node) < self.room and bool(self.below.get(node, True))

    def deep(self, node: int) -> int:
        return self.depth[node] if node >= 0 else 0

    def child(self, node: int) -> Taken:
        """Take the next child of a node whose continuations are known."""
        made, depth = len(self.token), self.deep(node)
        place = (self.row, self.length + depth, made * FAR + depth)
        token, share, rest, law = self.below[node].take(self.chance, *place)
        self.token.append(token)
        self.parent.append(node)
        self.depth.append(depth + 1)
        if law is not None:
            self.law.append(law)
        return Taken(made, share, rest)

    def tree(self, source: str) -> Tree:
        q = torch.stack(self.law) if self.law else None
        return Tree(tuple(self.token), tuple(self.parent), q, (source,) * len(self.token))

    def asked(self, wanted: Sequence[int]) -> tuple[Tree, int]:
        """The guesses that end in the wanted nodes, those last; how many come before them, and the text."""
        above: set[int] = set()
        for node in wanted:
            while node >= 0 and (node := self.parent[node]) >= 0:
                above.add(node)
        last = sorted(node for node in wanted if node >= 0)
        skip = len(above) + 1 if last else 0
        return part(Tree(tuple(self.token), tuple(self.parent)), [*sorted(above), *last]), skip


Policy = Callable[[Growing], Generator[Sequence[int], None, None]]


def grown(
    canvas: Canvas, inner: Drafter, policy: Policy, *, room: int, breadth: int, drawn: bool, source: str
) -> Generator[Ask, Any, Trees]:
    """A tree for each live row, from the inner drafter's net or from its ranks. No node is deeper than `room`
    says or than could become text, none has more than `breadth` children."""
    last = canvas.prompt + canvas.budget - 1  # the run itself writes one token
    rows = [Growing(h, len(canvas.rows[h]), min(room, last - len(canvas.rows[h]))) for h in canvas.live]
    flows = [policy(tree) for tree in rows]
    wanted = [next(flow, ()) if tree.room > 0 else () for flow, tree in zip(flows, rows, strict=True)]
    while any(wanted):
        if inner.rank is not None and not inner.net:
            for tree, nodes in zip(rows, wanted, strict=True):
                after = inner.rank(canvas, tree.row)
                paths = tree.tree("")
                for node in nodes:
                    tree.below[node] = InOrder(after(tuple(paths.path(node)))[:breadth])
            wanted = [next(flow, ()) if nodes else () for flow, nodes in zip(flows, wanted, strict=True)]
        else:
            wanted = yield _ask(inner.net, rows, flows, wanted, breadth, drawn)
    return tuple(tree.tree(source) for tree in rows)


def _ask(
    net: str, rows: Sequence[Growing], flows: Sequence[Any], wanted: Sequence[Sequence[int]], breadth: int,
    drawn: bool,
) -> Ask:  # fmt: skip
    """One run that tells what may follow the wanted nodes; its reader goes on with the policies."""
    asked = [tree.asked(nodes) if nodes else (Tree(), 0) for tree, nodes in zip(rows, wanted, strict=True)]
    skip = min(first for (_, first), nodes in zip(asked, wanted, strict=True) if nodes)

    def read(answer: Answer, chance: Chance) -> list[Sequence[int]]:
        then: list[Sequence[int]] = []
        for i, (tree, flow, nodes) in enumerate(zip(rows, flows, wanted, strict=True)):
            if nodes:
                first = answer.rows[i].start + asked[i][1]
                for line, node in enumerate(sorted(nodes), first):
                    _learn(tree, node, answer, line, breadth, drawn)
                tree.chance = chance
            then.append(next(flow, ()) if nodes else ())
        return then

    return Ask(read, guess=tuple(tree for tree, _ in asked), net=net, skip=skip)


def _learn(tree: Growing, node: int, answer: Answer, line: int, breadth: int, drawn: bool) -> None:
    logits = answer.logits[line]
    kind = torch.float64 if drawn else torch.promote_types(logits.dtype, torch.float32)
    law = tree.said[node] = logits.softmax(-1, dtype=kind)
    if answer.hidden is not None:
        tree.hidden[node] = answer.hidden[line]
    if drawn:
        tree.below[node] = Urn(law)
    else:
        worth, token = law.topk(min(breadth, len(law)))
        tree.below[node] = InOrder(list(zip(token.tolist(), worth.tolist(), strict=True)))


# wrappers ---------------------------------------------------------------------------------------------------


def inner_of(setting: Setting, spec: str, ranks: bool = False) -> Drafter:
    """The drafter of a wrapper's option. Raises ValueError if it has no net (`ranks`: and no ranks)."""
    inner = setting.make(spec)
    if not (inner.net or (ranks and inner.rank is not None)):
        some = "drafters of a net, like early_exit or draft_model"
        some += ", or of ranked tokens, like token_recycling" * ranks
        raise ValueError(f"drafter is {spec!r}, which only offers whole guesses; allowed are {some}")
    return inner


def wrapper(
    setting: Setting, inner: Drafter, policy: Callable[[], Policy], *, most: int, draw: str, kind: str,
    source: str, breadth: int = 0, learn: Learn | None = None,
) -> Drafter:  # fmt: skip
    """The drafter that grows trees of at most `most` nodes by a policy, over the inner one's net or ranks.
    `kind` is that of drawn ones; `policy()` is asked for at every draft."""
    drawn = draw == "sampled" and not setting.greedy and bool(inner.net)
    breadth = max(1, breadth or most)

    def draft(canvas: Canvas, deepest: int = DEEPEST) -> Generator[Ask, Any, Trees]:
        lengths = [len(canvas.rows[row]) for row in canvas.live]
        room = min(deepest, setting.context - max(lengths, default=0)) if most else 0
        made = grown(canvas, inner, policy(), room=room, breadth=breadth, drawn=drawn, source=source)
        return (yield from made)

    def learn_both(canvas: Canvas, trees: Trees, seen: Any, paths: Sequence[Sequence[int]]) -> None:
        inner.learn(canvas, trees, seen, paths)
        if learn is not None:
            learn(canvas, trees, seen, paths)

    return replace(
        inner, draft=draft, kind=kind if drawn else "point", verify="residual" if drawn else "match",
        learn=learn_both, upto=lambda deepest: lambda canvas: draft(canvas, deepest),
    )  # fmt: skip


def filled(form: Sequence[int]) -> Policy:
    """A tree of a given form, level by level. `form`: the parent of each node, elder siblings first."""
    below: dict[int, list[int]] = {}
    for node, parent in enumerate(form):
        below.setdefault(parent, []).append(node)

    def policy(tree: Growing) -> Generator[Sequence[int], None, None]:
        place = {-1: -1}  # node of the form -> node of the tree
        level = [-1] if form else []
        while level:
            yield [place[node] for node in level]
            for node in level:
                for child in below[node]:
                    if not tree.can(place[node]):
                        break  # no more tokens: the children in later places stay empty
                    place[child] = tree.child(place[node]).node
            made = [child for node in level for child in below[node] if child in place]
            level = [node for node in made if node in below and tree.can(place[node])]

    return policy


def share_of(setting: Setting, inner: Drafter) -> float:
    """What a run of the inner drafter's net costs, as a share of a run of the target: the layers' share where
    it is the target's first ones."""
    if not inner.net:
        return 0.0
    for net, options in reversed(setting.nets):
        if net == inner.net and "layer" in options and setting.layers:
            return min(1.0, float(options["layer"]) / setting.layers)
    return SHARE


def judged(tree: Tree, path: Sequence[int]) -> list[tuple[int, int]]:
    """Along what a verifier returned, for each place that had guesses: how many siblings, and which of them
    was accepted (-1: none).

    >>> judged(Tree((5, 6, 7), (-1, -1, 1)), [6, 8])
    [(2, 1), (1, -1)]
    """
    children, node = tree.children(), -1
    out: list[tuple[int, int]] = []
    for token in path:
        below = children.get(node, [])
        if not below:
            break
        rank = next((r for r, child in enumerate(below) if tree.token[child] == token), -1)
        out.append((len(below), rank))
        if rank < 0:
            break
        node = below[rank]
    return out
