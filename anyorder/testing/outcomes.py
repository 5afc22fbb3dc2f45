"""Every outcome of a random run, with its exact probability. The run is the real one: real loop, real rules.

`Enumerate` stands where `core.chance.Chance` stood. It answers draws from a script and writes down what else
could have been drawn; the run is then repeated along every branch, depth first.

>>> enumerate_outcomes(lambda chance: chance.pick(torch.zeros(2), row=0, position=0))
{0: 0.5, 1: 0.5}
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

Outcome = TypeVar("Outcome", bound=Hashable)


class TooMany(Exception):
    """More branches than were allowed."""


@dataclass
class Branch:
    """One draw: what could come out, how likely, and which of them is being followed."""

    values: list[int]
    weights: list[float]
    at: int = 0


@dataclass
class Tape:
    """The draws of one run, in order."""

    branches: list[Branch] = field(default_factory=list)
    played: int = 0
    seen: set[tuple[object, ...]] = field(default_factory=set)

    def draw(self, values: list[int], weights: list[float]) -> int:
        if self.played == len(self.branches):
            self.branches.append(Branch(values, weights))
        branch = self.branches[self.played]
        assert branch.values == values, "the run differs from its first part played before: it is not pure"
        self.played += 1
        return branch.values[branch.at]

    def rewind(self) -> bool:
        """Turn to the next branch not yet followed; False when all were."""
        self.played, self.seen = 0, set()
        while self.branches and self.branches[-1].at + 1 == len(self.branches[-1].values):
            self.branches.pop()
        if self.branches:
            self.branches[-1].at += 1
        return bool(self.branches)

    @property
    def weight(self) -> float:
        weight = 1.0
        for branch in self.branches:
            weight *= branch.weights[branch.at]
        return weight


@dataclass(frozen=True)
class Enumerate:
    """A chance that takes every branch.

    A real chance gives the same noise when it is asked twice for one row, position and turn, and two draws
    from one noise are not independent; so for the target asking twice is an error. A draft net may: what it
    drafted at a position that was not reached was never judged, so it left no trace in the text.
    """

    tape: Tape
    purpose: str = "target"

    def of(self, purpose: str) -> Enumerate:
        return Enumerate(self.tape, purpose)

    def pick(self, logits: Tensor, row: int, position: int, turn: int = 0) -> int:
        self._once("pick", row, position, turn)
        law = logits.double().softmax(-1).tolist()
        possible = [t for t, p in enumerate(law) if p > 0]
        return self.tape.draw(possible, [law[t] for t in possible])

    def flip(self, probability: float, row: int, position: int, turn: int = 0) -> bool:
        self._once("flip", row, position, turn)
        if probability >= 1 or probability <= 0:
            return probability >= 1
        return bool(self.tape.draw([0, 1], [1 - probability, probability]))

    def _once(self, *place: object) -> None:
        if self.purpose == "target":
            assert place not in self.tape.seen, f"{place} was drawn twice; both draws have the same noise"
            self.tape.seen.add(place)


def enumerate_outcomes(run: Callable[[Enumerate], Outcome], most: int = 100_000) -> dict[Outcome, float]:
    """Outcome -> probability. `run` must do the same whenever it is told the same draws. Raises TooMany
    beyond `most` branches."""
    tape, count = Tape(), 0
    found: dict[Outcome, float] = {}
    while True:
        outcome = run(Enumerate(tape))
        assert tape.played == len(tape.branches), "the run drew less than before: it is not pure"
        found[outcome] = found.get(outcome, 0.0) + tape.weight
        count += 1
        if not tape.rewind():
            return found
        if count == most:
            raise TooMany(f"more than {most} branches")
