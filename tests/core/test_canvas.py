"""The canvas cuts: end-of-text, stop rules and budget; forks; and cells written in any order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyorder.core.canvas import Canvas
from anyorder.core.types import Commit

PROMPT = [7, 7]
tokens = st.lists(st.integers(0, 3), max_size=5)


def write(canvas, *commits):
    return [canvas.write(Commit([list(c)])) for c in commits]


def slow_text(commits, budget, eos, stop):
    """Token by token: written until one of the rules says that it was the last."""
    text, why = [], None
    for commit in commits:
        for t in commit:
            if why is None:
                text.append(t)
                if stop and text[-2:] == stop:
                    why = "stop"
                elif t in eos:
                    why = "eos"
                elif len(text) == budget:
                    why = "length"
    return text, why


def rule_of(stop):
    def rule(generated, new):
        ends = range(len(generated) - new + 1, len(generated) + 1)
        return next((e for e in ends if generated[max(0, e - 2) : e] == stop), None)

    return rule if stop else None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(tokens, max_size=6), st.integers(1, 9), st.sets(st.integers(0, 3), max_size=1),
    st.one_of(st.none(), st.lists(st.integers(0, 3), min_size=2, max_size=2)),
)  # fmt: skip
def test_cuts_as_if_written_token_by_token(commits, budget, eos, stop):
    canvas = Canvas(PROMPT, budget, eos=eos, stop=rule_of(stop))
    for commit in commits:
        if not canvas.done:
            before = len(canvas.rows[0])
            written = canvas.write(Commit([commit]))
            assert canvas.rows[0][before:] == list(written.token[0])
    assert (canvas.generated(), canvas.ended[0]) == slow_text(commits, budget, eos, stop)
    assert canvas.rows[0][:2] == PROMPT


def test_end_of_text_inside_an_accepted_path():
    canvas = Canvas(PROMPT, 9, eos=[5])
    (written,) = write(canvas, [1, 5, 2])
    assert written.token == [[1, 5]]
    assert written.ended == ("eos",)
    assert canvas.done


def test_end_of_text_as_the_last_token_of_the_budget():
    canvas = Canvas(PROMPT, 2, eos=[5])
    write(canvas, [1, 5, 2])
    assert canvas.ended == ["eos"]


def test_a_canvas_that_is_done_is_not_written():
    canvas = Canvas(PROMPT, 1)
    write(canvas, [1])
    with pytest.raises(AssertionError, match="done"):
        write(canvas, [1])
    closed = Canvas(PROMPT, 9)
    closed.close()
    assert closed.done
    assert closed.ended == [None]


def test_fork_reorder_and_prune():
    canvas = Canvas(PROMPT, 3, eos=[5])
    canvas.write(Commit([[1], [2], [5]], parents=(0, 0, 0), score=(3.0, 2.0, 1.0)))
    assert canvas.rows == [[7, 7, 1], [7, 7, 2], [7, 7, 5]]
    assert canvas.ended == [None, None, "eos"]
    assert canvas.live == (0, 1)
    canvas.write(Commit([[9], [3], [4]], parents=(2, 1, 1)))
    assert canvas.rows == [[7, 7, 5], [7, 7, 2, 3], [7, 7, 2, 4]], "an ended row stays as it is"
    assert canvas.score == [1.0, 2.0, 2.0]
    assert canvas.live == (1, 2)
    canvas.write(Commit([[8]], parents=(2,)))
    assert canvas.rows == [[7, 7, 2, 4, 8]]
    assert canvas.ended == ["length"]


def test_forked_rows_share_nothing():
    canvas = Canvas(PROMPT, 9)
    canvas.write(Commit([[], []], parents=(0, 0)))
    canvas.write(Commit([[1], [2]]))
    assert canvas.rows == [[7, 7, 1], [7, 7, 2]]


def test_commits_speak_of_live_rows():
    canvas = Canvas(PROMPT, 5, eos=[5], rows=3)
    canvas.write(Commit([[1], [5], [2]]))
    written = canvas.write(Commit([[3], [4]]))
    assert written.token == [[3], (), [4]]
    assert canvas.rows == [[7, 7, 1, 3], [7, 7, 5], [7, 7, 2, 4]]
    with pytest.raises(ValueError, match="zip"):
        canvas.write(Commit([[3], [4], [5]]))


# any order -----------------------------------------------------------------------------------------------

MASK = 9


@settings(max_examples=200, deadline=None)
@given(st.permutations(range(6)), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_cells_in_any_order(order, text):
    """The row ends at the first end-of-text with no hole before it, and is full otherwise."""
    canvas = Canvas(PROMPT, 6, eos=[0], mask=MASK)
    written = {}
    for i in order:
        if canvas.done:
            break
        assert canvas.holes(range(2, 8))[0] == [2 + j for j in range(6) if j not in written]
        canvas.write(Commit([[text[i]]], at=[[2 + i]]))
        written[i] = text[i]
        first_hole = next((j for j in range(6) if j not in written), 6)
        ends = [j for j in range(first_hole) if text[j] == 0]
        assert canvas.done == bool(ends or first_hole == 6)
    end = text.index(0) + 1 if 0 in text else 6
    assert canvas.generated() == text[:end]
    assert canvas.ended == ["eos" if 0 in text else "length"]


def test_prompt_and_what_lies_beyond_are_not_written():
    canvas = Canvas(PROMPT, 3, mask=MASK)
    written = canvas.write(Commit([[1, 2, 3]], at=[[0, 3, 5]]))
    assert canvas.rows == [[7, 7, MASK, 2, MASK]]
    assert (written.token, written.at) == ([[2]], [[3]])


def test_blocks():
    assert Canvas(PROMPT, 7, mask=MASK, block=3).blocks() == [range(2, 5), range(5, 8), range(8, 9)]
    assert Canvas(PROMPT, 7, mask=MASK).blocks() == [range(2, 9)]


def test_a_written_cell_may_change():
    canvas = Canvas(PROMPT, 2, mask=MASK)
    canvas.write(Commit([[1]], at=[[2]]))
    canvas.write(Commit([[3]], at=[[2]]))
    assert canvas.rows == [[7, 7, 3, MASK]]


def test_each_kind_of_canvas_has_its_way_to_be_written():
    with pytest.raises(AssertionError):
        Canvas(PROMPT, 2, mask=MASK).write(Commit([[1]]))
    with pytest.raises(AssertionError):
        Canvas(PROMPT, 2).write(Commit([[1]], at=[[2]]))
