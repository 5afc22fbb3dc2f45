"""One budget: nothing leaks, nobody is lost, and what does not fit says so."""

from __future__ import annotations

import random
from collections import deque

import pytest

from anyorder.card import Setting
from anyorder.core.decode import decode
from anyorder.core.types import Ask, chain
from anyorder.errors import UserError
from anyorder.nets.causal import CHUNK
from anyorder.nets.memory import Full, Memory, parsed
from anyorder.registry import build
from tests.engine.blank import V, drop_idle, held, net, request

METHODS = {
    "greedy": {}, "sample": {}, "beam": {"width": 3}, "prompt_lookup": {}, "token_recycling": {"keep": False},
    "lookahead": {}, "jacobi": {},
}  # fmt: skip


def method(name: str):
    return build(name, METHODS[name], Setting(greedy=name != "sample", vocab=V))


def alone(name: str, prompt, budget: int, seed: int) -> list[list[int]]:
    one = request(net(), prompt, budget, method(name), seed)
    for _ in decode([one]):
        pass
    return one.canvas.rows


def test_nothing_leaks_in_ten_thousand_random_events() -> None:
    rng = random.Random(5)
    target = net(budget=260)
    system = [rng.randrange(V) for _ in range(12)]
    waiting, asked, live, events, pauses = deque(), {}, [], 0, 0

    def join() -> None:
        name, seed = rng.choice(list(METHODS)), rng.randrange(100)
        prompt = system if rng.random() < 0.5 else []
        prompt = prompt + [rng.randrange(V) for _ in range(rng.randint(1, 30))]
        one = request(target, prompt, rng.randint(1, 25), method(name), seed)
        asked[one] = (name, list(prompt), one.canvas.budget, seed)
        waiting.append(one)
        live.append(one)

    cancelled, checked = set(), 0
    while events < 10_000:
        join()
        for _ in decode(waiting, over=lambda one, error: live.remove(one) if error is None else 1 / 0):
            events += 1
            assert target.used <= 260
            if events % 20 == 0:
                assert target.slots.used == len(held(target)), "cells are counted that nobody holds"
            if rng.random() < 0.3 and len(live) < 12 and events < 10_000:
                join()
            if rng.random() < 0.05 and live:
                cancelled.add(victim := rng.choice(live))
                victim.canvas.close()
        pauses = target.memory.pauses
        assert not live
        assert not target.held
        drop_idle(target)
        assert target.slots.used == 0, "a cell leaked"
    assert pauses > 100, "the pool was never too small; this test shows nothing"
    for one, (name, prompt, budget, seed) in rng.sample(list(asked.items()), 150):
        if one not in cancelled:
            assert one.canvas.rows == alone(name, prompt, budget, seed), name
            checked += 1
    assert checked > 50


def test_a_cancelled_request_frees_its_memory_at_once() -> None:
    target = net()
    first, second = (request(target, [t] * 50, 100, method("greedy")) for t in (1, 2))
    steps = decode([first, second])
    for _ in range(6):
        next(steps)
    before = target.slots.used
    first.canvas.close()
    next(steps)
    next(steps)
    assert target.slots.used < before - 40


def test_a_loop_that_is_left_lets_go_of_everything() -> None:
    target = net()
    steps = decode([request(target, [1, 2, 3], 100, method("greedy"))])
    next(steps)
    steps.close()
    assert not target.held
    assert target.slots.used == 0


def test_a_shared_prefix_is_stored_and_computed_once() -> None:
    target = net()
    prompts = [[*range(30), last] for last in range(30, 36)]
    requests = [request(target, prompt, 3, method("greedy")) for prompt in prompts]
    for _ in decode(requests):
        assert target.slots.used <= 30 + 6 * 5
    assert sum(one.cells["target"] for one in requests) < 30 + 6 * 6


def test_who_does_not_fit_even_alone_is_told_and_the_others_go_on() -> None:
    target = net(budget=60)
    wide = request(target, [1, 2, 3], 100, method("beam"))
    small = request(target, [4, 5], 20, method("greedy"))
    errors = {}
    for _ in decode([wide, small], over=errors.__setitem__):
        pass
    assert isinstance(errors[wide], Full)
    assert "60 bytes are allowed" in str(errors[wide])
    assert errors[small] is None
    assert small.canvas.ended == ["length"]
    drop_idle(target)
    assert target.slots.used == 0


def test_nets_share_one_budget() -> None:
    memory = Memory(100)
    from anyorder.nets.causal import Causal
    from tests.engine.blank import Blank

    big, small = Causal(Blank(), memory), Causal(Blank(), memory)
    one = request(big, list(range(30)), 10, method("greedy"))
    for _ in decode([one]):
        pass
    assert big.used > 30, "a finished text stays"
    other = request(small, list(range(20)), 30, method("greedy"))
    third = request(small, list(range(10, 30)), 25, method("greedy"))
    for _ in decode([other, third]):
        assert memory.used <= 100
    assert big.used == 0, "the longest idle text makes room"


def test_a_long_prompt_does_not_stall_the_others() -> None:
    target = net()
    short = request(target, [1, 2], 30, method("greedy"))
    long = request(target, [3] * (8 * CHUNK), 5, method("greedy"))
    order = [event.request for event in decode([short, long])]
    assert order.index(long) >= 7, "the others go on while it is read"
    assert max(target.body.seen) <= CHUNK + 8


def test_a_long_prompt_is_read_while_many_short_ones_run() -> None:
    target = net()
    requests = [request(target, [1, i], 40, method("greedy")) for i in range(16)]
    requests.append(request(target, [3] * (4 * CHUNK), 5, method("greedy")))
    events = [event.request for event in decode(requests)]
    assert requests[-1] in events[: 16 * 8]


@pytest.mark.parametrize(
    "text, size", [("512MB", 2**29), ("2 GiB", 2**31), ("1.5g", 3 * 2**29), ("4096", 4096), (77, 77)]
)
def test_sizes_as_people_write_them(text, size) -> None:
    assert parsed(text) == size


@pytest.mark.parametrize("text", ["", "much", "-3GB", "0", "GB"])
def test_a_size_that_is_none_is_refused(text) -> None:
    with pytest.raises(UserError, match="512MB or 2GB"):
        parsed(text)


def test_guesses_are_not_counted_twice() -> None:
    target = net(budget=12)
    one = request(target, [1, 2, 3], 9, method("greedy"))
    target([(Ask(lambda a, c: None, guess=(chain([4, 5, 6, 7]),)), one.canvas)])
    assert target.used == 7
    target([(Ask(lambda a, c: None, guess=(chain([4, 5, 6, 7]),)), one.canvas)])
    assert target.used == 7
