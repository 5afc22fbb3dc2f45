"""Few static shapes for the stock body, so that a GPU can replay its forward as one recorded graph.

A small net's step on a GPU is spent in starting kernels, one by one, from Python. A CUDA graph starts them
all at once, if sizes and addresses are those of the recording. So a run's sizes are rounded up to a bucket,
its numbers go into buffers that stay where they are, and the forward of a bucket is recorded once:

    run of  5 cells, 2 rows of at most 3, 70 slots, 2 lines
    bucket  8 cells, 2 rows of 4, 128 slots, 2 lines    -> one copy of numbers, one of flags, one replay

What fills up a bucket changes no answer: see `Plan.written`. Where nothing can be recorded, on a CPU or for a
model that waits for the device in its forward, the same forward is called instead of replayed.

Written where there was no GPU: tests play recordings on a CPU and follow the calls of a capture on a stand-in
for torch.cuda. No graph has been captured with this and no speed measured.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from anyorder.nets.feed import Feed
from anyorder.nets.pool import BLOCK, TWIGS, Layout, Plan, Pool, Shape
from anyorder.nets.stock import Stock

CELLS = 128  # of the largest bucket, a power of two; a larger run keeps its own shape and is not recorded
NUMBERS, FLAGS = 1 << 20, 1 << 20  # likewise: 4 MiB of numbers (128 rows of 4096 slots) and 1 MiB of flags
GRAPHS = 64  # recorded at most; the longest unused goes
WARM = 3  # forwards before a recording: libraries choose their kernels and take their workspace
SWITCH = "ANYORDER_GRAPHS"  # environment variable; 0 turns all this off

Forward = Callable[[], None]


def wanted(stock: Stock) -> bool:
    """Whether static shapes pay: on a CUDA device, unless the environment says no."""
    return stock.device.type == "cuda" and os.environ.get(SWITCH, "1") != "0"


def static(stock: Stock) -> Static:
    """The body with static shapes; recorded on a CUDA device, called elsewhere."""
    return Static(stock, Captured(stock.device) if stock.device.type == "cuda" else Called())


def bucket(shape: Shape) -> Shape:
    """The static shape that a run of this shape is computed in: powers of two from one, or from a block."""

    def up(size: int, least: int = 1) -> int:
        return max(least, 1 << (size - 1).bit_length())

    return Shape(
        cells=up(shape.cells),
        families=up(shape.families),
        width=up(shape.width),
        trunk=up(shape.trunk, BLOCK),
        twigs=up(shape.twigs, TWIGS) if shape.twigs else 0,
        lines=up(max(shape.lines, 1)),
    )


class Recorder(Protocol):
    """A way to repeat a forward."""

    def __call__(self, forward: Forward) -> Forward:
        """What does the same as `forward` does, with whatever its buffers hold by then.

        Raises RuntimeError if the forward cannot be recorded.
        """
        ...


class Called:
    """Repeats a forward by calling it again."""

    def __call__(self, forward: Forward) -> Forward:
        return forward


class Captured:
    """Repeats a forward by replaying a CUDA graph of it.

    All graphs take their memory from one pool: they run one after another, and each leaves its results in
    buffers outside. `cuda`: torch.cuda, or what a test puts in its place.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda):
        self.device, self.cuda = device, cuda
        self.stream = cuda.Stream(device)
        self.pool = cuda.graph_pool_handle()

    def __call__(self, forward: Forward) -> Forward:
        cuda, current = self.cuda, self.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with cuda.stream(self.stream):
            for _ in range(WARM - 1):
                forward()
            with self._waits_refused():
                forward()
        current.wait_stream(self.stream)
        graph = cuda.CUDAGraph()
        how = {"pool": self.pool, "stream": self.stream, "capture_error_mode": "thread_local"}
        with cuda.stream(current), cuda.graph(graph, **how):  # a failed capture leaves its stream set
            forward()
        replay: Forward = graph.replay
        return replay

    @contextmanager
    def _waits_refused(self) -> Iterator[None]:
        """A forward that waits for the device raises RuntimeError here, where the message says so, and not in
        the middle of a capture."""
        before = self.cuda.get_sync_debug_mode()
        self.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            self.cuda.set_sync_debug_mode(before)


class Static:
    """A stock body whose runs have few shapes; see `nets.causal.Body`. Its answers are the stock body's.

    Runs that want inner layers or mix embeddings, or are larger than the largest bucket, go to the stock body
    as they are.
    """

    def __init__(self, stock: Stock, recorder: Recorder, cells: int = CELLS, graphs: int = GRAPHS):
        self.stock, self.recorder, self.cells, self.graphs = stock, recorder, cells, graphs
        self.vocab, self.context, self.cell_bytes = stock.vocab, stock.context, stock.cell_bytes
        self.device = stock.device
        self.numbers = torch.zeros(NUMBERS, dtype=torch.int32, device=self.device)
        self.flags = torch.zeros(FLAGS, dtype=torch.bool, device=self.device)
        self.said: tuple[Tensor, Tensor] | None = None  # logits [cells, V], hidden [cells, D] of any bucket
        self.repeats: dict[Shape, Forward | None] = {}  # longest unused first; None: came once so far
        self.pool: Pool | None = None  # recordings hold its addresses

    @property
    def say(self) -> Callable[[Tensor], Tensor] | None:
        return self.stock.say

    def store(self, slots: int) -> Pool:
        return self.stock.store(slots)

    @torch.inference_mode()
    def __call__(self, feed: Feed, store: Pool) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        plan = Plan(feed)
        shape, lines = bucket(plan.shape), len(feed.lines)
        special = feed.layers or feed.soft
        if special or shape.cells > self.cells or shape.numbers > NUMBERS or shape.flags > FLAGS:
            return self.stock.planned(plan, store)
        if store is not self.pool:
            self.repeats.clear()
            self.pool = store
        written = plan.written(shape, store.spare, pinned=self.device.type == "cuda")
        self.numbers[: shape.numbers].copy_(written[0], non_blocking=True)
        self.flags[: shape.flags].copy_(written[1], non_blocking=True)
        self._repeat(shape)()
        assert self.said is not None
        logits, hidden = (x[:lines].clone() for x in self.said)  # the next run writes over what was said
        return logits, hidden, {}

    def _repeat(self, shape: Shape) -> Forward:
        """What computes a run of the shape. A shape that comes once, as in a prompt, is not recorded."""
        forward = partial(self._forward, shape)
        come, repeat = shape in self.repeats, self.repeats.pop(shape, None)
        if come and repeat is None:
            repeat = self._recorded(forward)
        self.repeats[shape] = repeat
        while len(self.repeats) > self.graphs:
            del self.repeats[next(iter(self.repeats))]
        return repeat or forward

    def _recorded(self, forward: Forward) -> Forward:
        try:
            return self.recorder(forward)
        except RuntimeError as error:
            what = str(error).strip().partition("\n")[0][:160]
            warnings.warn(
                f"this model's forward cannot be recorded ({what}); its runs are called one by one",
                stacklevel=2,
            )
            self.recorder = Called()
            return forward

    def _forward(self, shape: Shape) -> None:
        """From the buffers to the buffers: everything between has its place in the recording."""
        assert self.pool is not None
        layout = Layout(shape, self.numbers[: shape.numbers], self.flags[: shape.flags])
        logits, hidden, _ = self.stock.run(layout, self.pool)
        both = logits, hidden
        if self.said is None:  # in the very first forward, which is never recorded
            logits, hidden = (x.new_empty((self.cells, x.shape[1])) for x in both)
            self.said = logits, hidden
        for whole, part in zip(self.said, both):
            whole[: shape.lines].copy_(part)
