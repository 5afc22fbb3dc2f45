"""Confidence factor: the rule by hand, its limit, and the theorem it stands on."""

import numpy as np
import pytest

from anyorder.testing import ToyTwoWay
from anyorder.testing.oracle import Oracle
from tests.methods.diffusion.said import Said, run

OPTIONS = [{}, {"factor": 0.0}, {"factor": 8.0}]

PROMPT = [2, 0, 1]


def first(sure, factor):
    """Cells of the first step, of cells so sure, counted from 0."""
    net = Said(lambda cells: [(i, p) for i, p in enumerate(sure)])
    return [i - len(PROMPT) for i in run("factor", net, PROMPT, len(sure), factor=factor).commits[0].at[0]]


@pytest.mark.parametrize("seed", range(4))
def test_at_zero_it_is_static(seed):
    net = ToyTwoWay(seed)
    one = run("static", net, PROMPT, 7, 3)
    assert one.steps == run("factor", net, PROMPT, 7, 3, factor=0).steps
    assert one.steps == run("factor", net, PROMPT, 7, 3, factor=1e-9).steps


def test_the_largest_number_that_keeps_the_rule():
    sure = [0.6, 0.9, 0.99, 0.8, 0.7]  # (n+1)(1-c) of the surest on: 0.02, 0.3, 0.8, 1.5, 2.4
    assert first(sure, 1) == [1, 2, 3]
    assert first(sure, 0.5) == [1, 2]
    assert first(sure, 1.6) == [1, 2, 3, 4]
    assert first(sure, 3) == [0, 1, 2, 3, 4]
    assert first(sure, 0.01) == [2]


def test_without_the_published_off_by_one():
    """The released loop breaks at the third of three cells and fills it all the same."""
    assert first([0.99, 0.95, 0.1], 1) == [0, 1]
    assert first([0.99, 0.95, 0.9], 1) == [0, 1, 2]


def joint(laws):
    """A net that knows texts of two or three tokens by their weights, whole numbers."""
    known = [list(text) for text, weight in laws.items() for _ in range(weight)]
    return Oracle({tuple(PROMPT): known}, vocab=6, mask=5, eos=4)


@pytest.mark.parametrize("seed", range(40))
def test_cells_filled_together_are_the_likeliest_text(seed):
    """Theorem 1, on random laws of three cells that mostly agree on one text."""
    rng = np.random.default_rng(seed)
    laws = {tuple(rng.integers(0, 4, 3).tolist()): int(rng.integers(1, 6)) for _ in range(6)}
    laws[1, 2, 3] = int(rng.integers(10, 120))
    commit = run("factor", joint(laws), PROMPT, 3).commits[0]
    cells = [i - len(PROMPT) for i in commit.at[0]]
    weights: dict = {}
    for text, weight in laws.items():
        part = tuple(text[i] for i in cells)
        weights[part] = weights.get(part, 0) + weight
    assert weights[tuple(commit.token[0])] == max(weights.values())


def test_the_bound_is_tight():
    """Both cells are 0.66 sure; their likeliest tokens together are less likely than one with another."""
    laws = {(1, 2): 32, (1, 3): 34, (0, 2): 34}
    assert run("factor", joint(laws), PROMPT, 2, factor=1).texts[0] in ([1, 3], [0, 2])
    assert run("factor", joint(laws), PROMPT, 2, factor=1.1).texts[0] == [1, 2]
