"""The loop: requests come and go, asks are gathered, flows are closed."""

import inspect
from collections import deque

import pytest

from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.readers import argmax
from anyorder.core.types import Ask, Commit, chain
from anyorder.testing import ToyCausal, greedy_text, plain_line


class Counted(ToyCausal):
    """A toy that writes down how many asks each of its runs answered."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.sizes = []

    def __call__(self, asks):
        self.sizes.append(len(asks))
        return super().__call__(asks)


def greedy(canvas):
    while True:
        token = yield Ask(argmax)
        yield Commit([[t] for t in token])


def request(net, prompt=(1,), budget=4, method=greedy, **nets):
    return Request(Canvas(list(prompt), budget), method, {"target": net, **nets})


def test_one_run_answers_everybody():
    net = Counted()
    requests = [request(net, [i + 1], 3 + i) for i in range(3)]
    events = list(decode(requests))
    assert net.sizes == [3, 3, 3, 2, 1]
    assert len(events) == 3 + 4 + 5
    for r in requests:
        assert r.canvas.generated() == greedy_text(net, r.canvas.rows[0][:1], r.canvas.budget)
        assert r.runs == {"target": r.canvas.budget} == r.cells


def test_joining_while_the_loop_runs():
    net = Counted()
    first, late = request(net, [1], 5), request(net, [2], 3)
    waiting = deque([first])
    for n, _ in enumerate(decode(waiting)):
        if n == 1:
            waiting.append(late)
    assert first.canvas.done
    assert late.canvas.generated() == greedy_text(net, [2], 3)
    assert net.sizes == [1, 1, 1, 2, 2, 1], "who waits joins in the next round"


def test_closing_a_canvas_mid_way():
    closed = []

    def watched(canvas):
        try:
            yield from greedy(canvas)
        finally:
            closed.append(canvas)

    net = Counted()
    short, long = request(net, [1], 9, watched), request(net, [2], 4, watched)
    for event in decode([short, long]):
        if event.request is short and len(short.canvas.generated()) == 2:
            short.canvas.close()
    assert short.canvas.generated() == greedy_text(net, [1], 9)[:2]
    assert short.canvas.ended == [None]
    assert long.canvas.ended == ["length"]
    assert closed == [short.canvas, long.canvas], "a flow is closed when its request is over"
    assert net.sizes == [2, 2, 1, 1]


def test_flows_are_closed_whoever_still_holds_them():
    flows = []

    def held(canvas):
        flows.append(greedy(canvas))
        return flows[-1]

    list(decode([request(ToyCausal(), method=held), request(ToyCausal(), budget=2, method=held)]))
    assert [inspect.getgeneratorstate(flow) for flow in flows] == [inspect.GEN_CLOSED] * 2


def test_a_canvas_closed_before_it_starts():
    gone = request(ToyCausal())
    gone.canvas.close()
    assert list(decode([gone])) == []


def test_a_method_that_returns_is_over():
    def once(canvas):
        token = yield Ask(argmax)
        yield Commit([token])

    r = request(ToyCausal(), budget=9, method=once)
    assert [e.written.ended for e in decode([r])] == [(None,)]
    assert r.canvas.done
    assert len(r.canvas.generated()) == 1


def test_tuple_of_asks_gets_a_tuple_of_replies():
    """Two nets asked together, and one net asked twice: in one round, one run for each net."""
    target, other = Counted(0), Counted(1)
    seen = []

    def method(canvas):
        replies = yield (Ask(argmax), Ask(argmax, guess=(chain([4]),)), Ask(argmax, net="other"))
        seen.append(replies)
        yield Commit([replies[2]])

    r = request(target, [1, 2], 1, method, other=other)
    list(decode([r]))
    mine, theirs = (int(net.plain([1, 2]).argmax()) for net in (target, other))
    assert mine != theirs
    assert seen == [([mine], [mine], [theirs])]
    assert r.canvas.generated() == [theirs]
    assert (target.sizes, other.sizes) == ([2], [1])
    assert r.runs == {"target": 1, "other": 1}  # asked together: one run


def test_commit_replies_with_what_was_written():
    replies = []

    def method(canvas):
        replies.append((yield Commit([[1, 2, 3]])))
        replies.append((yield Commit([[4, 5, 6]])))

    events = list(decode([request(ToyCausal(), budget=5, method=method)]))
    assert [w.token for w in replies] == [[[1, 2, 3]]], "the flow of a done canvas is not resumed"
    assert [e.written.token for e in events] == [[[1, 2, 3]], [[4, 5]]]


def test_shape_and_watch():
    """The shape changes what readers see; watch sees the same shaped answers."""
    from dataclasses import replace

    seen = []
    r = request(ToyCausal(), budget=3)
    r.shape = lambda answer, canvas: replace(answer, logits=-answer.logits)
    list(decode([r], lambda request, ask, answer: seen.append((request, ask.net, answer.logits))))
    text = r.canvas.generated()
    for i, (who, net, logits) in enumerate(seen):
        line = -plain_line(ToyCausal(), [1], text[:i])
        assert who is r
        assert net == "target"
        assert (logits[0] - line).abs().max() < 1e-12
        assert text[i] == int(line.argmax())


def test_errors_of_a_method_reach_the_caller():
    def broken(canvas):
        yield Ask(argmax)
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        list(decode([request(ToyCausal(), method=broken)]))
