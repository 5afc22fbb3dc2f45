"""The extremely greedy parallel oracle: static's text, in the fewest steps."""

import random
from itertools import combinations

import pytest

from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.tasks import lists
from anyorder.tasks.vocabulary import NAMES
from anyorder.testing import ToyTwoWay, play
from anyorder.testing.egp import egp
from anyorder.testing.oracle import oracle_request
from tests.methods.diffusion.said import run

PROMPT = [2, 0, 1]


def replay(net, text, budget, block, eos=(), note=None):
    canvas = Canvas(PROMPT, budget, mask=net.mask, block=block, eos=eos)
    return play([Request(canvas, egp(text, note), {"target": net})])[0]


@pytest.mark.parametrize("block", [7, 3])
def test_it_writes_the_text_in_no_more_runs(block):
    for seed in range(6):
        plain = run("static", ToyTwoWay(seed), PROMPT, 7, block)
        found = replay(ToyTwoWay(seed), plain.texts[0], 7, block)
        assert found.texts == plain.texts
        assert found.request.runs["target"] <= 7


def test_a_text_that_ended():
    for seed in range(4):
        whole = run("static", ToyTwoWay(seed), PROMPT, 7).texts[0]
        for eos in set(whole):
            plain = run("static", ToyTwoWay(seed), PROMPT, 7, eos=[eos])
            found = replay(ToyTwoWay(seed), plain.texts[0], 7, 7, eos=[eos])
            assert found.texts == plain.texts
            assert found.canvas.ended == ["eos"]


def least(request, text):
    """By trying all: fewest steps to the text if a step fills any holes whose likeliest token is right."""
    net, prompt = request.nets["target"], request.canvas.rows[0][: request.canvas.prompt]
    states, steps = {frozenset[int]()}, 0
    while not any(len(state) == len(text) for state in states):
        after = set()
        for state in states:
            row = prompt + [t if i in state else net.mask for i, t in enumerate(text)]
            best = net.plain(row, len(prompt)).argmax(-1).tolist()
            right = [i for i, t in enumerate(text) if i not in state and best[i] == t]
            after |= {state | set(some) for n in range(1, len(right) + 1) for some in combinations(right, n)}
        states, steps = after, steps + 1
    return steps


def ways(task):
    """Oracles' runs and the fewest of all, for some examples."""
    for seed in range(4):
        example = lists.draw(task, 4, random.Random(seed), NAMES)
        cells = len(example.gold)
        (plain,) = play([oracle_request(example, "static", cells=cells)])
        text = plain.texts[0]
        (found,) = play([oracle_request(example, egp(text), cells=cells)])
        assert found.texts == [text]
        yield found.request.runs["target"], least(oracle_request(example, cells=cells), text)


@pytest.mark.parametrize("task", ["shuffle", "replace_random", "reverse"])
def test_the_steps_are_the_fewest(task):
    assert all(found == fewest for found, fewest in ways(task))


def test_but_where_what_is_right_becomes_wrong_waiting_may_pay():
    """Ties between the places of an inserted name break another way once more is written."""
    found = list(ways("insert_random"))
    assert all(fewest <= runs <= fewest + 1 for runs, fewest in found)
    assert any(fewest < runs for runs, fewest in found)


def test_a_block_without_a_right_cell_is_copied():
    """A text the net would never write: one step and all is there."""
    net = ToyTwoWay()
    best = net.plain([*PROMPT, *[net.mask] * 4]).argmax(-1).tolist()[3:]
    text, seen = [(t + 1) % 12 for t in best], []
    record = replay(net, text, 4, 4, note=seen.append)
    assert record.texts == [text]
    assert len(seen) == 1
    assert not seen[0].right.any()


def test_what_it_notes():
    net, seen = ToyTwoWay(1), []
    text = run("static", ToyTwoWay(1), PROMPT, 6).texts[0]
    record = replay(net, text, 6, 6, note=seen.append)
    row = [*PROMPT, *[net.mask] * 6]
    for lesson, commit in zip(seen, record.commits, strict=True):
        laws = net.plain(row)[3:].softmax(-1)
        assert lesson.sure == pytest.approx(laws.amax(-1).numpy(), abs=1e-6)
        assert lesson.right.tolist() == [int(law.argmax()) == t for law, t in zip(laws, text, strict=True)]
        assert lesson.hole.tolist() == [t == net.mask for t in row[3:]]
        right = [3 + i for i in range(6) if lesson.right[i] and lesson.hole[i]]
        assert list(commit.at[0]) == (right or [3 + i for i in range(6) if lesson.hole[i]])
        for i in commit.at[0]:
            row[i] = text[i - 3]


def test_a_text_that_does_not_fit():
    with pytest.raises(AssertionError, match="ends before the canvas"):
        replay(ToyTwoWay(), [1, 2], 4, 4)
