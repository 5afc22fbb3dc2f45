"""Enumeration, on runs whose laws are known."""

import pytest
import torch

from anyorder.testing import Enumerate, TooMany, distance, enumerate_outcomes
from anyorder.testing.outcomes import Tape

COIN = torch.tensor([0.25, 0.75], dtype=torch.float64).log()


def test_two_draws():
    found = enumerate_outcomes(lambda c: (c.pick(COIN, 0, 0), c.flip(0.1, 0, 1)))
    true = {(0, False): 0.225, (0, True): 0.025, (1, False): 0.675, (1, True): 0.075}
    assert distance(found, true) < 1e-15


def test_number_of_draws_may_depend_on_draws():
    """Throws until the first 1, at most three: a geometric law cut off."""

    def run(chance):
        return next((i for i in range(3) if chance.pick(COIN, 0, i)), 3)

    assert distance(enumerate_outcomes(run), {0: 0.75, 1: 0.1875, 2: 0.046875, 3: 0.015625}) < 1e-15


def test_impossible_and_certain_draws_do_not_branch():
    certain = torch.tensor([0.0, -torch.inf])
    assert enumerate_outcomes(lambda c: (c.pick(certain, 0, 0), c.flip(0, 0, 0), c.flip(1, 0, 1))) == {
        (0, False, True): 1.0
    }


def test_the_same_place_twice():
    with pytest.raises(AssertionError, match="drawn twice"):
        enumerate_outcomes(lambda c: (c.pick(COIN, 0, 0), c.pick(COIN, 0, 0)))
    enumerate_outcomes(lambda c: (c.pick(COIN, 0, 0), c.pick(COIN, 0, 0, turn=1), c.flip(0.5, 0, 0)))
    enumerate_outcomes(lambda c: (c.of("draft").pick(COIN, 0, 0), c.of("draft").pick(COIN, 0, 0)))


def test_runs_that_are_not_pure():
    calls = []

    def run(chance):
        calls.append(chance.pick(COIN if len(calls) < 1 else torch.zeros(3), 0, 0))
        return calls[-1]

    with pytest.raises(AssertionError, match="not pure"):
        enumerate_outcomes(run)


def test_too_many():
    def run(c):
        return tuple(c.flip(0.5, 0, i) for i in range(5))

    assert len(enumerate_outcomes(run, most=32)) == 32
    with pytest.raises(TooMany):
        enumerate_outcomes(run, most=31)


def test_purposes():
    chance = Enumerate(Tape())
    assert chance.of("draft").purpose == "draft"
    assert chance.of("draft").tape is chance.tape
