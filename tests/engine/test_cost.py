"""What a run costs: interpolation, measuring against a clock that only runs while the net does, keeping."""

import json

import numpy as np
import pytest
import torch

from anyorder.core.canvas import Canvas
from anyorder.core.readers import every_argmax
from anyorder.core.types import Answer, Ask, Lines
from anyorder.engine import cost as costs
from anyorder.engine.cost import BATCHES, CELLS, CONTEXTS, MOST, Cost, known, load_or_measure, measure
from anyorder.errors import UserError
from anyorder.nets.memory import Full
from anyorder.testing import ToyCausal

POINTS = [(k, b, c) for k in CELLS for b in BATCHES for c in CONTEXTS if k * b <= MOST]


def linear(k, batch, context):
    return 0.02 + 0.001 * k * batch + 1e-6 * k * batch * context + 1e-5 * batch


class Timed:
    """A net of no words whose runs take the seconds of a formula; it reads 100 tokens of text in a run."""

    vocab, cell_bytes = 50, 8
    can = frozenset({"tree", "pack"})

    def __init__(self, price=linear, context=4096, room=10**9):
        self.price, self.context, self.room = price, context, room
        self.now, self.read, self.over, self.runs = 0.0, {}, [], []

    def __call__(self, asks):
        answers = []
        for ask, canvas in asks:
            text, tree = canvas.rows[0], ask.guess[0] if ask.guess else ()
            known = self.read.get(canvas, 0)
            if known + 100 < len(text):
                self.read[canvas] = known + 100
                self.now += 0.01
                answers.append(None)
                continue
            self.read[canvas] = len(text)
            lines = Lines(0, 0, len(text), *([tree] if tree else []))
            full = sum(self.read.values()) > self.room
            answers.append(Full() if full else Answer(torch.zeros(1 + len(tree), self.vocab), (lines,)))
        (k,) = {1 + (len(ask.guess[0]) if ask.guess else 0) for ask, _ in asks}
        (context,) = {len(canvas.rows[0]) for _, canvas in asks}
        self.now += self.price(k, len(asks), context)
        self.runs.append((k, len(asks), context))
        return answers

    def follow(self, canvas, commit):
        assert commit is None
        self.read.pop(canvas, None)
        self.over.append(canvas)

    def clock(self):
        return self.now


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("ANYORDER_CACHE", str(tmp_path))
    return tmp_path / "cost"


@pytest.fixture
def timed(monkeypatch):
    """Measuring by the nets' own clocks, and how often it was done."""
    done = []

    def by_its_clock(net):
        done.append(net)
        return measure(net, clock=net.clock)

    monkeypatch.setattr(costs, "measure", by_its_clock)
    return done


# between the points -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [1, 64, 100, 512, 900, 1024, 5000])
@pytest.mark.parametrize("batch", [1, 2, 4, 9, 16, 40])
def test_a_linear_cost_is_met_everywhere(batch, context):
    """Along each axis linear: also between the points, beyond them and where none was measured."""
    cost = Cost({point: linear(*point) for point in POINTS})
    least = linear(1, 1, 64)
    for k in (1, 2, 3, 7, 13, 33, 64, 100, 300):
        assert cost(k, batch, context) == pytest.approx(max(least, linear(k, batch, context)))


def test_points_are_met_exactly():
    draw = np.random.default_rng(0)
    cost = Cost({point: linear(*point) + 1e-7 * draw.random() for point in POINTS})
    assert {point: cost(*point) for point in POINTS} == pytest.approx(cost.seconds, rel=1e-12)
    assert cost(5) == cost(5, 1, 64)


def test_more_cells_never_cost_less():
    """Noise makes some measured points cheaper than smaller ones; the cost does not follow it."""
    draw = np.random.default_rng(1)
    cost = Cost({point: float(draw.uniform(0.5, 2.0)) for point in POINTS})
    least = min(cost.seconds.values())
    for batch in (1, 3, 16, 50):
        for context in (10, 64, 700, 3000):
            line = [cost(k, batch, context) for k in range(1, 130)]
            assert line == sorted(line)
            assert line[0] >= least


def test_few_points():
    assert Cost({(1, 1, 30): 0.5})(9, 4, 700) == 0.5
    assert Cost({(1, 1, 30): 0.5, (3, 1, 30): 0.7})(5, 2, 9) == pytest.approx(0.9)


# measuring --------------------------------------------------------------------------------------------------


def test_what_is_measured_is_what_runs_take():
    net = Timed()
    cost = measure(net, clock=net.clock)
    assert cost.seconds == pytest.approx({point: linear(*point) for point in POINTS})
    assert cost(5, 2, 300) == pytest.approx(linear(5, 2, 300))


def test_points_are_timed_by_turns_and_cheap_ones_more_often():
    net = Timed(lambda *point: 0.1 * linear(*point))
    measure(net, clock=net.clock)
    rest = net.runs[-net.runs[::-1].index((1, 1, 64)) - 1 :]  # after the cheapest point's last turn
    assert (1, 1, 64) not in rest[1:]
    times = {point: net.runs.count(point) for point in POINTS}
    assert times[2, 1, 64] == 1 + costs.TIMES > times[16, 16, 1024] >= 1 + costs.LEAST


def test_nothing_is_left_behind():
    net = Timed()
    measure(net, clock=net.clock)
    assert not net.read
    assert len(net.over) == len(set(net.over)) == sum(BATCHES) * len(CONTEXTS)
    assert all(canvas.done for canvas in net.over)


def test_a_slow_net_is_measured_at_its_smallest_context():
    net = Timed(lambda k, batch, context: 1e3 * linear(k, batch, context))
    cost = measure(net, clock=net.clock)
    assert set(cost.seconds) == {point for point in POINTS if point[2] == CONTEXTS[0]}
    assert net.runs.count((2, 4, 64)) == 2  # a warm-up and a repeat
    assert cost(3, 4) == pytest.approx(1e3 * linear(3, 4, 64))


def test_compiling_does_not_count():
    net = Timed(lambda *point: linear(*point) + (60 if point not in net.runs else 0))
    assert measure(net, clock=net.clock)(16, 4) == pytest.approx(linear(16, 4, 64))


@pytest.mark.parametrize(
    "room, batches, contexts", [(500, (1, 4), (64,)), (6000, BATCHES, (64,)), (20000, BATCHES, (64, 512))]
)
def test_what_does_not_fit_is_left_out(room, batches, contexts):
    net = Timed(room=room)
    cost = measure(net, clock=net.clock)
    assert {b for _, b, _ in cost.seconds} == set(batches)
    assert {c for _, _, c in cost.seconds} == set(contexts)


def test_a_net_without_room_is_refused_in_a_sentence():
    net = Timed(room=10)
    with pytest.raises(UserError, match=r"does not hold 64 cells; .*; allow more memory"):
        measure(net, clock=net.clock)
    assert not net.read


def test_what_else_a_net_says_is_not_swallowed():
    net = Timed()
    net.price = lambda k, batch, context: 1 / 0 if k == 8 else 1e-3
    with pytest.raises(ZeroDivisionError):
        measure(net, clock=net.clock)
    assert not net.read
    other = type("Broken", (Timed,), {"__call__": lambda self, asks: [ValueError("broken")]})()
    with pytest.raises(ValueError, match="broken"):
        measure(other, clock=other.clock)


def test_a_net_that_runs_alone_and_holds_little():
    net = Timed(context=40)
    net.can = frozenset({"tree"})
    assert set(measure(net, clock=net.clock).seconds) == {(k, 1, 20) for k in (1, 2, 4, 8, 16)}
    assert set(measure(Timed(context=2), clock=net.clock).seconds) == {(1, b, 1) for b in BATCHES}


def test_texts_that_take_long_to_read_share_beginnings():
    net = Timed(lambda *point: 0.01 * linear(*point))
    canvases = []

    def follow(canvas, commit):
        canvases.append(canvas)

    net.follow = follow
    measure(net, limit=2.0, clock=net.clock)
    long = [tuple(canvas.rows[0]) for canvas in canvases if len(canvas.rows[0]) == CONTEXTS[1]]
    assert len(long) == sum(BATCHES) == len(set(long))
    assert 1 < len({text[: -costs.TAIL] for text in long[-16:]}) < 16


def test_a_real_net_with_live_requests_answers_as_before():
    net, alone = ToyCausal(), ToyCausal()
    canvas, ask = Canvas([1, 2, 3], 9), Ask(every_argmax)
    for each in (net, alone):
        each([(ask, canvas)])
    cost = measure(net, limit=0.01)
    assert {c for _, _, c in cost.seconds} == {64}
    assert set(net.held) == {canvas}
    assert torch.equal(net([(ask, canvas)])[0].logits, alone([(ask, canvas)])[0].logits)


def test_a_causal_net_is_left_as_it_was(tiny_model_folder):
    from anyorder.api import load

    net = load(str(tiny_model_folder), precision="fp32").target
    canvas = Canvas([5, 6, 7], 9)
    net([(Ask(every_argmax), canvas)])
    used = net.slots.used
    cost = measure(net, limit=0.05)
    assert (net.slots.used, len(net.held)) == (used, 1)
    assert cost(1) > 0


# keeping ----------------------------------------------------------------------------------------------------


def test_measured_once_and_again_on_demand(cache, timed):
    net = Timed()
    assert known(net, "m", "fp32") is None
    first = load_or_measure(net, "m", "fp32")
    assert load_or_measure(Timed(), "m", "fp32").seconds == first.seconds == known(net, "m", "fp32").seconds
    assert len(timed) == 1
    assert [file.suffix for file in cache.iterdir()] == [".json"]
    net.price = lambda *point: 2 * linear(*point)
    again = load_or_measure(net, "m", "fp32", refresh=True)
    assert again(1) == pytest.approx(2 * first(1))
    assert known(net, "m", "fp32").seconds == again.seconds
    assert len(timed) == 2


def test_another_net_precision_or_machine_is_measured_for_itself(cache, monkeypatch):
    net, other = Timed(), Timed()
    other.cell_bytes = 16
    mine = costs.facts(net, "m", "fp32")
    assert costs.facts(Timed(), "m", "fp32") == mine
    different = [
        costs.facts(net, "m", "bf16"),
        costs.facts(net, "n", "fp32"),
        costs.facts(other, "m", "fp32"),
    ]
    with monkeypatch.context() as here:
        here.setattr(costs, "cpu_model", lambda: "another processor")
        different.append(costs.facts(net, "m", "fp32"))
    with monkeypatch.context() as here:
        here.setattr(torch, "get_num_threads", lambda: 77)
        different.append(costs.facts(net, "m", "fp32"))
    for package in ("torch", "numba"):
        with monkeypatch.context() as here:
            here.setattr(costs, "version", lambda name, new=package: "9" if name == new else "1")
            different.append(costs.facts(net, "m", "fp32"))
    files = {costs.file_of(facts) for facts in [mine, *different]}
    assert len(files) == 1 + len(different)
    assert {file.parent for file in files} == {cache}


def test_a_body_on_a_gpu_is_another_machine(monkeypatch):
    net = Timed()
    net.body = type("Body", (), {"device": "cuda:0"})()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    assert costs.facts(net, "m", "bf16")["machine"] == "a GPU"


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "3", '{"seconds": []}', '{"facts": FACTS, "seconds": []}',
        '{"facts": FACTS, "seconds": [[1, 1, 64]]}', '{"facts": FACTS, "seconds": [[1, 1, 64, "x"]]}',
        '{"facts": FACTS, "seconds": [[1, 1, 64, -1.0]]}', '{"facts": FACTS, "seconds": [[1, 1, 64, NaN]]}',
        '{"facts": {}, "seconds": [[1, 1, 64, 1.0]]}',
    ],
)  # fmt: skip
def test_a_broken_or_foreign_file_is_measured_again(cache, timed, text):
    net = Timed()
    mine = costs.facts(net, "m", "fp32")
    file = costs.file_of(mine)
    cache.mkdir()
    file.write_text(text.replace("FACTS", json.dumps(mine)))
    assert known(net, "m", "fp32") is None
    assert load_or_measure(net, "m", "fp32")(1) == pytest.approx(linear(1, 1, 64))
    assert known(net, "m", "fp32") is not None


def test_bytes_that_are_no_text_are_no_file_of_ours(cache, timed):
    cache.mkdir()
    costs.file_of(costs.facts(Timed(), "m", "fp32")).write_bytes(b"\xff\xfe\x00")
    assert known(Timed(), "m", "fp32") is None


def test_a_cache_folder_that_cannot_be_written(tmp_path, monkeypatch, timed):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ANYORDER_CACHE", str(tmp_path / "file"))
    assert load_or_measure(Timed(), "m", "fp32")(1) == pytest.approx(linear(1, 1, 64))
    assert known(Timed(), "m", "fp32") is None
