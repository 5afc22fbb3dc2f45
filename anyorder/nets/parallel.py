"""One model over several processes (tensor parallelism): each rank has a slice of its weights and cache.

    torchrun --nproc-per-node 2 -m anyorder generate "Why is the sky blue?" --model FOLDER --precision fp32

transformers cuts the weights by the model's own plan. Rank 0 alone has the program: methods, texts, slots of
the cache, draws. A run of its body is told to the followers as numbers, token ids, positions and slots, and
every rank takes the same cells through its slice (`nets.ranks`). Which guesses are true is decided once.
"""

from __future__ import annotations

import atexit
import itertools
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Any

import torch
from torch import Tensor

from anyorder.errors import UserError
from anyorder.nets.feed import Feed
from anyorder.nets.load import PRECISIONS, located, quiet, some_layers, unloadable
from anyorder.nets.memory import share_of_machine
from anyorder.nets.pool import Layout, Plan, Pool, Shape
from anyorder.nets.ranks import Leader, follow, join, place, silence
from anyorder.nets.stock import Stock

CUT = ("fp32", "bf16")  # precisions of weights that are cut

Said = tuple[Tensor, Tensor, dict[int, Tensor]]


@cache
def begin() -> Leader | None:
    """Meet the other processes, once; None: there are none. A follower does not return: it follows, and ends.

    Raises UserError for processes that cannot work together.
    """
    here = place()
    if here is None:
        return None
    if here.rank:
        silence()
        sys.exit(follow(join(here)[0], Follower().do))
    leader = Leader(join(here))
    atexit.register(leader.end)
    return leader


@dataclass(frozen=True)
class Shards:
    """A model that lies on all ranks. Nets of some of its blocks are found by the blocks they have."""

    leader: Leader
    number: int  # followers know it by
    blocks: tuple[Any, ...]  # its decoder blocks on this rank


def load(name: str, precision: str, device: str, memory: int | None) -> tuple[Any, Any, int]:
    """A causal model over all ranks, its tokenizer, and the bytes that each rank's caches may take, a share
    of the machine's if `memory` is None. Raises UserError for what cannot be loaded or cut."""
    leader = begin()
    assert leader is not None, "called where there are several processes"
    if precision not in CUT:
        raise UserError(
            f"precision is {precision!r}; allowed over several processes is {' or '.join(CUT)}; choose one, "
            "or start one process"
        )
    source = located(name, precision)
    _refuse(name, source, device, leader.world)
    from transformers import AutoTokenizer

    number = next(_numbers())
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(source)
        with leader.turn("load", number, source, precision):
            module = _cut(source, precision)
    except UserError:
        raise
    except Exception as error:  # transformers raises many kinds; all mean that this source is not a model
        raise UserError(unloadable(name, source, error)) from error
    blocks = tuple(getattr(module.base_model, "layers", ()))
    module.anyorder = Shards(leader, number, blocks)
    _drop_with(module, leader, number)
    return module, tokenizer, memory or share_of_machine(device) // (leader.world if device == "cpu" else 1)


def _refuse(name: str, source: str, device: str, world: int) -> None:
    """Raises UserError for what cannot be cut, before weights are read."""
    from transformers import AutoConfig

    from anyorder.nets.diffusion import adapter_of

    there = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device != (kind := there.type if there else "cpu"):
        raise UserError(
            f"device is {device} and several processes of this machine compute on {kind}; give "
            f'device="{kind}", or hide its devices from them'
        )
    if adapter_of(source) is not None:
        raise UserError(
            f"{name} fills cells in any order; allowed over several processes are models that write from "
            "left to right; start one process"
        )
    try:
        with quiet():
            config = AutoConfig.from_pretrained(source)
    except Exception as error:
        raise UserError(unloadable(name, source, error)) from error
    if not getattr(text := config.get_text_config(), "base_model_tp_plan", None):
        raise UserError(
            f"transformers has no plan to cut a {config.model_type} model; allowed over several processes "
            "are models that have one; choose another model, or start one process"
        )
    heads = text.num_attention_heads
    groups = getattr(text, "num_key_value_heads", None) or heads
    if heads % world or groups % world:
        both = gcd(heads, groups)
        allowed = ", ".join(str(n) for n in range(1, both + 1) if both % n == 0)
        raise UserError(
            f"{name} has {heads} heads of attention over {groups} of keys and values, which do not divide by "
            f"{world} processes; allowed is {allowed}; give torchrun --nproc-per-node one of them"
        )


def _cut(source: str, precision: str) -> Any:
    """This rank's part of the model."""
    from transformers import AutoModelForCausalLM
    from transformers.distributed import DistributedConfig

    with quiet():
        model: Any = AutoModelForCausalLM.from_pretrained(
            source, dtype=PRECISIONS[precision], distributed_config=DistributedConfig(tp_plan="auto")
        )
    return model.eval()


@cache
def _numbers() -> itertools.count[int]:
    """What followers know things by."""
    return itertools.count()


def _drop_with(thing: Any, leader: Leader, number: int) -> None:
    """When the thing is gone here, followers drop theirs with the next word."""
    weakref.finalize(thing, leader.gone.append, number).atexit = False


@dataclass(eq=False)
class Cells:
    """A cache over all ranks; here is this rank's part."""

    pool: Pool
    number: int


class Sharded:
    """The stock body of a model that lies on all ranks; see `nets.causal.Body`."""

    def __init__(self, stock: Stock):
        """`stock`: over this rank's part, of a model that `load` made or of some of its blocks."""
        shards: Shards = stock.model.anyorder
        self.stock, self.leader, self.number = stock, shards.leader, next(_numbers())
        self.vocab, self.context, self.device, self.dtype = (
            stock.vocab,
            stock.context,
            stock.device,
            stock.dtype,
        )
        self.cell_bytes = stock.cell_bytes // self.leader.world  # on each rank
        place = {id(block): i for i, block in enumerate(shards.blocks)}
        blocks = [place[id(block)] for block in getattr(stock.model.base_model, "layers", ())]
        whole = blocks == list(range(len(shards.blocks)))
        with self.leader.turn("body", self.number, shards.number, None if whole else blocks):
            pass
        _drop_with(self, self.leader, self.number)

    def store(self, slots: int) -> Cells:
        cells = Cells(self.stock.store(slots), next(_numbers()))
        with self.leader.turn("store", cells.number, self.number, slots):
            pass
        _drop_with(cells, self.leader, cells.number)
        return cells

    def __call__(self, feed: Feed, store: Cells) -> Said:
        plan = Plan(feed)
        numbers, flags = (part.numpy() for part in plan.written(plan.shape, store.pool.spare))
        soft = {cell: dict(mixture) for cell, mixture in feed.soft.items()}
        told = (plan.shape, numbers, flags, list(feed.layers), soft)
        with self.leader.turn("run", self.number, store.number, *told):
            return _ran(self.stock, store.pool, *told)

    @property
    def say(self) -> Callable[[Tensor], Tensor] | None:
        return self._said if self.stock.say else None

    def _said(self, states: Tensor) -> Tensor:
        with self.leader.turn("say", self.number, states.detach().cpu()):
            return _said(self.stock, states)

    def plain(self, tokens: list[int]) -> Tensor:
        """[N, V] as `Stock.plain`."""
        with self.leader.turn("plain", self.number, tokens):
            return _plain(self.stock, tokens)

    def trimmed(self, keep: Tensor) -> Words:
        """The body that knows of no tokens but these. A cut head gives all of them and they are chosen."""
        return Words(self, keep)


class Words:
    """A body whose logits are [M, K]; see `Sharded.trimmed`."""

    def __init__(self, body: Sharded, keep: Tensor):
        self.body, self.keep = body, keep
        self.vocab, self.context, self.cell_bytes = body.vocab, body.context, body.cell_bytes
        self.device, self.store = body.device, body.store

    def __call__(self, feed: Feed, store: Cells) -> Said:
        logits, hidden, inner = self.body(feed, store)
        return logits[:, self.keep], hidden, inner

    @property
    def say(self) -> Callable[[Tensor], Tensor] | None:
        said = self.body.say
        return said and (lambda states: said(states)[:, self.keep])


class Follower:
    """What followers do at rank 0's words; each is a method's name and its arguments."""

    def __init__(self) -> None:
        self.things: dict[int, Any] = {}  # models, bodies and caches by their numbers

    def do(self, gone: Sequence[int], name: str, *about: Any) -> None:
        """`gone`: numbers of things that are of no use any more."""
        for number in gone:
            self.things.pop(number, None)
        getattr(self, name)(*about)

    def load(self, number: int, source: str, precision: str) -> None:
        self.things[number] = _cut(source, precision)

    def body(self, number: int, model: int, blocks: Sequence[int] | None) -> None:
        whole = self.things[model]
        self.things[number] = Stock(whole if blocks is None else some_layers(whole, blocks))

    def store(self, number: int, body: int, slots: int) -> None:
        self.things[number] = self.things[body].store(slots)

    def run(self, body: int, store: int, *told: Any) -> None:
        _ran(self.things[body], self.things[store], *told)

    def say(self, body: int, states: Tensor) -> None:
        stock = self.things[body]
        _said(stock, states.to(stock.device))

    def plain(self, body: int, tokens: list[int]) -> None:
        _plain(self.things[body], tokens)


# what all ranks do alike; without inference mode transformers would have them meet elsewhere ---------------


@torch.inference_mode()
def _ran(
    stock: Stock,
    pool: Pool,
    shape: Shape,
    numbers: Any,
    flags: Any,
    layers: Sequence[int],
    soft: Mapping[int, Mapping[int, float]],
) -> Said:
    on_device = (torch.from_numpy(part).to(stock.device) for part in (numbers, flags))
    return stock.run(Layout(shape, *on_device), pool, layers, soft)


@torch.inference_mode()
def _said(stock: Stock, states: Tensor) -> Tensor:
    assert stock.say is not None
    return stock.say(states)


@torch.inference_mode()
def _plain(stock: Stock, tokens: list[int]) -> Tensor:
    return stock.plain(tokens)
