"""AdaBlock: fixed blocks without a delimiter; with one, blocks that end with it and partition the canvas."""

import random
from itertools import pairwise

import pytest

from anyorder.core.types import Commit
from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [
    {"threshold": 0.3, "delimiters": "3", "boundary": 0.1, "window": 0.5},
    {"threshold": 0.2, "delimiters": "30 9", "boundary": 0.0, "window": 1.0, "least": 2},
]


def blocks(record):
    """The blocks of a run of static steps within them (a threshold that nothing reaches), as (start, stop):
    an ask for more cells than are left in a block begins the next one."""
    asks = [step for step in record.steps if not isinstance(step, Commit)]
    found, written, left = [], [], set()
    for ask, commit in zip(asks, record.commits, strict=True):
        if written and set(ask.at[0]) - left:
            found.append((min(written), max(written) + 1))
            written = []
        left = set(ask.at[0])
        written += commit.at[0]
    return [*found, (min(written), max(written) + 1)]


@pytest.mark.parametrize(
    "given", [{"boundary": 2.0}, {"delimiters": ""}, {"window": 0.0}, {"delimiters": "x"}]
)
@pytest.mark.parametrize("threshold", [0.2, 0.4, 1.1])
def test_without_delimiters_it_is_the_threshold_in_fixed_blocks(given, threshold):
    options = {"delimiters": "37", "boundary": 0.0, "window": 1.0} | given
    for seed in range(4):
        for block in (3, 4, 12):
            found = run("adablock", ToyTwoWay(seed), [1, 2], 12, block, threshold=threshold, **options)
            plain = run("threshold", ToyTwoWay(seed), [1, 2], 12, block, threshold=threshold)
            assert found.commits == plain.commits
            assert runs(found) == runs(plain)


@pytest.mark.parametrize("greedy", [True, False])
def test_blocks_partition_the_canvas(greedy):
    """Blocks lie side by side; each has from 1 cell to the window's or the fixed length."""
    rng, short = random.Random(0), 0
    for seed in range(12):
        budget = rng.randrange(4, 17)
        block, share = rng.randrange(1, 6), rng.choice([0.25, 0.5, 1.0])
        options = {"delimiters": "0123456789", "boundary": rng.choice([0.0, 0.2]), "window": share}
        found = run(
            "adablock", ToyTwoWay(seed), [1, 2], budget, block, threshold=2.0, greedy=greedy, **options
        )
        cuts = blocks(found)
        assert cuts[0][0] == 2
        assert cuts[-1][1] == 2 + budget
        assert all(a[1] == b[0] for a, b in pairwise(cuts))
        assert all(1 <= stop - start <= max(int(share * budget), block) for start, stop in cuts)
        short += sum(stop - start != block for start, stop in cuts)
    assert short > 5


def line(marks, sure=0.8):
    """A net that puts token 3 at these places and token 5 everywhere else."""
    return Said(lambda cells: [(3, sure + i / 1000) if i in marks else (5, 0.5) for i in range(len(cells))])


@pytest.mark.parametrize(
    "marks, given, ends",
    [
        ((2, 9), {}, [3, 7, 10, 14, 18, 20]),  # a window of five cells from each block's start
        ((2, 4), {}, [5, 9, 13, 17, 20]),  # of two in the window the surest
        ((2, 9), {"window": 0.5}, [10, 14, 18, 20]),  # a wide window reaches the second, which is surer
        ((2, 9), {"boundary": 0.9}, [4, 8, 12, 16, 20]),  # none is sure enough
        ((0, 1, 2), {"window": 0.05}, [1, 2, 3, 7, 11, 15, 19, 20]),  # one cell each
        ((0, 1, 2), {"window": 0.05, "least": 4}, [4, 8, 12, 16, 20]),
        ((9,), {}, [4, 8, 10, 14, 18, 20]),
        ((19,), {}, [4, 8, 12, 16, 20]),
    ],
)
def test_where_blocks_end(marks, given, ends):
    options = {"delimiters": "3", "threshold": 2.0} | given
    found = run("adablock", line(marks), [1], 20, 4, **options)
    assert [stop - 1 for _, stop in blocks(found)] == ends


def test_delimiters_are_looked_up_by_their_spelling():
    """`\\n` is a new line; two of them, or one among spaces, are delimiters as well; other text is none."""
    for text, cut in [("\n", True), ("\n\n", True), (" \n", True), (".\n", False), ("n", False), (" ", False),
                      ("", False)]:  # fmt: skip
        spell = {3: text}
        found = run(
            "adablock", line((2,)), [1], 20, 4, threshold=2.0, spell=lambda t, s=spell: s.get(t[0], "a")
        )
        assert (blocks(found)[0] == (1, 4)) == cut, text
        found = run(
            "adablock", line((2,)), [1], 20, 4, threshold=2.0, delimiters=".\\n",
            spell=lambda t, s=spell: s.get(t[0], "a"),
        )  # fmt: skip
        assert (blocks(found)[0] == (1, 4)) == (cut or text == ".\n"), text


def test_the_run_that_finds_the_end_writes_the_first_cells():
    """One run per step: none only looks for the end of a block."""
    for seed in range(3):
        found = run(
            "adablock", ToyTwoWay(seed), [1, 2], 12, 4, threshold=0.3, delimiters="0123456789", boundary=0.0
        )
        assert runs(found) == len(found.commits)
