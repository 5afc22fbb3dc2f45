"""Hierarchical decoding: the best of every run of holes, by hand; where it is a threshold."""

import pytest

from anyorder.methods.diffusion.hierarchical import stretches
from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run

OPTIONS = [{"threshold": 0.5, "low": 0.2}, {}, {"low": 0.0}]

PROMPT = [2, 0, 1]


@pytest.mark.parametrize("seed", range(4))
def test_with_one_threshold_it_is_that(seed):
    net = ToyTwoWay(seed)
    one = run("threshold", net, PROMPT, 8, 4, threshold=0.3)
    assert one.steps == run("hierarchical", net, PROMPT, 8, 4, threshold=0.3, low=0.3).steps


@pytest.mark.parametrize("cells", [1, 3, 7, 15])
def test_splits_runs_like_a_binary_search(cells):
    """The middle of a run is always its surest cell, never sure: as many steps as a tree is deep."""

    def says(row):
        sure, run = [0.1] * cells, []
        for i, token in enumerate([*row, 0]):
            if token == 19:
                run.append(i)
            elif run:
                sure[run[len(run) // 2]], run = 0.5, []
        return [(i, p) for i, p in enumerate(sure)]

    record = run("hierarchical", Said(says), PROMPT, cells)
    sizes = [len(c.at[0]) for c in record.commits]
    assert sizes == [2**k for k in range((cells + 1).bit_length() - 1)]
    assert record.texts == [list(range(cells))]


def test_sure_cells_and_the_best_of_each_run():
    confidence = [0.95, 0.5, 0.2, 0.92, 0.1, 0.4, 0.3]
    net = Said(lambda cells: list(enumerate(confidence)))
    given = [19, 19, 5, 19, 19, 19, 19]  # two runs of holes: 0-1 and 3-6
    first, second, *_ = run("hierarchical", net, PROMPT, 7, given=given).commits
    assert [i - 3 for i in first.at[0]] == [0, 3]
    assert [i - 3 for i in second.at[0]] == [1, 5]


def test_a_weak_best_waits():
    """Only the surest cell of all goes on where no run's best is above the lower threshold."""
    net = Said(lambda cells: [(1, p) for p in (0.2, 0.1, 0.9, 0.25, 0.1)])
    record = run("hierarchical", net, PROMPT, 5, given=[19, 19, 1, 19, 19])
    assert [[i - 3 for i in c.at[0]] for c in record.commits] == [[3], [0], [1], [4]]


def test_stretches():
    assert stretches((3, 4, 6, 8, 9, 10)) == [[0, 1], [2], [3, 4, 5]]
    assert stretches(()) == []
