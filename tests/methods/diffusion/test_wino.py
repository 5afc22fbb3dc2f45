"""WINO: wide drafts, each cell verified as if it alone were open, and progress all the same."""

import random
from math import floor

import pytest

from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.filling import look, surest, unmask
from anyorder.tasks import lists
from anyorder.tasks.vocabulary import NAMES
from anyorder.testing import ToyTwoWay, play
from anyorder.testing.oracle import oracle_request, valid
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [{"draft": 0.1, "verify": 0.2}, {"draft": 0.05, "verify": 1.0, "most": 1.0}]
PROMPT = [2, 0, 1]


@pytest.mark.parametrize("most", [0.3, 0.7, 1.0])
def test_without_verification_it_is_threshold(most):
    net = ToyTwoWay(2)

    def draft(seen):
        best = [i for i in surest(seen.sure) if seen.sure[i] > 0.15]
        return best[: max(1, floor(most * len(seen)))]

    request = Request(
        Canvas(PROMPT, 9, mask=net.mask, block=6), lambda c: unmask(c, look(True), draft), {"target": net}
    )
    (plain,) = play([request])
    found = run("wino", net, PROMPT, 9, 6, draft=0.15, verify=0, most=most)
    assert found.commits == plain.commits


@pytest.mark.parametrize("draft, most", [(1.0, 0.7), (0.0, 0.0)])
def test_one_cell_at_a_time_it_is_static(draft, most):
    """A draft of one cell takes nothing back."""
    one = run("static", ToyTwoWay(1), PROMPT, 7, 4)
    two = run("wino", ToyTwoWay(1), PROMPT, 7, 4, draft=draft, most=most, verify=1.0)
    assert two.texts == one.texts
    assert runs(two) == runs(one)


def says(text):
    """Cell 2 is wrong until its neighbours stand; what stands in it is believed, unless it is hidden."""
    if text[2] == 19:
        near = text[1] != 19 and text[3] != 19
        third = (7, 0.95) if near else (17, 0.65)
    else:
        third = (text[2], 0.99)
    return [(5, 0.95), (6, 0.95), third, (8, 0.95), (9, 0.55), (10, 0.5)]


def test_a_wrong_draft_is_taken_back():
    record = run("wino", Said(says), PROMPT, 6)
    assert record.texts == [[5, 6, 7, 8, 9, 10]]
    assert runs(record) < 6
    first, second = record.commits[:2]
    assert dict(zip(first.at[0], first.token[0])) == {3: 5, 4: 6, 5: 17, 6: 8}
    assert dict(zip(second.at[0], second.token[0]))[5] == 19
    assert run("wino", Said(says), PROMPT, 6, verify=0.0).texts == [[5, 6, 17, 8, 9, 10]]


def test_what_is_verified_is_blind_and_what_is_open_is_not():
    record = run("wino", Said(says), PROMPT, 6)
    row = [*PROMPT, *[19] * 6]
    for (ask, _), commit in zip(record.answers, record.commits, strict=True):
        holes = [i for i, t in enumerate(row) if t == 19]
        assert set(ask.blind[0] if ask.blind else ()) == set(range(3, 9)) - set(holes)
        assert set(ask.at[0]) == set(range(3, 9))
        for cell, token in zip(commit.at[0], commit.token[0], strict=True):
            row[cell] = token


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("options", [{"draft": 0.05, "verify": 1.0}, {"draft": 0.0, "verify": 0.5}])
def test_progress(greedy, options):
    """A run takes back fewer cells than the one before it filled: no more runs than cells."""
    took, said = 0, 0
    for seed in range(8):
        net = ToyTwoWay(seed)
        record = run("wino", net, PROMPT, 9, 9, greedy=greedy, seed=seed, **options)
        before, opened = 1, []
        for commit in record.commits:
            opened.append(sum(t == net.mask for t in commit.token[0]))
            assert opened[-1] < before
            before = len(commit.token[0]) - opened[-1]
            assert before >= 1
        assert runs(record) <= 9
        assert net.mask not in record.canvas.rows[0]
        took += sum(opened)
        said += sum(ask.why != "" for ask, _ in record.answers)
    assert took
    assert said


@pytest.mark.parametrize("task", ["copy", "sort", "insert_index"])
def test_what_the_rest_of_the_text_makes_certain_is_never_taken_back(task):
    for seed in range(4):
        example = lists.draw(task, 6, random.Random(seed), NAMES)
        requests = [oracle_request(example, "wino", verify=verify) for verify in (0.0, 0.99)]
        plain, found = play(requests)
        assert valid(found.request)
        assert found.commits == plain.commits


def test_sampling_is_repeated_by_its_seed():
    net = ToyTwoWay(4)
    one, two, other = (
        run("wino", net, PROMPT, 9, greedy=False, seed=seed, draft=0.1, verify=0.2).texts
        for seed in (1, 1, 2)
    )
    assert one == two != other
