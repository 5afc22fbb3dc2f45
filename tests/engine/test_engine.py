"""Requests with their own methods side by side: equal to each alone, faults kept apart, threads outside."""

from __future__ import annotations

import random
import threading
import time

import pytest
import torch

import anyorder
from anyorder.card import Setting
from anyorder.core.decode import as_it_is, decode
from anyorder.core.readers import argmax
from anyorder.core.types import Ask, Commit
from anyorder.engine.engine import Cancelled, Engine
from anyorder.errors import UserError
from anyorder.registry import build
from anyorder.testing.mixes import METHODS, SEARCHES, unequal
from tests.engine.blank import Blank, drop_idle, net, request


def greedy():
    return build("greedy", {}, Setting(greedy=True))


def mixes_equal_alone(folder, count: int, seed: int, methods=METHODS) -> int:
    """Random mixes in a pool so small that requests are paused; how often."""
    alone = anyorder.load(str(folder), precision="fp32")
    mixed = anyorder.load(str(folder), precision="fp32", memory=500 * alone.target.cell_bytes)
    rng, compared = random.Random(seed), 0
    for _ in range(count):
        requests, wrong = unequal(alone, mixed, rng, methods)
        assert not wrong
        compared += requests
    assert compared > 2 * count
    return mixed.cache.pauses


def test_twenty_random_mixes_equal_each_request_alone(tiny_model_folder) -> None:
    mixes_equal_alone(tiny_model_folder, 20, seed=1)


def test_searches_beside_each_other_and_beside_other_methods(tiny_model_folder) -> None:
    mixes_equal_alone(tiny_model_folder, 12, seed=3, methods=[*SEARCHES, *METHODS[:5]])


@pytest.mark.slow
def test_a_hundred_random_mixes_of_searches(tiny_model_folder) -> None:
    assert mixes_equal_alone(tiny_model_folder, 100, seed=4, methods=SEARCHES) > 0


@pytest.mark.slow
def test_two_hundred_random_mixes_equal_each_request_alone(tiny_model_folder) -> None:
    assert mixes_equal_alone(tiny_model_folder, 200, seed=2) > 0


# faults ----------------------------------------------------------------------------------------------------


def broken_method(canvas):
    yield Commit([[1]])
    raise RuntimeError("method broke")


def broken_reader(answer, chance):
    raise RuntimeError("reader broke")


def broken_shape(answer, canvas):
    raise RuntimeError("shape broke")


def asks_with(reader):
    def method(canvas):
        yield Ask(reader)

    return method


@pytest.mark.parametrize(
    "method, shape, says",
    [
        (broken_method, as_it_is, "method broke"),
        (asks_with(broken_reader), as_it_is, "reader broke"),
        (asks_with(argmax), broken_shape, "shape broke"),
    ],
)
def test_a_fault_ends_its_request_and_no_other(method, shape, says) -> None:
    target = net()
    bad = request(target, [1, 2], 30, method, shape=shape)
    good = [request(target, [3, i], 30, greedy()) for i in range(3)]
    with Engine() as engine:
        tickets = [engine.submit(one) for one in (good[0], bad, *good[1:])]
        with pytest.raises(RuntimeError, match=says):
            tickets[1].wait(20)
        for ticket in (tickets[0], *tickets[2:]):
            assert len(ticket.wait(20).canvas.generated()) == 30
    drop_idle(target)
    assert target.slots.used == 0


class Poisoned(Blank):
    """Says NaN after token 13."""

    def __call__(self, feed, store):
        logits, hidden, inner = super().__call__(feed, store)
        token = torch.tensor([feed.token[i] for i in feed.lines])
        return torch.where((token == 13)[:, None], torch.nan, logits), hidden, inner


def test_nan_ends_its_request_with_net_and_step() -> None:
    from anyorder.nets.causal import Causal
    from anyorder.nets.memory import Memory

    body = Poisoned()
    body.law[:, 13] = -torch.inf  # only who begins with 13 meets it
    target = Causal(body, Memory(1 << 20))
    bad, good = request(target, [13], 5, greedy()), request(target, [2], 5, greedy())
    errors = {}
    for _ in decode([bad, good], over=errors.__setitem__):
        pass
    assert str(errors[bad]).startswith("net 'target' answered NaN in step 1; ")
    assert errors[good] is None
    with pytest.raises(FloatingPointError):
        list(decode([request(target, [13], 5, greedy())]))


def test_a_net_that_breaks_ends_the_requests_of_its_run_only() -> None:
    target = net()
    body = target.body

    def breaks(feed, store):
        raise MemoryError("no room on the device")

    breaks.store = body.store
    with Engine() as engine:
        target.body = breaks
        with pytest.raises(MemoryError, match="device"):
            engine.submit(request(target, [1], 5, greedy())).wait(20)
        target.body = body
        assert len(engine.submit(request(target, [1], 5, greedy())).wait(20).canvas.generated()) == 5


def test_a_net_that_cannot_pack_answers_one_after_the_other() -> None:
    target = net()
    target.can = target.can - {"pack"}
    requests = [request(target, [i], 10, greedy()) for i in range(4)]
    for _ in decode(requests):
        pass
    assert max(target.body.seen) == 1
    assert all(len(one.canvas.generated()) == 10 for one in requests)


# threads ---------------------------------------------------------------------------------------------------


def test_requests_join_from_many_threads_and_stream() -> None:
    target, texts = net(), {}
    with Engine(most=3) as engine:

        def use(i: int) -> None:
            ticket = engine.submit(request(target, [i, i], 20, greedy()))
            texts[i] = [t for event in ticket for t in event.written.token[0]]

        threads = [threading.Thread(target=use, args=(i,)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    for i, text in texts.items():
        one = request(net(), [i, i], 20, greedy())
        list(decode([one]))
        assert text == one.canvas.generated()
    assert len(texts) == 12


def test_a_request_is_cancelled_while_it_runs_or_waits() -> None:
    target = net()
    with Engine(most=1) as engine:
        running, waiting = (engine.submit(request(target, [i], 1 << 19, greedy())) for i in (1, 2))
        next(iter(running))
        assert engine.load == (1, 1)
        waiting.cancel()
        running.cancel()
        for ticket in (running, waiting):
            with pytest.raises(Cancelled):
                ticket.wait(20)
        assert engine.load == (0, 0)
    drop_idle(target)
    assert target.slots.used == 0


def test_a_closed_engine_finishes_what_runs_and_takes_no_more() -> None:
    engine = Engine()
    ticket = engine.submit(request(net(), [1], 200, greedy()))
    engine.close()
    assert ticket.over
    assert len(ticket.wait().canvas.generated()) == 200
    with pytest.raises(UserError, match="closed"):
        engine.submit(request(net(), [1], 5, greedy()))


def test_an_engine_left_by_an_error_cancels_what_runs() -> None:
    start = time.perf_counter()
    engine = Engine()
    ticket = engine.submit(request(net(), [1], 1 << 19, greedy()))
    engine.__exit__(KeyError, KeyError(), None)
    assert ticket.over
    assert time.perf_counter() - start < 20


def test_waiting_has_an_end() -> None:
    with Engine() as engine:
        ticket = engine.submit(request(net(), [1], 1 << 19, greedy()))
        with pytest.raises(TimeoutError, match="not over"):
            ticket.wait(0.05)
        ticket.cancel()


def test_an_engine_has_room_for_someone() -> None:
    with pytest.raises(UserError, match="1 or more"):
        Engine(most=0)


def test_a_request_larger_than_the_pool_is_refused(tiny_model_folder) -> None:
    model = anyorder.load(str(tiny_model_folder), precision="fp32", memory=40 * 2 * 2 * 2 * 8 * 4)
    with pytest.raises(UserError, match=r"make 60 tokens, which need .* of cache"):
        model.request("hi", max_tokens=40)
    model.generate("hi", max_tokens=10)


def test_who_is_cancelled_while_it_waits_leaves_its_place_at_once() -> None:
    told: list[object] = []
    target = net()
    with Engine(most=1) as engine:
        asked = [request(target, [i], 10_000, greedy()) for i in range(4)]
        first = engine.submit(asked[0])
        others = [engine.submit(one, told.append) for one in asked[1:]]
        assert engine.load == (1, 3)
        others[1].cancel()
        assert engine.load == (1, 2)
        assert told == [None]
        assert others[1].over
        with pytest.raises(Cancelled):
            others[1].wait()
        for ticket in (first, others[0], others[2]):
            ticket.cancel()
