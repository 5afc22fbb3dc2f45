"""Remasking: after each step as many cells are filled as in static unmasking, whatever was opened again."""

from math import exp

import pytest

from anyorder.core.chance import Chance
from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [{"share": 0.5}, {"by": "running", "steps": 2}, {"by": "fixed", "share": 0.9}]
PROMPT = [2, 0, 1]


def open_cells(record, mask=12):
    """Holes after each commit."""
    row, found = dict.fromkeys(range(len(PROMPT), len(record.canvas.rows[0])), mask), []
    for commit in record.commits:
        row |= dict(zip(commit.at[0], commit.token[0], strict=True))
        found.append(sum(t == mask for t in row.values()))
    return found


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("steps", [0, 2, 3])
@pytest.mark.parametrize("by", ["fixed", "confidence"])
def test_a_share_of_0_is_static(greedy, steps, by):
    for seed in range(3):
        one = run("static", ToyTwoWay(seed), PROMPT, 7, 4, greedy=greedy, seed=seed, steps=steps)
        two = run(
            "remdm", ToyTwoWay(seed), PROMPT, 7, 4, greedy=greedy, seed=seed, steps=steps, share=0, by=by
        )
        assert two.commits == one.commits


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize(
    "options", [{"by": "running"}, {"share": 0.6}, {"by": "fixed", "share": 1.0}], ids=str
)
def test_static_s_schedule(greedy, steps, options):
    opened = 0
    for seed in range(4):
        net = ToyTwoWay(seed)
        one = run("static", net, PROMPT, 11, 6, greedy=greedy, seed=seed, steps=steps)
        two = run("remdm", net, PROMPT, 11, 6, greedy=greedy, seed=seed, steps=steps, **options)
        assert open_cells(two) == open_cells(one)
        assert runs(two) == runs(one)
        opened += sum(t == net.mask for commit in two.commits for t in commit.token[0])
    assert opened


def test_as_many_as_can_be_filled_instead_are_opened():
    """Certain to be opened: min(filled, holes - quota) are, and the next run says how many were not."""
    net = ToyTwoWay(1)
    record = run("remdm", net, PROMPT, 8, by="fixed", share=1.0)
    for filled, commit in enumerate(record.commits):
        assert sum(t == net.mask for t in commit.token[0]) == min(filled, 8 - filled - 1)
    short = [filled - min(filled, 8 - filled - 1) for filled in range(8)]
    text = "{} cells stay that were to be opened: no holes are left instead"
    assert [a.why for a, _ in record.answers] == ["", *(text.format(n) if n else "" for n in short[:-1])]


class Told(Chance):
    """Writes down what is flipped, and never opens a cell."""

    def flip(self, probability, row, position, turn=0):
        FLIPS.append((turn, position, probability))
        return False


FLIPS: list[tuple[int, int, float]] = []


@pytest.mark.parametrize("by", ["fixed", "confidence"])
def test_the_chances(by, monkeypatch):
    monkeypatch.setattr("tests.methods.diffusion.said.Chance", Told)
    FLIPS.clear()
    sure = [0.9, 0.5, 0.7, 0.3]
    run("remdm", Said(lambda text: [(5, p) for p in sure]), PROMPT, 4, by=by, share=0.2)
    first = {4: [0.9], 3: [0.9], 2: [0.9, 0.7], 1: [0.9, 0.7, 0.5]}  # holes left -> confidences of the filled
    for left in (3, 2, 1):
        found = [p for turn, _, p in sorted(FLIPS) if turn == left]
        then = sorted(first[left], key=sure.index)
        weight = [exp(-p) if by == "confidence" else 1.0 for p in then]
        assert found == pytest.approx([0.2 * w * len(weight) / sum(weight) for w in weight])
        assert sum(found) / len(found) == pytest.approx(0.2)
    assert len({(turn, cell) for turn, cell, _ in FLIPS}) == len(FLIPS)  # no chance is used twice


def test_the_running_confidence_keeps_the_best():
    """Cell 0 is filled first at 0.9, then believed at 0.2 only: its best so far counts, so it stays. Cell 1
    is filled at 0.5 and gives way when two holes are surer."""

    def says(text):
        return [
            (5, 0.9 if text[0] == 19 else 0.2),
            (6, 0.5),
            *[(7 + i, (0.3 if text[1] == 19 else 0.8) - i / 100) for i in range(3)],
        ]

    record = run("remdm", Said(says), PROMPT, 5, by="running")
    found = [dict(zip(c.at[0], c.token[0], strict=True)) for c in record.commits]
    assert found[:3] == [{3: 5}, {4: 6}, {4: 19, 5: 7, 6: 8}]
    assert record.canvas.rows[0][3] == 5


def test_the_running_confidence_grows():
    """Cell 1, filled at 0.5 and then believed at 0.9, holds against holes of 0.8."""

    def says(text):
        return [
            (5, 0.9),
            (6, 0.5 if text[1] == 19 else 0.9),
            *[(7 + i, (0.3 if text[1] == 19 else 0.8) - i / 100) for i in range(3)],
        ]

    record = run("remdm", Said(says), PROMPT, 5, by="running")
    assert [c.at[0] for c in record.commits] == [[3], [4], [5], [6], [7]]
