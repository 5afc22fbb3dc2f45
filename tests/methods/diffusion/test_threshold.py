"""Confidence threshold: its ends, its order on one state, and what perfect marginals make of it."""

import random

import pytest

from anyorder.tasks import lists
from anyorder.tasks.vocabulary import NAMES
from anyorder.testing import ToyTwoWay, play
from anyorder.testing.oracle import oracle_request, valid
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [{"threshold": 0.3}, {}, {"threshold": 0.0}, {"threshold": 1.1}]

PROMPT = [2, 0, 1]


@pytest.mark.parametrize("seed", range(4))
def test_above_one_it_is_static(seed):
    net = ToyTwoWay(seed)
    one, other = run("static", net, PROMPT, 7, 3), run("threshold", net, PROMPT, 7, 3, threshold=1.1)
    assert one.steps == other.steps


@pytest.mark.parametrize("block, expected", [(3, 3), (7, 1), (2, 4)])
def test_at_zero_one_run_per_block(block, expected):
    assert runs(run("threshold", ToyTwoWay(), PROMPT, 7, block, threshold=0)) == expected


@pytest.mark.parametrize("seed", range(4))
def test_a_lower_threshold_fills_no_less_of_the_same_state(seed):
    net, before = ToyTwoWay(seed), set()
    for threshold in (1.1, 0.9, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0):
        first = set(run("threshold", net, PROMPT, 8, threshold=threshold).commits[0].at[0])
        assert before <= first
        before = first
    assert len(before) == 8


def test_on_cells_that_hang_on_nothing_it_is_static():
    """Independent laws: whatever is filled with whatever, the text is the same."""
    net = Said(lambda cells: [(i + 3, 0.3 + 0.08 * i) for i in range(len(cells))])
    static = run("static", net, PROMPT, 8, 4)
    assert static.texts == [[3, 4, 5, 6, 7, 8, 9, 10]]
    for threshold in (0, 0.5, 0.7, 0.9):
        assert run("threshold", net, PROMPT, 8, 4, threshold=threshold).texts == static.texts


def test_exactly_the_sure_cells():
    """Cells 3 and 4 are sure enough; the others grow so once those are there."""
    net = Said(lambda cells: [(i, 0.91 if i in (0, 1) or cells[0] == 0 else 0.5) for i in range(len(cells))])
    first, second = run("threshold", net, PROMPT, 5).commits
    assert list(first.at[0]) == [3, 4]
    assert list(second.at[0]) == [5, 6, 7]


@pytest.mark.parametrize("task", ["copy", "remove_random", "insert_random", "replace_random", "shuffle"])
@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_perfect_marginals(task, n):
    """0.9 makes no mistake on these; 0.7 always one where an item stays with probability 1 - 1/n, which in
    one run keeps all of them."""
    rng = random.Random(n)
    requests = [oracle_request(lists.draw(task, n, rng, NAMES), "threshold", threshold=0.9) for _ in range(3)]
    play(requests)
    assert all(map(valid, requests))
    if task == "replace_random" and n >= 4:
        request = oracle_request(lists.draw(task, n, rng, NAMES), "threshold", threshold=0.7)
        play([request])
        assert request.runs["target"] == 1
        assert not valid(request)
