"""Draft and edit: threshold without edits; errors are seen before a block is left; edits end."""

import pytest

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.filling import look, unmask
from anyorder.testing import ToyTwoWay, play
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [{"draft": 0.1, "change": 0.05}, {"draft": 0.2, "change": 0.1, "edit_steps": 1, "back": 1}]
PROMPT = [2, 0, 1]


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("draft", [0.0, 0.15, 0.3, 1.0])
def test_without_edits_it_is_threshold(greedy, draft):
    for seed in range(4):
        net = ToyTwoWay(seed)

        def threshold(canvas):
            return unmask(canvas, look(greedy), lambda s: [i for i in range(len(s)) if s.sure[i] > draft])

        request = Request(
            Canvas(PROMPT, 7, mask=net.mask, block=4), threshold, {"target": net}, chance=Chance(5)
        )
        (plain,) = play([request])
        found = run("edit", net, PROMPT, 7, 4, greedy=greedy, seed=5, draft=draft, edits=0)
        assert found.commits == plain.commits
        assert runs(found) == runs(plain)


def late(text):
    """Sure of everything; with all cells open wrong about cells 1 and 2, and aware of it afterwards."""
    wrong = text.count(19) == len(text)
    return [(4, 0.9), (11 if wrong else 5, 0.8), (12 if wrong else 6, 0.8), (7, 0.9)][: len(text)]


def test_a_draft_is_edited_before_its_block_is_left():
    """One run drafts all, one sees the errors, one finds nothing more; then it is written."""
    record = run("edit", Said(late), PROMPT, 4)
    assert record.texts == [[4, 5, 6, 7]]
    assert runs(record) == 3
    assert len(record.commits) == 1
    assert run("edit", Said(late), PROMPT, 4, edit_steps=1).texts == [[4, 5, 6, 7]]
    assert run("edit", Said(late), PROMPT, 4, edit_steps=0).texts == [[4, 11, 12, 7]]


def test_an_edit_must_be_sure():
    assert run("edit", Said(late), PROMPT, 4, change=0.81).texts == [[4, 11, 12, 7]]  # not surer than this
    assert run("edit", Said(late), PROMPT, 4, change=0.79).texts == [[4, 5, 6, 7]]


@pytest.mark.parametrize("edits, edit_steps", [(1, 4), (2, 4), (9, 4), (9, 2)])
def test_edits_that_swing_end(edits, edit_steps):
    def swing(text):
        return [(3 if t == 4 else 4, 0.9) for t in text]

    record = run("edit", Said(swing), PROMPT, 3, edits=edits, edit_steps=edit_steps)
    assert runs(record) == 1 + min(edits + 1, edit_steps)
    assert record.texts == [[4 - min(edits, edit_steps) % 2] * 3]


def test_the_bound_is_said():
    """Cell 1 swings while the others are drafted one by one: rewritten once, then held."""

    def swing(text):
        return [(3 if t == 4 else 4, 0.9) if i == 1 else (5, 0.6 - i / 100) for i, t in enumerate(text)]

    record = run("edit", Said(swing), PROMPT, 4, edits=1, edit_steps=0)
    assert record.texts == [[5, 3, 5, 5]]
    whys = [ask.why for ask, _ in record.answers]
    assert whys == ["", "", "", "cells that stay, rewritten 1 times already: 1"]


def test_blocks_before_may_be_edited():
    """The first block's error shows when the second is seen."""

    def says(text):
        seen = text[2:].count(19) < 2
        return [(1, 0.9), (2 if seen else 12, 0.9), (3, 0.9), (4, 0.6)]

    assert run("edit", Said(says), PROMPT, 4, 2).texts == [[1, 12, 3, 4]]
    assert run("edit", Said(says), PROMPT, 4, 2, back=1).texts == [[1, 2, 3, 4]]


def test_an_end_of_text_is_looked_at_before_it_ends_the_text():
    def says(text):
        wrong = text.count(19) == len(text)
        return [(1, 0.9), (18 if wrong else 2, 0.9), (3, 0.5), (18, 0.5)]

    assert run("edit", Said(says), PROMPT, 4, eos=[18], edits=0).texts == [[1, 18]]
    assert run("edit", Said(says), PROMPT, 4, eos=[18]).texts == [[1, 2, 3, 18]]
