"""Chance: a draw is a function of seed, purpose, row, position and turn."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from anyorder.core.chance import Chance

LAW = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
places = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3))


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63), places)
def test_same_place_same_draw(seed, place):
    one, two = Chance(seed), Chance(seed).of("draft").of("target")
    assert one.pick(LAW.log(), *place) == two.pick(LAW.log(), *place)
    assert one.flip(0.5, *place) == two.flip(0.5, *place)


@pytest.mark.parametrize("vary", ["seed", "row", "position", "turn"])
def test_pick_follows_the_law(vary):
    """Along each of the coordinates draws are independent and have the law."""
    count = [0] * 4
    for i in range(3000):
        place = {"row": 3, "position": 5, "turn": 1} | ({vary: i} if vary != "seed" else {})
        count[Chance(i if vary == "seed" else 7).pick(LAW.log(), **place)] += 1
    assert chisquare(count, (3000 * LAW).tolist()).pvalue > 1e-3


def test_pick_and_flip_share_no_number():
    """Given what was picked at a place, its flips are fair; so are picks of other purposes and turns."""
    both = {name: [0, 0, 0, 0] for name in ("flip", "turn", "purpose", "row")}
    half = torch.zeros(2)
    for i in range(2000):
        chance = Chance(i)
        first = chance.pick(half, 0, 4)
        others = {
            "flip": chance.flip(0.5, 0, 4), "turn": chance.pick(half, 0, 4, 1),
            "purpose": chance.of("draft").pick(half, 0, 4), "row": chance.pick(half, 4, 0),
        }  # fmt: skip
        for name, other in others.items():
            both[name][2 * first + int(other)] += 1
    for name, count in both.items():
        assert chisquare(count).pvalue > 1e-3, name


def test_seeds_of_any_size_and_sign_differ():
    """Their 64 bits once went through a float: -1, -2 and -3 were one seed."""
    wide = torch.zeros(1000)
    seeds = [-3, -2, -1, 0, 1, 2**53, 2**53 + 1, 2**63, 2**63 + 1]
    assert len({tuple(Chance(s).pick(wide, 0, i) for i in range(3)) for s in seeds}) == len(seeds)


def test_flip_at_the_bounds():
    assert all(Chance(i).flip(1.0, 0, 0) for i in range(200))
    assert not any(Chance(i).flip(0.0, 0, 0) for i in range(200))
    assert 120 < sum(Chance(i).flip(0.3, 0, 0) for i in range(500)) < 180


def test_impossible_tokens_are_never_picked():
    logits = torch.tensor([0.0, -torch.inf, 0.0])
    assert {Chance(i).pick(logits, 0, 0) for i in range(200)} == {0, 2}
