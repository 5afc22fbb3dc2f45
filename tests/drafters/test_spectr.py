"""SpecTr: independent sequences, equal ones counted so many times."""

from __future__ import annotations

import pytest

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.chance import Chance
from anyorder.drafters.spectr import sheaf
from anyorder.testing import ToyCausal, distance, enumerate_outcomes, law_of_text, subject
from tests.drafts import P, Q, first_commit, mixed_law, same_law, text_of

OPTIONS = [
    {"sequences": 2, "length": 1},
    {"sequences": 2, "length": 1, "drafter": "draft_model"},
    {"sequences": 1, "length": 2},
]
SAMPLING = Setting(greedy=False, vocab=3)


def method(verify="auto", setting=SAMPLING, **options):
    return registry.build("spectr", options | {"verify": verify}, setting)


def accepted(run) -> float:
    """The probability that a draft is accepted: then more than one token is committed."""
    return sum(weight for path, weight in enumerate_outcomes(run).items() if len(path) > 1)


@pytest.mark.parametrize(
    "sequences, verify, expected",
    [(1, "auto", 0.7), (2, "auto", 0.75), (2, "k_seq", 0.75), (4, "auto", 0.831438),
     (1, "residual", 0.7), (2, "residual", 0.73), (3, "residual", 0.757), (2, "match", 0.481)],
)  # fmt: skip
def test_worked_example(sequences, verify, expected):
    """The acceptance of the first position; `match` keeps what at least one sequence spells."""
    nets = {"target": same_law(*P), "exit": same_law(*Q)}
    run = first_commit(method(verify, sequences=sequences, length=1), nets)
    assert accepted(run) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("verify", ["k_seq", "residual", "match"])
def test_the_law_of_two_sequences_of_two(verify):
    nets = {"target": mixed_law(1), "exit": mixed_law(2)}
    run = text_of(method(verify, sequences=2, length=2), nets, 2)
    assert distance(enumerate_outcomes(run), law_of_text(nets["target"], [0], 2)) < 1e-6


def test_equal_sequences_are_judged_to_their_ends():
    """Where net and target are one and certain, all sequences are equal and one of them is text."""
    sure = same_law(0.0, 1.0, 0.0)
    run = first_commit(method(sequences=3, length=2), {"target": sure, "exit": sure}, budget=9)
    assert enumerate_outcomes(run) == {(1, 1, 1): 1.0}


def test_the_net_as_its_own_drafter_is_always_right():
    nets = {"target": ToyCausal(0, 13), "exit": ToyCausal(0, 13)}
    options = {"sequences": 3, "length": 4}
    record = subject("spectr", options=options).run([1, 2], 20, greedy=False, nets=nets, chance=Chance(3))
    assert {len(commit.token[0]) for commit in record.commits} == {5}


def test_sequences_share_nothing_and_draw_for_themselves():
    record = subject("spectr", options={"sequences": 4, "length": 3}).run([1, 2], 12, greedy=False)
    first = next(ask for ask in record.steps if getattr(ask, "net", "") == "target")
    (tree,) = first.guess
    assert tree.parent == (-1,) * 4 + tuple(range(8))
    assert len({tuple(tree.path(node)) for node in range(8, 12)}) > 1
    assert [ask.skip for ask in record.steps if getattr(ask, "net", "") == "exit"][:3] == [0, 1, 5]


def test_one_chain_at_temperature_zero():
    record = subject("spectr", options={"sequences": 4, "length": 3}).run([1, 2], 12)
    assert all(len(ask.guess[0]) == 3 for ask in record.steps if getattr(ask, "net", "") == "target")


def test_a_sheaf_goes_depth_by_depth():
    tree = sheaf([1, 1, 2, 0], sequences=2)
    assert [tree.path(node) for node in range(4)] == [[1], [1], [1, 2], [1, 0]]


def test_a_drafter_without_a_net_is_refused():
    with pytest.raises(ValueError, match=r"'prompt_lookup', which has no net .* allowed are"):
        method(drafter="prompt_lookup")
