"""A lean body for models of the Llama shape on a CPU: the same weights, fewer and larger products.

A stock model's step on a CPU is half spent in small operations and in weights that are reordered at every
call. Here the weights are packed once, queries, keys and values are one product, gate and up another, and a
step is one straight function. `lean` builds it from a loaded stock model and checks it against that model
before it is used; a model of another shape, or one that does not agree, keeps its stock body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from anyorder.nets.kernels import Product, product
from anyorder.nets.pool import Pool, added, attend, reach, sights
from anyorder.nets.stock import Stock

SHAPED = ("llama", "mistral", "qwen2")  # transformers model types whose layers are these, and no more


@dataclass(frozen=True, slots=True)
class Layer:
    """One block's weights."""

    norm: Tensor  # [D]
    qkv: Product  # D -> (heads + 2 groups) * width
    out: Product
    norm_after: Tensor  # [D]
    gate_up: Product  # D -> 2 * inner
    down: Product


@dataclass(frozen=True)
class Lean:
    """The body; see `nets.causal.Body`."""

    vocab: int
    context: int
    window: int | None
    heads: int
    groups: int
    width: int
    epsilon: float
    embed: Tensor  # [V, D]
    rotary: nn.Module  # the stock model's own: positions -> cos, sin
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Product

    def first(self, count: int) -> Lean:
        """The body cut after `count` blocks."""
        return replace(self, layers=self.layers[:count])

    def __call__(
        self,
        ids: Tensor,
        positions: Tensor,
        sees: np.ndarray,
        pool: Pool,
        lines: Tensor,
        layers: list[int],
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        x = functional.embedding(ids, self.embed)  # [Q, D]
        cos, sin = (t[0, :, None] for t in self.rotary(x, positions[None]))  # [Q, 1, width]
        half = self.width // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)  # the sign of the rotation, applied once
        if self.window is not None:
            sees = pool.near(sees, self.window)
        share = self.heads // self.groups
        looks = [(a, b, s, added(sees[a:b, :s], share, x.dtype)) for a, b, s in sights(sees)]
        turned = self.heads + self.groups  # queries and keys are turned, values are not
        inner = {}
        for i, layer in enumerate(self.layers):
            if i in layers:
                inner[i] = x[lines]
            qkv = layer.qkv(self._normed(x, layer.norm)).view(len(ids), -1, self.width)
            qk = qkv[:, :turned]
            qk = qk * cos + torch.cat([qk[..., half:], qk[..., :half]], -1) * sin
            key, value = pool.update(
                qk[:, self.heads :].transpose(0, 1)[None], qkv[:, turned:].transpose(0, 1)[None], i
            )
            query = qk[:, : self.heads].transpose(0, 1)[None]
            seen = [
                attend(query[:, :, a:b], key[:, :, :s], value[:, :, :s], mask, None)
                for a, b, s, mask in looks
            ]
            x = x + layer.out((seen[0] if len(seen) == 1 else torch.cat(seen, 1))[0])
            gate, up = layer.gate_up(self._normed(x, layer.norm_after)).chunk(2, -1)
            x = x + layer.down(functional.silu(gate) * up)
        hidden = self._normed(x[lines], self.norm)
        if len(self.layers) in layers:
            inner[len(self.layers)] = hidden
        twice = hidden.expand(2, -1) if len(lines) == 1 else hidden  # the head never multiplies a lone row
        logits = self.head(twice)[: len(lines)]
        return logits.to(torch.promote_types(logits.dtype, torch.float32)), hidden, inner

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, weight.shape, weight, self.epsilon)


def lean(model: Any) -> Lean | Stock:
    """The fastest body for a loaded stock model that gives the stock model's answers."""
    stock = Stock(model)
    if (
        stock.device.type != "cpu"
        or model.config.model_type not in SHAPED
        or "sliding_attention" in (stock.kinds or ())
    ):
        return stock
    body = _taken(model, stock)
    return body if body is not None and _agrees(body, stock) else stock


def _taken(model: Any, stock: Stock) -> Lean | None:
    """A stock model's weights in lean form; None if its layers hold anything else."""
    config, inner = model.config, model.model
    known = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    layers = []
    for block in inner.layers:
        attention, mlp = block.self_attn, block.mlp
        inside = {
            name for part in (attention, mlp) for name, child in part.named_children() if name != "act_fn"
        }
        if inside != known or config.hidden_act != "silu":
            return None
        layers.append(
            Layer(
                norm=block.input_layernorm.weight,
                qkv=product(attention.q_proj, attention.k_proj, attention.v_proj),
                out=product(attention.o_proj),
                norm_after=block.post_attention_layernorm.weight,
                gate_up=product(mlp.gate_proj, mlp.up_proj),
                down=product(mlp.down_proj),
            )
        )
    return Lean(
        vocab=stock.vocab, context=stock.context, window=None if stock.kinds else stock.window,
        heads=config.num_attention_heads, groups=config.num_attention_heads // stock.share,
        width=inner.layers[0].self_attn.head_dim, epsilon=config.rms_norm_eps,
        embed=inner.embed_tokens.weight, rotary=inner.rotary_emb,
        layers=tuple(layers), norm=inner.norm.weight, head=product(model.get_output_embeddings()),
    )  # fmt: skip


@torch.inference_mode()
def _agrees(body: Lean, stock: Stock) -> bool:
    """Whether both bodies give the same laws on a short text, up to the precision they compute in."""
    ids = torch.arange(24) * 977 % stock.vocab
    everything = torch.arange(len(ids))
    sees = np.tri(len(ids), reach(len(ids)), dtype=bool)
    answers = []
    for either in (body, stock):
        pool = Pool()
        pool.aim(list(range(len(ids))), list(range(len(ids))))
        answers.append(either(ids, everything, sees, pool, everything, [])[0])
    apart = (answers[0] - answers[1]).std() / answers[1].std()
    return bool(apart < torch.finfo(stock.dtype).eps ** 0.4)  # fp32 0.002, bf16 0.14; another net: near 1
