"""A lean body for models of the Llama shape on a CPU: the same weights, packed once, and few calls a step.

A stock model's step on a CPU is spent in small operations and in weights that are reordered at every call.
Here a layer is four matrix products (`nets.products`) and four fused operations between them (`nets.fused`),
on float32 sums throughout. `lean` takes the weights from a loaded stock model and checks the body against
that model before it is used; a model of another shape, or one that does not agree, keeps its stock body.
"""

from __future__ import annotations

from array import array
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from anyorder.nets import fused
from anyorder.nets.feed import Feed
from anyorder.nets.graphs import Static, static, wanted
from anyorder.nets.parallel import Sharded
from anyorder.nets.pool import Store, mix
from anyorder.nets.products import PACKED, Eighth, Plain, Product, Rows, nothing, product, rows
from anyorder.nets.slots import WHOLE, Partial
from anyorder.nets.stock import Stock

SHAPED = ("llama", "mistral", "qwen2")  # transformers model types whose layers are these, and no more
TURNED = ("default", "linear", "llama3", "yarn")  # kinds of rotation that do not depend on the text's length


@dataclass(frozen=True, slots=True)
class Layer:
    """One block's weights."""

    norm: np.ndarray  # [D]
    qkv: Product  # D -> (heads + 2 groups) * width
    out: Product
    norm_after: np.ndarray  # [D]
    gate_up: Product  # D -> 2 * inner
    down: Product


@dataclass(frozen=True)
class Lean:
    """The body; see `nets.causal.Body`."""

    precision: str
    vocab: int
    context: int
    window: int  # cells that a cell looks back on
    heads: int
    groups: int
    width: int
    epsilon: np.float32
    embed: Tensor  # [V, D]
    turns: np.ndarray  # [W] how far a head turns from one position to the next
    swell: np.float32  # what turned heads are multiplied by, in some long-context models
    layers: tuple[Layer, ...]
    norm: np.ndarray
    head: Plain | Eighth

    @property
    def kind(self) -> torch.dtype:
        """Of cached keys and values."""
        return torch.float32 if self.precision == "fp32" else torch.bfloat16

    @property
    def cell_bytes(self) -> int:
        """Cache bytes of one cell."""
        return 2 * len(self.layers) * self.groups * self.width * self.kind.itemsize

    @property
    def weight_bytes(self) -> int:
        """Weights that one run reads."""
        products = [p for block in self.layers for p in (block.qkv, block.out, block.gate_up, block.down)]
        return sum(p.size for p in (*products, self.head))

    @property
    def state_bytes(self) -> int:
        """Of what is kept of a cell that only some blocks computed."""
        return 4 * self.embed.shape[1]

    def some(self, blocks: Sequence[int]) -> Lean:
        """The body of these blocks alone."""
        return replace(self, layers=tuple(self.layers[i] for i in blocks))

    def trimmed(self, keep: Tensor) -> Lean:
        """The body that knows of no tokens but these; its logits are [M, K]."""
        return replace(self, head=self.head.part(keep))

    def say(self, states: Tensor) -> Tensor:
        """[M, V] what the head makes of states [M, D] between two blocks."""
        sums = states.numpy()
        return self._said(sums.copy(), nothing(sums), list(range(len(sums))))[0]

    @property
    def depth(self) -> int:
        """Blocks."""
        return len(self.layers)

    def embedded(self, token: Sequence[int]) -> Tensor:
        """[Q, D] what the first block reads."""
        return functional.embedding(torch.tensor(list(token)), self.embed).float()

    def block(self, i: int, x: Tensor, feed: Feed, store: Store) -> tuple[Tensor, Tensor]:
        """States [Q, D] of a run's cells through block i alone, and the attention [M, longest way] that its
        lines pay, the mean over heads."""
        alone = replace(
            feed, start=[i] * len(feed), blocks=i + 1, lines=[0],
            partial={slot: Partial(i, state) for slot, state in zip(feed.slot, x.numpy(), strict=True)},
        )  # fmt: skip
        self.some(range(i + 1))(alone, store)
        assert alone.left is not None, "a run that stops early says what it left"
        assert alone.weights is not None, "and what it attended to"
        return torch.from_numpy(alone.left), torch.from_numpy(alone.weights[feed.lines]).mean(1)

    def store(self, slots: int) -> Store:
        return Store(len(self.layers), slots, self.groups, self.width, self.kind)

    def __call__(self, feed: Feed, store: Store) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        cells = len(feed)
        x = functional.embedding(torch.tensor(feed.token), self.embed).float()  # [Q, D]
        mix(x, feed.soft, lambda token: functional.embedding(token, self.embed))
        for i, start in enumerate(feed.start):
            if start:
                x[i] = torch.from_numpy(feed.partial[feed.slot[i]].state)
        sums, look, block = x.numpy(), self._look(feed), self.layers[0]
        normed = rows(cells, x.shape[1], block.qkv.takes)  # what the products read
        seen = rows(cells, self.heads * self.width, block.out.takes)
        gated = rows(cells, block.down.width, block.down.takes)
        none = nothing(sums)
        added, now = none, 0  # of the cells that came so far: the first ones
        inner: dict[int, Tensor] = {}

        def norm(first: int, last: int, more: Rows, weight: np.ndarray) -> None:
            if first < last:
                here, out = slice(first, last), normed
                fused.norm(
                    sums[here], more.flat, more.scale, weight, self.epsilon, out.flat[here], out.scale[here]
                )

        for i, layer in enumerate(self.layers):
            before, now = now, bisect(feed.start, i)
            norm(0, before, added, layer.norm)
            norm(before, now, none, layer.norm)
            if i in feed.layers:
                inner[i] = x[feed.lines]
            if not now:
                continue
            qkv = layer.qkv(normed.first(now))
            look(now, qkv.flat, qkv.scale, *store.layer(i), seen.flat, seen.scale)
            added = layer.out(seen.first(now))
            norm(0, now, added, layer.norm_after)
            both = layer.gate_up(normed.first(now))
            fused.gate(both.flat, both.scale, gated.flat, gated.scale, now)
            added = layer.down(gated.first(now))
        if feed.blocks < WHOLE:  # others go on from here
            norm(0, now, added, self.norm)
            feed.left, added = sums, none
        logits, hidden = self._said(sums[feed.lines], added, feed.lines)
        if len(self.layers) in feed.layers:
            inner[len(self.layers)] = hidden
        return logits, hidden, inner

    def _look(self, feed: Feed) -> Any:
        """Attention of this run's cells; qkv, scale, keys, values, out and its scale are left to be given."""
        attend = fused.attention(self.width)
        angles = np.array(feed.position, np.float32)[:, None] * self.turns
        cos, sin = np.cos(angles) * self.swell, np.sin(angles) * self.swell
        table, start = feed.table()
        slot, count = np.array(feed.slot, np.int32), np.array(feed.count, np.int32)
        seen = np.minimum(count, self.window).astype(np.int32)
        first = start + count - seen
        most = int(seen.max())
        query, scores, sums = (
            np.empty((len(feed), self.heads, n), np.float32) for n in (self.width, most, self.width)
        )
        feed.weights = scores

        def look(cells, qkv, scale, keys, values, out, scales) -> None:
            """The first so many cells."""
            attend(
                qkv, scale, cos, sin, keys, values, slot[:cells], table, first, seen, query, scores, sums,
                out, scales,
            )  # fmt: skip

        return look

    def _said(self, sums: np.ndarray, added: Rows, lines: list[int]) -> tuple[Tensor, Tensor]:
        """Logits [M, V] and what the head reads [M, D], of the wanted cells."""
        read = [rows(len(lines), sums.shape[1], kind) for kind in (torch.float32, self.head.takes)]
        more, scale = (added.flat[lines], added.scale[lines]) if added.cells else (added.flat, added.scale)
        for out in read:
            fused.norm(sums, more, scale, self.norm, self.epsilon, out.flat, out.scale)
            more = more[:0]
        hidden, said = read[0].tensor[: len(lines)], self.head(read[1]).tensor
        if said.ndim == 3:
            said = (said * torch.from_numpy(read[1].scale)[..., None]).sum(1)
        return said[: len(lines)].float(), hidden


def lean(model: Any, precision: str) -> Lean | Stock | Static | Sharded | None:
    """The fastest body for a loaded stock model that gives the stock model's answers.

    The model's weights move into a lean body one by one and are gone from the model. None: the two did not
    agree, so load the model again and use it as it is. Raises ValueError for a precision that only a lean
    body has, if there can be none.
    """
    stock = Stock(model)
    if not _shaped(model, stock):
        return plain(model, precision)
    theirs = _laws(stock)
    body = _taken(model, stock, precision)
    apart = ((_laws(body) - theirs).std(1) / theirs.std(1)).median()
    loose = 0.7 if precision in PACKED else torch.finfo(stock.dtype).eps ** 0.4  # fp32 0.002, bf16 0.14
    return body if apart < loose else None  # another net: 1 and more


def plain(model: Any, precision: str) -> Stock | Static | Sharded:
    """The stock body, on all ranks if the model is. Raises ValueError for a precision it does not have."""
    if precision in PACKED:
        raise ValueError(
            f"precision {precision} needs a model of the Llama shape, packed, on a CPU, whose answers it "
            f"keeps, and this is a {model.config.model_type} model on {model.device.type}; use fp32 or bf16"
        )
    stock = Stock(model)
    if hasattr(model, "anyorder"):
        return Sharded(stock)
    return static(stock) if wanted(stock) else stock


def _shaped(model: Any, stock: Stock) -> bool:
    """Whether the model's layers are what a lean body knows, and nothing else."""
    known = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    config = model.config
    if stock.device.type != "cpu" or config.model_type not in SHAPED or stock.dtype == torch.float64:
        return False
    mixed = stock.kinds == {"full_attention", "sliding_attention"}
    if mixed or config.hidden_act != "silu" or model.model.rotary_emb.rope_type not in TURNED:
        return False
    parts = [part for block in model.model.layers for part in (block.self_attn, block.mlp)]
    return known == {name for part in parts for name, _ in part.named_children() if name != "act_fn"}


def _taken(model: Any, stock: Stock, precision: str) -> Lean:
    """A stock model's weights in lean form; they leave the model."""
    config, inner = model.config, model.model
    layers = []
    for block in inner.layers:
        attention, mlp = block.self_attn, block.mlp
        layers.append(
            Layer(
                norm=_array(block.input_layernorm.weight),
                qkv=_moved(precision, attention.q_proj, attention.k_proj, attention.v_proj),
                out=_moved(precision, attention.o_proj),
                norm_after=_array(block.post_attention_layernorm.weight),
                gate_up=_moved(precision, mlp.gate_proj, mlp.up_proj),
                down=_moved(precision, mlp.down_proj),
            )
        )
    everywhere = stock.window is None or stock.kinds == {"full_attention"}
    kept = torch.float32 if precision == "fp32" else torch.bfloat16
    embed = inner.embed_tokens.weight.detach().to(kept, copy=True)  # a view would keep the whole file mapped
    head = _moved("int8" if precision == "int4" else precision, model.get_output_embeddings())
    assert isinstance(head, Plain | Eighth)
    norm, turns = _array(inner.norm.weight), np.tile(_array(inner.rotary_emb.inv_freq), 2)
    model.to("meta")
    return Lean(
        precision=precision, vocab=stock.vocab, context=stock.context,
        window=stock.window if stock.window and not everywhere else stock.context,
        heads=config.num_attention_heads, groups=config.num_attention_heads // stock.share,
        width=inner.layers[0].self_attn.head_dim, epsilon=np.float32(config.rms_norm_eps), embed=embed,
        turns=turns, swell=np.float32(inner.rotary_emb.attention_scaling),
        layers=tuple(layers), norm=norm, head=head,
    )  # fmt: skip


def _moved(precision: str, *linears: nn.Linear) -> Product:
    made = product(precision, *linears)
    for linear in linears:
        linear.to("meta")  # its shape stays
    return made


def _array(weight: Tensor) -> np.ndarray:
    return weight.detach().float().numpy().copy()


@torch.inference_mode()
def _laws(body: Lean | Stock) -> Tensor:
    """[24, V] what a body says along a short text."""
    feed, length = Feed(), 24
    way = feed.begin(array("i"), 0)
    for i in range(length):
        feed.step(way, i, i)
        feed.add(i * 977 % body.vocab, i, way, i + 1)
    feed.lines = list(range(length))
    return body(feed, body.store(length + 1))[0]  # type: ignore[arg-type]
