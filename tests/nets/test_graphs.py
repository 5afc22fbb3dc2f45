"""Static shapes change no answer, and what is recorded for one run holds for every run of its shape.

There is no GPU here. A recording is played by a tape of torch's operations, which like a CUDA graph keeps
sizes, addresses and every number that Python knew, and torch.cuda is a stand-in that writes down its calls.
"""

import copy
import random
from array import array
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Commit, Tree
from anyorder.nets import graphs
from anyorder.nets.causal import CHUNK, Causal
from anyorder.nets.feed import Feed
from anyorder.nets.graphs import Called, Captured, Static, bucket, static, wanted
from anyorder.nets.memory import Memory
from anyorder.nets.pool import BLOCK, Layout, Plan
from anyorder.nets.stock import Stock, packs
from tests.nets.test_causal import KINDS, TREE, V, check_random_runs, model, near, plain, whole

WAITS = torch.ops.aten.item.default, torch.ops.aten._local_scalar_dense.default
FAMILIES = ["llama", "qwen3", "gemma3_text"]


class Refusing(TorchDispatchMode):
    """As set_sync_debug_mode("error"): whoever waits for the device gets an error."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in WAITS:
            raise RuntimeError("called a synchronizing CUDA operation")
        return func(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    """Writes down every operation with its tensors; replayed, each writes where it wrote before."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    def replay(self):
        for func, args, kwargs, out in self.calls:
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def taped(forward):
    with (tape := Tape()):
        forward()
    return tape.replay


class FakeCuda:
    """What `Captured` uses of torch.cuda. A failed capture leaves its stream set, as torch's does."""

    def __init__(self):
        self.log, self.now, self.refusing = [], "main", None

    def Stream(self, device):
        return self._stream("side")

    def current_stream(self, device):
        return self._stream(self.now)

    def _stream(self, name):
        return SimpleNamespace(name=name, wait_stream=lambda o: self.log.append(f"{name} waits for {o.name}"))

    @contextmanager
    def stream(self, stream):
        before, self.now = self.now, stream.name
        try:
            yield
        finally:
            self.now = before

    def graph_pool_handle(self):
        return "pool"

    def CUDAGraph(self):
        return SimpleNamespace(replay=None)

    @contextmanager
    def graph(self, graph, pool, stream, capture_error_mode):
        assert (pool, capture_error_mode) == ("pool", "thread_local")
        self.now = stream.name
        self.log.append("begin")
        with (tape := Tape()):
            yield
        assert all(call[0] not in WAITS for call in tape.calls)
        self.log.append("end")
        self.now = "main"
        graph.replay = lambda: (self.log.append("replay"), tape.replay())

    def get_sync_debug_mode(self):
        return 0

    def set_sync_debug_mode(self, mode):
        self.log.append(f"waits {mode}")
        if mode == "error":
            self.refusing = Refusing()
            self.refusing.__enter__()
        else:
            self.refusing.__exit__(None, None, None)


def net_of(reference, recorder=None, memory=None, **limits) -> Causal:
    return Causal(Static(Stock(copy.deepcopy(reference)), recorder or Called(), **limits), memory)


# answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorder", [Called(), taped], ids=["called", "recorded"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_random_texts_forks_and_guesses_answer_like_plain_runs(kind: str, recorder) -> None:
    reference = model(kind)
    net = net_of(reference, recorder)
    check_random_runs(net, reference, seed=5)
    assert len(net.body.repeats) < 25, "40 runs have few shapes"


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_tree_after_a_text_of_more_than_one_block(kind: str) -> None:
    reference, rng = model(kind), random.Random(6)
    text = [rng.randrange(1, V) for _ in range(BLOCK + 9)]
    net, canvas = net_of(reference, taped), Canvas(text, 40)
    for _ in range(3):  # called, recorded, replayed
        (answer,) = net([(Ask(whole, guess=(TREE,)), canvas)])
        for line, i in zip(answer.logits, range(-1, len(TREE)), strict=True):
            torch.testing.assert_close(line, plain(reference, text + TREE.path(i)), **near(1e-9))
    assert any(net.body.repeats.values())


def test_hidden_states_are_the_stock_body_s() -> None:
    reference = model("llama")
    stock, text = Causal(Stock(copy.deepcopy(reference))), [1, 2, 3, 4, 5]
    want = stock([(Ask(whole, guess=(TREE,)), Canvas(text, 9))])[0].hidden
    got = net_of(reference)([(Ask(whole, guess=(TREE,)), Canvas(text, 9))])[0].hidden
    torch.testing.assert_close(got, want, **near(1e-9))


def test_answers_stay_as_they_were_when_the_net_runs_again() -> None:
    net, canvas = net_of(model("llama"), taped), Canvas([1, 2, 3], 40)
    kept = []
    for token in range(1, 9):
        (answer,) = net([(Ask(whole), canvas)])
        kept.append((answer, answer.logits.clone(), answer.hidden.clone()))
        canvas.write(commit := Commit([[token]]))
        net.follow(canvas, commit)
    for answer, logits, hidden in kept:
        assert torch.equal(answer.logits, logits)
        assert torch.equal(answer.hidden, hidden)


def test_inner_layers_large_runs_and_chunks_without_lines_are_answered_too() -> None:
    reference, rng = model("llama"), random.Random(7)
    net = net_of(reference, taped, cells=8)
    (answer,) = net([(Ask(whole, layers=(1,)), Canvas([1, 2, 3], 9))])
    out = reference(torch.tensor([[1, 2, 3]]), output_hidden_states=True)
    torch.testing.assert_close(answer.layers[1][0], out.hidden_states[1][0, -1], **near(1e-9))
    net([(Ask(whole), Canvas(list(range(1, 40)), 9))])
    assert net.body.repeats == {}, "neither has a static shape"
    text = [rng.randrange(1, V) for _ in range(CHUNK + 20)]
    net, canvas = net_of(reference, taped), Canvas(text, 9)
    assert net([(Ask(whole), canvas)]) == [None], "a chunk has no lines"
    (answer,) = net([(Ask(whole), canvas)])
    torch.testing.assert_close(answer.logits[0], plain(reference, text), **near(1e-9))


# what fills up a shape ---------------------------------------------------------------------------------


def test_nobody_sees_the_spare_slot_or_any_slot_without_text() -> None:
    reference = model("gemma3_text")
    net = net_of(reference, taped, Memory(400 * Stock(copy.deepcopy(reference)).cell_bytes))

    def poison() -> None:
        for part in (net.store.keys, net.store.values) if net.store else ():
            for pool in part.values():
                with torch.inference_mode():
                    pool[:, net.slots.top :] = torch.nan

    check_random_runs(net, reference, seed=8, runs=25, before=poison)


def test_the_spare_slot_is_never_a_text_s_even_if_memory_is_full() -> None:
    reference, cells = model("llama"), 12
    memory = Memory(cells * Stock(copy.deepcopy(reference)).cell_bytes)
    net, canvas = net_of(reference, memory=memory), Canvas(list(range(1, cells - 1)), 9)
    tree = Tree((3, 4), (-1, -1))
    (answer,) = net([(Ask(whole, guess=(tree,)), canvas)])
    assert net.slots.used == cells, "memory is full"
    assert net.slots.top <= net.store.spare
    for line, path in zip(answer.logits, ([], [3], [4]), strict=True):
        torch.testing.assert_close(line, plain(reference, canvas.rows[0] + path), **near(1e-9))


def random_feed(rng: random.Random) -> Feed:
    """Some rows with computed text, trees over it and cells that were computed before."""
    feed, slots = Feed(), iter(rng.sample(range(900), 900))
    for family in range(rng.randrange(1, 5)):
        text = array("i", [next(slots) for _ in range(rng.randrange(0, 70))])
        stands = [(feed.begin(text, family), len(text))]
        for node in range(rng.randrange(1, 9)):
            way, length = rng.choice(stands[-3:])
            slot = next(slots)
            way = feed.step(way, length, slot)
            stands.append((way, length + 1))
            if node == 0 or rng.random() < 0.8:
                feed.add(rng.randrange(V), slot, way, length + 1)
    feed.lines = sorted(rng.sample(range(len(feed)), rng.randrange(len(feed) + 1)))
    return feed


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("window", [None, 6])
def test_a_cell_sees_its_way_and_nothing_else(window: int | None, rounded: bool) -> None:
    rng = random.Random(9)
    for _ in range(60):
        feed = random_feed(rng)
        plan = Plan(feed)
        shape = bucket(plan.shape) if rounded else plan.shape
        layout = Layout(shape, *plan.written(shape, spare=999))
        mask = layout.mask(window, 2, torch.float64)
        assert mask.shape == (shape.families, 1, 2 * shape.width, shape.trunk + shape.twigs)
        assert torch.isfinite(mask).any(-1).all(), "every row sees something"
        for i in range(len(feed)):
            family, row = divmod(int(layout.back[i]), shape.width)
            assert layout.cell[family, row] == i
            first = 0 if window is None else max(0, feed.count[i] - window)
            way = feed.ways[feed.way[i]][first : feed.count[i]].tolist()
            for copied in (row, row + shape.width):
                seen = layout.slots[family][mask[family, 0, copied] == 0].tolist()
                assert sorted(seen) == sorted(way)
        assert layout.slot.tolist() == feed.slot + [999] * (shape.cells - len(feed))
        assert layout.lines.tolist()[: len(feed.lines)] == feed.lines
        assert 999 not in layout.slots


# recording ---------------------------------------------------------------------------------------------


def test_recordings_are_bounded_and_the_longest_unused_goes() -> None:
    reference = model("llama")
    net = net_of(reference, taped, graphs=2)
    check_random_runs(net, reference, seed=10, runs=25)
    assert len(net.body.repeats) == 2


def test_recordings_of_another_store_are_not_used() -> None:
    body = Static(Stock(model("llama")), taped)
    feed = random_feed(random.Random(11))
    with torch.inference_mode():
        for store in (body.store(900), body.store(900)):
            for _ in range(3):
                body(feed, store)
            assert set(store.keys) == {0, 1, 2}
            assert body.pool is store
            assert len(body.repeats) == 1


def test_the_calls_of_a_capture() -> None:
    reference, cuda = model("qwen3"), FakeCuda()
    net = net_of(reference, Captured(torch.device("cpu"), cuda))
    canvas = Canvas([1, 2, 3], 40)
    for token in range(1, 7):
        (answer,) = net([(Ask(whole), canvas)])
        torch.testing.assert_close(answer.logits[0], plain(reference, canvas.rows[0]), **near(1e-9))
        canvas.write(commit := Commit([[token]]))
        net.follow(canvas, commit)
    assert cuda.log == [
        "side waits for main", "waits error", "waits 0", "main waits for side", "begin", "end",
        "replay", "replay", "replay", "replay",  # the prompt, and the first run of one cell, were called
    ]  # fmt: skip
    assert cuda.now == "main"


@pytest.mark.parametrize("late", [False, True], ids=["while warming up", "in the capture"])
def test_a_model_that_cannot_be_captured_is_called_and_says_so(late: bool) -> None:
    reference, cuda = model("llama"), FakeCuda()
    if late:
        cuda.set_sync_debug_mode = lambda mode: None
    net = net_of(reference, Captured(torch.device("cpu"), cuda))

    def wait(layer, args) -> None:
        args[0].sum().item()

    net.body.stock.model.model.layers[1].register_forward_pre_hook(wait)
    canvas = Canvas([1, 2, 3], 40)

    def run(token: int) -> None:
        (answer,) = net([(Ask(whole), canvas)])
        torch.testing.assert_close(answer.logits[0], plain(reference, canvas.rows[0]), **near(1e-9))
        canvas.write(commit := Commit([[token]]))
        net.follow(canvas, commit)

    real, cuda.graph = cuda.graph, lambda graph, **how: failing(real(graph, **how))
    run(1), run(2)
    with pytest.warns(UserWarning, match="cannot be recorded .*synchronizing"):
        run(3)
    run(4)
    assert cuda.log.count("begin") == late
    assert "replay" not in cuda.log
    assert cuda.now == "main", "the capture's stream is not left set"


@contextmanager
def failing(graph):
    graph.__enter__()  # and not left, as torch does not leave it when the capture's end fails
    with Refusing():
        yield


def test_where_it_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = Stock(model("llama"))
    assert not wanted(stock)
    assert isinstance(static(stock).recorder, Called)
    stock.device = torch.device("cuda")
    assert wanted(stock)
    monkeypatch.setenv(graphs.SWITCH, "0")
    assert not wanted(stock)


# models that cannot pack -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_models_that_pack(kind: str) -> None:
    assert packs(Stock(model(kind)))


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_packing_is_judged_by_the_precision(kind: str) -> None:
    assert packs(Stock(model("llama").to(getattr(torch, kind))))


def test_a_model_whose_attention_ignores_the_mask_does_not_pack() -> None:
    broken = model("llama")
    for layer in broken.model.layers:
        own = layer.self_attn.forward

        def careless(*args, own=own, attention_mask=None, past_key_values=None, **more):
            if past_key_values is not None:
                attention_mask = torch.zeros_like(attention_mask)
            return own(*args, attention_mask=attention_mask, past_key_values=past_key_values, **more)

        layer.self_attn.forward = careless
    assert not packs(Stock(broken))


def test_a_model_that_ignores_positions_does_not_pack() -> None:
    broken = model("llama")
    own = broken.model.rotary_emb.forward
    broken.model.rotary_emb.forward = lambda x, position_ids: own(x, torch.arange(x.shape[1])[None])
    assert not packs(Stock(broken))


def test_a_model_that_keeps_its_own_attention_does_not_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = model("llama")
    stubborn.set_attn_implementation("eager")
    monkeypatch.setattr(stubborn, "set_attn_implementation", lambda name: None)
    assert not packs(Stock(stubborn))
