"""Look-aheads against brute force: what is guessed is what would be written."""

import pytest
import torch

from anyorder.ahead import (
    Frontier,
    Start,
    concluded,
    drawn,
    draws,
    foreseen,
    prefix,
    rollouts,
    spread,
    stream,
)  # fmt: skip
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.types import Ask, Commit
from anyorder.shapers import Sampling, compose
from anyorder.testing import ByText, ToyCausal, greedy_text, play

PROMPT = [0, 1, 2]


def looked(net, starts, length, rows=(PROMPT,), budget=20, chance=None, shape=None, **options):
    """Branches of each row, and the record of how they were found. Options of canvas and of `rollouts`."""
    own = {name: options.pop(name) for name in ("eos", "stop") if name in options}
    canvas = Canvas(rows[0], budget, **own)
    canvas.rows = [list(row) for row in rows]
    canvas.score, canvas.ended = [0.0] * len(rows), [None] * len(rows)
    found = []

    def method(canvas):
        found.extend((yield from rollouts(canvas, starts, length, **options)))

    request = Request(canvas, method, {"target": net}, chance=chance or Chance(1))
    if shape is not None:
        request.shape = shape
    (record,) = play([request])
    return found, record


def test_greedy_branches_are_greedy_texts():
    net = ToyCausal(0, 13)
    starts = [Start((5,)), Start((7,)), Start((5, 3))]
    (branches,), record = looked(net, [starts], 4)
    for start, branch in zip(starts, branches, strict=True):
        assert list(branch.token) == [*start.token, *greedy_text(net, [*PROMPT, *start.token], 4)]
    assert len(record.steps) == 4  # one run for each level


def test_log_probabilities_are_those_of_the_shaped_law():
    net = ToyCausal(0, 13)
    shape = compose(Sampling(temperature=0.7, top_k=5, repetition_penalty=1.3))
    ((branch,),), _ = looked(net, [[Start((5,), (-1.5,))]], 3, shape=shape)
    assert branch.logp[0] == -1.5
    for i in range(1, 4):
        canvas = Canvas(PROMPT, 20)
        canvas.rows[0] += branch.token[:i]
        line = Ask(lambda answer, chance: None)
        (answer,) = ToyCausal(0, 13)([(line, canvas)])
        logp = shape(answer, canvas).logits[0].double().log_softmax(-1)
        assert branch.logp[i] == pytest.approx(float(logp[branch.token[i]]), abs=1e-6)


def test_a_level_feeds_only_what_is_new():
    """Rows of unlike trees: every run feeds one cell for each branch that is a path of its own."""
    net = ToyCausal(0, 13)
    rows = ([0, 1, 2], [0, 1, 3])
    starts = [[Start((5,)), Start((7,))], [Start((2,))]]
    _, record = looked(net, starts, 4, rows=rows)
    fed = [answer.cells for _, answer in record.answers]
    assert fed[1:] == [3, 3, 3]
    assert [ask.skip for ask, _ in record.answers] == [1, 3, 5, 7]  # the row with one branch is filled up


def test_equal_paths_share_cells_and_stay_two():
    net = ToyCausal(0, 13)
    starts = [[Start((5,)), Start((5,)), Start((5, greedy_text(net, [*PROMPT, 5], 1)[0]))]]
    (branches,), record = looked(net, starts, 3)
    assert branches[0] == branches[1]
    assert branches[2].token[:4] == branches[0].token
    assert len(branches[2].token) == 5
    assert [answer.cells for _, answer in record.answers][1:] == [1 + 1] * 2  # and the longer one's


def test_branch_below_another_branchs_tip():
    """A start may lie above another one; parents still come first."""
    net = ToyCausal(3, 13)
    first = greedy_text(net, PROMPT, 3)
    starts = [[Start((first[0],)), Start(tuple(first)), Start(())]]
    (branches,), _ = looked(net, starts, 2)
    text = greedy_text(net, PROMPT, 5)
    assert [list(branch.token) for branch in branches] == [text[:3], text[:5], text[:2]]


def test_drawn_branches_are_plain_samplings_at_their_turn():
    net = ToyCausal(0, 13)
    (branches,), _ = looked(net, [[Start((), (), 0), Start((), (), 9)]], 5, chance=Chance(4))
    plain = Canvas(PROMPT, 5)
    play([Request(plain, lambda c: draws(c, [[]]), {"target": net}, chance=Chance(4))])
    assert list(branches[0].token) == plain.generated()
    assert branches[1].token != branches[0].token
    text = list(PROMPT)
    for token in branches[1].token:
        assert token == Chance(4).pick(net.plain(text), 0, len(text), 9)
        text.append(token)


def test_turns_of_branches_never_meet():
    """Neither each other's, nor those of look-aheads that start elsewhere, nor plain sampling's."""
    turns = {stream(length, branch) for length in range(1, 200) for branch in range(50)}
    assert len(turns) == 199 * 50
    assert 0 not in turns


def test_ends_where_the_text_would_end():
    net = ToyCausal(0, 13)
    text = greedy_text(net, PROMPT, 6)
    ((branch,),), _ = looked(net, [[Start(())]], 9, eos=(text[2],))
    assert (list(branch.token), branch.ended) == (text[: text.index(text[2]) + 1], "eos")
    ((branch,),), record = looked(net, [[Start(())]], 9, budget=4)
    assert (list(branch.token), branch.ended, len(record.steps)) == (text[:4], "length", 4)
    ((branch,),), _ = looked(
        net, [[Start(())]], 9, stop=lambda g, new: len(g) if g[-2:] == text[1:3] else None
    )
    assert (list(branch.token), branch.ended) == (text[:3], "stop")
    ((branch,),), record = looked(net, [[Start((4, 5, 6), (-1.0, -2.0, -3.0))]], 9, eos=(5,))
    assert branch[:3] == ((4, 5), (-1.0, -2.0), "eos")  # a start is cut as its text would be
    assert record.steps == []


def test_until_is_the_callers():
    net = ToyCausal(0, 13)
    seen = []

    def until(generated, new):
        seen.append((list(generated), new))
        return new == 2

    (branches,), record = looked(net, [[Start((5,)), Start((7, 8))]], 9, until=until)
    assert [len(branch.token) for branch in branches] == [3, 4]
    assert all(branch.until and branch.ended is None for branch in branches)
    assert seen[:2] == [([5], 0), ([7, 8], 0)]
    assert len(record.steps) == 2


def test_hidden_states_of_the_last_cells():
    net = ToyCausal(0, 13)
    (branches,), record = looked(net, [[Start((5,)), Start((7, 8))]], 2, hidden=True)
    assert len(record.steps) == 3
    for branch in branches:
        canvas = Canvas([*PROMPT, *branch.token], 1)
        (answer,) = ToyCausal(0, 13)([(Ask(lambda answer, chance: None), canvas)])
        assert torch.allclose(branch.hidden, answer.hidden[0])
    ((start,),), record = looked(net, [[Start(())]], 0, hidden=True)
    assert start.hidden is not None
    assert start.token == ()


def test_nothing_to_look_at_asks_nothing():
    branches, record = looked(ToyCausal(0, 13), [[]], 5, hidden=True)
    assert (branches, record.steps) == ([[]], [])


def test_a_row_without_branches_has_no_guesses():
    net = ToyCausal(0, 13)
    branches, record = looked(net, [[], [Start((5,))]], 3, rows=([0, 1], [0, 1, 2]))
    assert branches[0] == []
    assert list(branches[1][0].token) == [5, *greedy_text(net, [0, 1, 2, 5], 3)]
    assert all(len(ask.guess[0]) == 0 for ask, _ in record.answers)


def test_prefix_tells_what_is_known():
    canvas = Canvas(PROMPT, 9, eos=(4,))
    canvas.rows[0] += [7, 8]
    ((branch,),), _ = looked(ToyCausal(0, 13), [[Start((5, 4), (-1.0, -2.0))]], 3, eos=(4,))
    shown = prefix(canvas, 0, branch, (-3.0, -4.0))
    assert shown[:4] == ((0, 1, 2), (7, 8, 5, 4), (-3.0, -4.0, -1.0, -2.0), True)
    assert prefix(canvas, 0, branch).logp == ()  # of the row's own tokens nothing is known
    assert prefix(canvas, 0)[:4] == ((0, 1, 2), (7, 8), (), False)


# several texts ------------------------------------------------------------------------------------------


def test_spread_reads_the_prompt_once():
    canvas = Canvas(list(range(9)), 3)

    def method(canvas):
        yield from spread(canvas, 4)
        yield from draws(canvas, [[] for _ in canvas.rows])

    (record,) = play([Request(canvas, method, {"target": ToyCausal(0, 13)}, chance=Chance(2))])
    assert [answer.cells for _, answer in record.answers] == [9, 4, 4, 4]
    assert len({tuple(text) for text in record.texts}) > 1


def test_draws_tell_log_probabilities():
    net = ByText(lambda text: torch.tensor([0.25, 0.75], dtype=torch.float64).log())
    canvas, logp = Canvas(PROMPT, 6), [[]]
    play([Request(canvas, lambda c: draws(c, logp), {"target": net}, chance=Chance(3))])
    true = [float(torch.tensor([0.25, 0.75])[t].log()) for t in canvas.generated()]
    assert logp[0] == pytest.approx(true)
    assert canvas.score[0] == pytest.approx(sum(true))
    assert drawn(greedy=True)(net([(Ask(None), Canvas(PROMPT, 1))])[0], Chance())[0][0] == 1


def test_foreseen_leaves_the_canvas_alone():
    canvas = Canvas(PROMPT, 4, eos=(9,))
    after = foreseen(canvas, Commit([[5, 9, 6]]))
    assert (after.generated(), after.ended) == ([5, 9], ["eos"])
    assert (canvas.generated(), canvas.ended) == ([], [None])


@pytest.mark.parametrize("returns", [False, True])
def test_concluded_orders_the_rows_with_the_last_commit(returns):
    """Also where the inner method returns before all rows have ended."""
    canvas = Canvas(PROMPT, 4, eos=(9,))

    def inner(canvas):
        yield Commit([(), ()], parents=(0, 0))
        yield Commit([[1], [9]])
        if not returns:
            yield Commit([[2, 3, 4]])

    def judge(after):
        assert [len(text) for text in map(after.generated, (0, 1))] == [1 if returns else 4, 1]
        return [(1, 0.75), (0, 0.25)]

    def method(canvas):
        yield from concluded(canvas, inner(canvas), judge)

    (record,) = play([Request(canvas, method, {"target": ToyCausal(0, 13)})])
    assert record.texts == [[9], [1] if returns else [1, 2, 3, 4]]
    assert canvas.score == [0.75, 0.25]


def test_frontier_is_ordered_and_bounded():
    frontier = Frontier(3)
    for f, depth, name in [(0.5, 0, "a"), (0.5, 2, "b"), (0.5, 2, "c"), (0.4, 0, "d"), (0.9, 9, "e")]:
        frontier.push(f, depth, name)
    assert list(frontier) == ["d", "b", "c"]
    assert [frontier.pop() for _ in range(3)] == ["d", "b", "c"]
