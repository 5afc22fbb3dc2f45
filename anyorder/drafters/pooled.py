"""Pooled drafters (ours): several drafters' trees merged by expected gain.

Every member says what may follow a path, and its chance. Chances are calibrated as decoding goes on: of the
guesses that a member gave this chance, how many held? Of several members that guess the same token the surest
counts. The tree then grows by the likeliest guess, wherever it hangs, and has the size that gives the most
tokens per second by the measured cost of a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree
from anyorder.drafter import After, Drafter, Ranked, Trees, by_row
from anyorder.drafters.merged import led, team
from anyorder.sizes import Counts, grow, price_of

CARD = Card(
    name="pooled",
    family="speculative",
    paper="ours",
    exact=True,
    kind="point",
    summary="several drafters' trees merged by expected gain, as large as pays",
    cost="1 target run per commit, up to 1 + nodes cells",
    options=(
        Option("drafters", "prompt_lookup,token_recycling", "names of drafters that rank, by comma"),
        Option("nodes", 32, "guesses at most", low=0, high=512),
    ),
    departures=(
        "a chance is calibrated by counts, with the member's own estimate as if it stood for 30 of them, and "
        "its odds by how the member did with this text so far",
        "where the cost of a run is not measured, a guess is taken to cost 1/25 of it",
    ),
)

SLOW = 0.1  # how quickly the pace is forgotten
SOBER = 0.8  # of the odds of a guess, since only the likeliest are taken
DOUBT = 2.0  # guesses that held as expected before a text began


@dataclass
class Luck:
    """How a member does with one text: guesses that held, over those that were expected to."""

    held: float = DOUBT
    expected: float = DOUBT

    def odds(self, chance: float) -> float:
        """The chance, its odds scaled by the luck so far, and soberly: the best of many look better than
        they are."""
        odds = SOBER * self.held * chance
        return odds / (odds + self.expected * (1.0 - chance))


class Pool:
    """What the members say of one row as it stands, calibrated by all texts and by this one."""

    def __init__(self, afters: Sequence[After], counts: Counts, luck: Sequence[Luck]):
        self.afters, self.counts, self.luck = afters, counts, luck
        self.said: dict[tuple[int, ...], list[Ranked]] = {}  # path -> what each member said

    def after(self, path: tuple[int, ...]) -> Ranked:
        said = self.said[path] = self.said.get(path) or [after(path) for after in self.afters]
        surest: dict[int, float] = {}
        for member, ranked in enumerate(said):
            for token, chance in ranked:
                sure = self.luck[member].odds(self.counts.chance((member, chance), chance))
                if sure > surest.get(token, 0.0):
                    surest[token] = sure
        return sorted(surest.items(), key=lambda pair: -pair[1])

    def learn(self, path: Sequence[int]) -> None:
        """The text went on along the path: which of the guesses that were looked at held?"""
        for depth, true in enumerate(path):
            for member, ranked in enumerate(self.said.get(tuple(path[:depth]), ())):
                luck = self.luck[member]
                for token, chance in ranked:
                    luck.held += token == true
                    luck.expected += self.counts.chance((member, chance), chance)
                    self.counts.add((member, chance), token == true)


class Pools:
    """The members' pools of all rows, and the pace of the text."""

    def __init__(self, members: Sequence[Drafter], names: str, counts: Counts):
        """Raises ValueError for members that do not rank."""
        self.ranks = [member.rank for member in members if member.rank is not None]
        if len(self.ranks) < len(members):
            raise ValueError(
                f"drafters is {names!r}; allowed are drafters that rank their guesses, such as prompt_lookup "
                "and token_recycling; merge others with method merged"
            )
        self.counts, self.pace = counts, 1.0  # tokens of a run, as of late
        self.pools: WeakKeyDictionary[Canvas, dict[int, Pool]] = WeakKeyDictionary()
        self.luck: WeakKeyDictionary[Canvas, dict[int, list[Luck]]] = WeakKeyDictionary()

    def fresh(self, canvas: Canvas, row: int) -> Pool:
        """The pool of a row as it stands now."""
        luck = self.luck.setdefault(canvas, {}).setdefault(row, [Luck() for _ in self.ranks])
        pool = Pool([rank(canvas, row) for rank in self.ranks], self.counts, luck)
        self.pools.setdefault(canvas, {})[row] = pool
        return pool

    def learn(self, canvas: Canvas, paths: Sequence[Sequence[int]]) -> None:
        for row, path in zip(canvas.live, paths, strict=True):
            self.pace += SLOW * (len(path) - self.pace)
            if row in self.pools.get(canvas, {}):
                self.pools[canvas][row].learn(path)


def pooled(setting: Setting, drafters: str, nodes: int) -> Drafter:
    members = team(setting, drafters)
    pools = Pools(members, drafters, setting.memory.setdefault(CARD.name, Counts()))

    def guess(canvas: Canvas, row: int) -> Tree:
        cost, others = price_of(setting, len(canvas.rows[row]))
        grown = grow(pools.fresh(canvas, row).after, cost, nodes, others * pools.pace)
        return Tree(tuple(grown.token), tuple(grown.parent), source=(CARD.name,) * len(grown.token))

    def learn(canvas: Canvas, trees: Trees, seen: Any, paths: Any) -> None:
        pools.learn(canvas, paths)
        for member, lines in zip(members, seen, strict=True):
            member.learn(canvas, trees, lines, paths)

    return led(members, by_row(guess), learn)
