"""LocalLeap: where it is a plain threshold, what it fills besides, and where its reach ends."""

import pytest

from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run

OPTIONS = [{"threshold": 0.4, "relaxed": 0.2, "radius": 1}, {}, {"threshold": 0.3, "radius": 0}]

PROMPT = [2, 0, 1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("same", [{"radius": 0, "relaxed": 0.1}, {"relaxed": 0.3}, {"relaxed": 0.8}])
def test_without_reach_or_ease_it_is_a_threshold(seed, same):
    net = ToyTwoWay(seed)
    one = run("threshold", net, PROMPT, 8, 4, threshold=0.3)
    assert one.steps == run("localleap", net, PROMPT, 8, 4, threshold=0.3, **same).steps


@pytest.mark.parametrize("seed", range(6))
def test_fills_no_less_than_a_threshold(seed):
    net = ToyTwoWay(seed)
    one, more = (
        set(run(name, net, PROMPT, 8, threshold=0.4, **given).commits[0].at[0])
        for name, given in [("threshold", {}), ("localleap", {"relaxed": 0.15, "radius": 2})]
    )
    assert one <= more


def sure(confidence, **options):
    """Cells of the first step, counted from the prompt."""
    net = Said(lambda cells: [(1, p) for p in confidence])
    record = run("localleap", net, PROMPT, len(confidence), **options)
    return [i - len(PROMPT) for i in record.commits[0].at[0]]


def test_neighbours_of_anchors_need_less():
    confidence = [0.8, 0.8, 0.95, 0.8, 0.7, 0.8]
    assert sure(confidence, radius=0) == [2]
    assert sure(confidence, radius=1) == [1, 2, 3]
    assert sure(confidence, radius=2) == [0, 1, 2, 3]
    assert sure(confidence) == [0, 1, 2, 3, 5]
    assert sure([0.8, 0.8, 0.8]) == [0]  # no anchor, no ease


def test_reaches_no_further_than_the_block():
    confidence = [0.5, 0.95, 0.8, 0.8]
    assert sure(confidence, block=2, radius=4) == [1]
    assert sure(confidence, block=4, radius=4) == [1, 2, 3]


def test_what_is_written_is_no_anchor():
    """Beside cell 1, once it is written, cells 2 and 3 are sure enough for the lower threshold alone."""

    def says(cells):
        near = (0.8, 0.85) if cells[1] == 1 else (0.5, 0.5)
        return [(1, p) for p in (0.1, 0.95, *near)]

    record = run("localleap", Said(says), PROMPT, 4)
    assert [[i - 3 for i in c.at[0]] for c in record.commits] == [[1], [3], [2], [0]]
