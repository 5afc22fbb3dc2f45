"""Pipelined blocks: where they are plain ones, when a block starts, and when it must go on."""

import pytest

from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [
    {"threshold": 0.3, "start": 0.3},
    {},
    {"threshold": 2.0, "entropy": 1.5},
    {"start": 0.0, "free": 0.0},
]

PROMPT = [2, 0, 1]


def order(record):
    return [[i - len(PROMPT) for i in c.at[0]] for c in record.commits]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.2, 0.3, 1.1])
def test_where_blocks_wait_it_is_a_threshold(seed, threshold):
    net = ToyTwoWay(seed)
    one = run("threshold", net, PROMPT, 8, 3, threshold=threshold)
    assert one.commits == run("d2f", net, PROMPT, 8, 3, threshold=threshold, start=1).commits


def test_a_block_starts_when_a_share_of_the_last_is_filled():
    """One cell of four is a quarter; later blocks are sure from the beginning, the first one is not."""
    net = Said(lambda cells: [(1, 0.5)] * 4 + [(2, 0.95)] * 4)
    assert order(run("d2f", net, PROMPT, 8, 4, start=0.25)) == [[0], [1, 4, 5, 6, 7], [2], [3]]
    assert order(run("d2f", net, PROMPT, 8, 4, start=0.5)) == [[0], [1], [2, 4, 5, 6, 7], [3]]
    assert order(run("d2f", net, PROMPT, 8, 4, start=0))[0] == [0, 4, 5, 6, 7]


def test_blocks_start_one_after_the_other():
    """The third waits for the second, not for the first."""
    net = Said(lambda cells: [(1, 0.5)] * 4 + [(2, 0.8)] * 4 + [(3, 0.95)] * 4)
    found = order(run("d2f", net, PROMPT, 12, 4, start=0.25, free=1))
    assert found == [[0], [1], [2], [3], [4], [5, 8, 9, 10, 11], [6], [7]]


def test_only_behind_a_nearly_full_block_must_a_block_go_on():
    """Nothing is ever sure: with `free` at a half the second block fills its surest from the third run on."""
    net = Said(lambda cells: [(1, 0.5)] * 4 + [(2, 0.4)] * 4)
    assert order(run("d2f", net, PROMPT, 8, 4, start=0.25, free=0.5)) == [[0], [1], [2, 4], [3, 5], [6], [7]]
    assert order(run("d2f", net, PROMPT, 8, 4, start=0.25, free=1)) == [[i] for i in range(8)]
    assert order(run("d2f", net, PROMPT, 8, 4, start=0, free=0)) == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_low_entropy_is_enough():
    """d3LLM: 0.95 leaves 0.34 nats among twenty tokens, 0.9 leaves 0.61."""
    net = Said(lambda cells: [(1, 0.95), (1, 0.9), (1, 0.95), (1, 0.9)])
    assert order(run("d2f", net, PROMPT, 4, threshold=2, entropy=0.5)) == [[0, 2], [1], [3]]
    assert order(run("d2f", net, PROMPT, 4, threshold=2, entropy=0.7)) == [[0, 1, 2, 3]]


def test_saves_runs_where_blocks_are_chains():
    """A cell is sure once the one before it in its block is written: four chains, each a step behind."""
    net = Said(lambda cells: [(1, 0.95 if i % 4 == 0 or cells[i - 1] == 1 else 0.5) for i in range(16)])
    assert runs(run("threshold", net, PROMPT, 16, 4)) == 16
    assert runs(run("d2f", net, PROMPT, 16, 4)) == 7
