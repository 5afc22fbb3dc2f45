"""Looking ahead: how a text would go on, before any of it is true.

From each row's end several beginnings are extended, token by token, as guesses of one growing tree: one run
for each further token serves all beginnings of all rows, and what an earlier run computed is left out by
`Ask.skip`. Two beginnings that come to spell the same share their cells and stay two branches.

>>> said = yield Ask(some_reader)                            # what may come next
>>> starts = [[Start((t,), (logp,)) for t, logp in mine] for mine in said]
>>> branches = yield from rollouts(canvas, starts, 5)        # each with five likeliest tokens behind it

A branch is written on a canvas of its own that nobody decodes, so that `Canvas.write` says where it ends.

Searches that draw several texts find here how to begin and how to conclude: `spread` makes rows of one
prompt, `draws` samples them, `concluded` ranks them with the last commit, after which nothing can be said.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush, nsmallest
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import likeliest, nothing
from anyorder.core.types import Answer, Ask, Commit, Flow, Reader, Tree
from anyorder.scoring import Prefix

FAR = 1 << 32  # more than any position

Until = Callable[[Sequence[int], int], bool]
"""(tokens generated, a branch's included; how many of them are behind its start) -> look no further?"""


def never(generated: Sequence[int], new: int) -> bool:
    return False


class Start(NamedTuple):
    """What a branch begins with. Draws of one turn are the same noise at the same row and position; so
    branches that shall be independent, of each other and of what is drawn later, have turns of their own."""

    token: tuple[int, ...]  # behind the row's end
    logp: tuple[float, ...] = ()  # of each of them
    turn: int | None = None  # of its draws; None: it goes on with the likeliest tokens


class Branch(NamedTuple):
    """How far a branch came."""

    token: tuple[int, ...]  # behind the row's end; the start's tokens first
    logp: tuple[float, ...]  # of each, under the shaped law
    ended: str | None  # why the text would end with it: "eos", "stop" or "length"; None: it could go on
    until: bool  # the caller's rule said so
    hidden: Tensor | None  # [D] the net's state at its last token, if asked for


def stream(length: int, branch: int) -> int:
    """A turn for the draws of a branch that starts behind so many tokens: of no other branch, of none that
    starts elsewhere, and not plain sampling's, which is 0."""
    return branch * FAR + length


def rollouts(
    canvas: Canvas,
    starts: Sequence[Sequence[Start]],
    length: int,
    until: Until = never,
    hidden: bool = False,
    why: str = "",
) -> Generator[Ask, Any, list[list[Branch]]]:
    """For each live row its branches, in the order of `starts`. Each is extended by up to `length` tokens,
    until its text would end or `until` says so; at most one run per token. `hidden`: one run more, for the
    states at the branches' last tokens."""
    guessed = [_Guessed() for _ in canvas.live]
    rows = [
        [_Way.of(canvas, row, tree, start, until) for start in mine]
        for row, tree, mine in zip(canvas.live, guessed, starts, strict=True)
    ]
    for _ in range(length):
        going = [[way for way in mine if not way.over] for mine in rows]
        if not any(going):
            break
        yield _ask(guessed, going, _extend, why)
    if hidden and any(rows):
        yield _ask(guessed, rows, _look, why)
    return [[way.branch for way in mine] for mine in rows]


def prefix(canvas: Canvas, row: int, branch: Branch | None = None, logp: Sequence[float] = ()) -> Prefix:
    """What a scorer is shown of a row and a branch of it. `logp`: of the row's own tokens, if known."""
    own = tuple(canvas.generated(row))
    prompt = tuple(canvas.rows[row][: canvas.prompt])
    if branch is None:
        return Prefix(prompt, own, tuple(logp), canvas.ended[row] is not None)
    known = len(logp) == len(own) and len(branch.logp) == len(branch.token)
    every = (*logp, *branch.logp) if known else ()
    return Prefix(prompt, (*own, *branch.token), every, branch.ended is not None, branch.hidden)


# a level --------------------------------------------------------------------------------------------------


@dataclass
class _Guessed:
    """All that was guessed behind one row; a node comes after its parent."""

    token: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    place: dict[tuple[int, int], int] = field(default_factory=dict)  # (node, token) -> its child

    def child(self, node: int, token: int) -> int:
        key = (node, token)
        if key not in self.place:
            self.place[key] = len(self.token)
            self.token.append(token)
            self.parent.append(node)
        return self.place[key]

    def asked(self, tips: set[int]) -> tuple[list[int], list[int]]:
        """The nodes that an ask about the tips needs: those that lie above them, then the others."""
        above: set[int] = set()
        for node in tips:
            while node >= 0 and (node := self.parent[node]) >= 0 and node not in above:
                above.add(node)
        late = set(tips)
        for node in sorted(above):  # below a tip: a parent comes first
            if self.parent[node] in late:
                late.add(node)
        return sorted(above - late), sorted(late - {-1})


@dataclass(slots=True)
class _Way:
    """A branch under way."""

    row: int
    start: Start
    text: Canvas  # of its own: the row and what follows
    begin: int  # tokens of the row
    guessed: _Guessed
    until: Until
    node: int = -1
    logp: list[float] = field(default_factory=list)
    over: bool = False
    enough: bool = False  # `until` said so
    hidden: Tensor | None = None

    @classmethod
    def of(cls, canvas: Canvas, row: int, guessed: _Guessed, start: Start, until: Until) -> _Way:
        whole = canvas.rows[row]
        text = Canvas(whole[: canvas.prompt], canvas.budget, eos=tuple(canvas.eos), stop=canvas.stop)
        text.rows = [list(whole)]
        way = cls(row, start, text, len(whole), guessed, until)
        way.add(start.token, start.logp)
        return way

    @property
    def token(self) -> tuple[int, ...]:
        return tuple(self.text.rows[0][self.begin :])

    @property
    def branch(self) -> Branch:
        return Branch(self.token, tuple(self.logp), self.text.ended[0], self.enough, self.hidden)

    def add(self, token: Sequence[int], logp: Sequence[float]) -> None:
        kept = self.text.write(Commit([token])).token[0]
        self.logp += logp[: len(kept)]
        for t in kept:
            self.node = self.guessed.child(self.node, t)
        generated = self.text.generated()
        new = len(self.text.rows[0]) - self.begin - len(self.start.token)
        self.enough = self.until(generated, max(0, new))
        self.over = self.enough or self.text.done


def _extend(ways: Sequence[_Way], lines: Sequence[int], answer: Answer, chance: Chance) -> None:
    """One token more for each way, off the line that speaks about it."""
    laws = answer.logits[list(lines)]  # [W, V]
    best = likeliest(laws).tolist()
    logp = laws.log_softmax(-1, dtype=torch.float64)
    for i, way in enumerate(ways):
        turn = way.start.turn
        position = len(way.text.rows[0])
        token = best[i] if turn is None else chance.pick(laws[i], way.row, position, turn)
        way.add((token,), (float(logp[i, token]),))


def _look(ways: Sequence[_Way], lines: Sequence[int], answer: Answer, chance: Chance) -> None:
    if answer.hidden is not None:
        for way, line in zip(ways, lines, strict=True):
            way.hidden = answer.hidden[line]


Take = Callable[[Sequence[_Way], Sequence[int], Answer, Chance], None]


def _ask(guessed: Sequence[_Guessed], rows: Sequence[Sequence[_Way]], take: Take, why: str) -> Ask:
    """One run over the tips of these ways.

    It leaves out as many lines of each row. A row with fewer old nodes has its first one several times: equal
    paths are one cell, so that this costs nothing.
    """
    asked = [g.asked({way.node for way in mine}) for g, mine in zip(guessed, rows, strict=True)]
    old = [len(first) for (first, _), mine in zip(asked, rows, strict=True) if mine]
    ends = any(way.node < 0 for mine in rows for way in mine)  # the rows' own ends are asked about
    skip = 0 if ends else 1 + (max(old) if min(old) else 0)
    trees, places = [], []
    for tree, (first, then) in zip(guessed, asked, strict=True):
        nodes = [*first[:1] * (skip - 1 - len(first)), *first, *then]
        place = {-1: -1} | {node: i for i, node in enumerate(nodes)}
        parents = tuple(place[tree.parent[node]] for node in nodes)
        trees.append(Tree(tuple(tree.token[node] for node in nodes), parents))
        places.append(place)

    def read(answer: Answer, chance: Chance) -> None:
        where = zip(answer.rows, rows, places, strict=True)
        lines = [mine.start + 1 + place[way.node] for mine, ways, place in where for way in ways]
        take([way for ways in rows for way in ways], lines, answer, chance)

    return Ask(read, guess=tuple(trees), skip=skip, why=why)


# several texts --------------------------------------------------------------------------------------------


def spread(canvas: Canvas, texts: int) -> Flow:
    """Rows for so many texts of one prompt, which is read once for all."""
    if texts > 1:
        yield Ask(nothing, why=f"the prompt, once for {texts} texts")
        yield Commit([()] * texts, parents=(0,) * texts)


def draws(canvas: Canvas, logp: list[list[float]], greedy: bool = False) -> Flow:
    """Plain sampling of every live row. `logp`: a list for each row, which its tokens' log-probabilities are
    added to; their sum is the row's score."""
    read = drawn(greedy)
    while True:
        said = yield Ask(read)
        for row, (_, p) in zip(canvas.live, said, strict=True):
            logp[row].append(p)
        yield Commit([[token] for token, _ in said], score=tuple(map(sum, logp)))


def drawn(greedy: bool) -> Reader:
    """For each live row: what plain sampling draws, or the likeliest token, and its log-probability."""

    def read(answer: Answer, chance: Chance) -> list[tuple[int, float]]:
        out = []
        for lines in answer.rows:
            law = answer.logits[lines.start]
            place = (lines.row, lines.position(0))
            token = int(likeliest(law[None])) if greedy else chance.pick(law, *place)
            out.append((token, float(law.log_softmax(-1, dtype=torch.float64)[token])))
        return out

    return read


def foreseen(canvas: Canvas, commit: Commit) -> Canvas:
    """The canvas as the commit would leave it."""
    after = copy(canvas)
    after.rows = [list(row) for row in canvas.rows]
    after.score, after.ended = list(canvas.score), list(canvas.ended)
    after.write(commit)
    return after


Judge = Callable[[Canvas], Sequence[tuple[int, float]]]
"""The canvas as it will be in the end -> its rows in the order they shall have, with their scores."""


def concluded(canvas: Canvas, flow: Flow, judge: Judge) -> Flow:
    """The flow, whose last commit also orders and scores the rows: once all have ended nothing more can be
    committed, so the end has to be foreseen."""
    reply = None
    while True:
        try:
            step = flow.send(reply)
        except StopIteration:  # rows that live on are as good as ended
            yield _ordered(canvas, Commit([()] * len(canvas.live)), judge(canvas))
            return
        if isinstance(step, Commit) and (after := foreseen(canvas, step)).done:
            yield _ordered(canvas, step, judge(after))
            return
        reply = yield step


def _ordered(canvas: Canvas, commit: Commit, ranks: Sequence[tuple[int, float]]) -> Commit:
    """The same commit with its rows in another order."""
    token, parents = commit.token, commit.parents
    if parents is None:
        mine = dict(zip(canvas.live, token, strict=True))
        parents = tuple(range(len(canvas.rows)))
        token = [mine.get(row, ()) for row in parents]
    return replace(
        commit,
        token=[token[row] for row, _ in ranks],
        parents=tuple(parents[row] for row, _ in ranks),
        score=tuple(score for _, score in ranks),
    )


State = TypeVar("State")


class Frontier(Generic[State]):
    """The states that a best-first search may go on from: least f first, then the deepest, then the first
    that came. Beyond `most` the last ones are dropped."""

    def __init__(self, most: int):
        self.most, self.came = most, count()
        self.heap: list[tuple[float, int, int, State]] = []

    def push(self, f: float, depth: int, state: State) -> None:
        heappush(self.heap, (f, -depth, next(self.came), state))
        if len(self.heap) > self.most:
            self.heap = nsmallest(self.most, self.heap)  # sorted, and so a heap

    @property
    def first(self) -> State:
        return self.heap[0][-1]

    def pop(self) -> State:
        return heappop(self.heap)[-1]

    def __iter__(self) -> Iterator[State]:
        """All of them, in their order."""
        return (entry[-1] for entry in sorted(self.heap))
