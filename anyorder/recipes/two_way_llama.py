"""A small Llama whose cells see each other in both directions: fresh weights, and a forward for training.

The checkpoint is transformers' own, so anything that reads a Llama reads it; only its attention has no
order. `states` is the same function as transformers' forward with a mask that hides nothing, in fewer calls
and with products in bfloat16 where that is asked for: three times as fast on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from anyorder.tasks.vocabulary import END, IDS, MASK, PAD, WORDS

NEVER = torch.zeros(len(WORDS)).index_fill(0, torch.tensor(IDS[MASK]), -1e9)  # M is no prediction
EPSILON = 1e-6
ADAPTER: Any = {  # in config.json
    "anyorder": {"mask": IDS[MASK], "attention": "full", "shift": False, "block": 0, "cells": 16}
}


@dataclass(frozen=True)
class Shape:
    """Of the network, and the seed of its weights."""

    width: int = 128
    layers: int = 5
    heads: int = 4
    inner: int = 320
    theta: float = 100.0  # of RoPE; texts are short
    seed: int = 42


class Ready(NamedTuple):
    """Weights as a run reads them: joined, and in the precision of the products."""

    embed: Tensor  # [V, D]
    blocks: list[tuple[Tensor, ...]]  # norm, query key value, out, norm, gate up, down
    norm: Tensor
    heads: int
    theta: float


def fresh(shape: Shape) -> Any:
    """A transformers Llama that has learned nothing, with the words of `tasks.vocabulary`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    made = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS), hidden_size=shape.width, intermediate_size=shape.inner,
            num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads, max_position_embeddings=256, tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": shape.theta}, rms_norm_eps=EPSILON,
            bos_token_id=None, eos_token_id=IDS[END], pad_token_id=IDS[PAD],
            **ADAPTER,
        )
    ).float()  # fmt: skip
    source = torch.Generator().manual_seed(shape.seed)
    for name, weight in made.named_parameters():
        if weight.ndim == 2:
            deep = (2 * shape.layers) ** -0.5 if "o_proj" in name or "down_proj" in name else 1.0
            scale = 0.05 if "embed" in name else deep * weight.shape[1] ** -0.5
            torch.nn.init.normal_(weight, std=scale, generator=source)
    return made


def ready(net: Any, kind: torch.dtype = torch.float32) -> Ready:
    """The weights of a transformers Llama; gradients flow back to them."""
    blocks: list[tuple[Tensor, ...]] = []
    for block in net.model.layers:
        look, mlp = block.self_attn, block.mlp
        joined = torch.cat([look.q_proj.weight, look.k_proj.weight, look.v_proj.weight]).to(kind)
        pair = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]).to(kind)
        norm, after = block.input_layernorm.weight, block.post_attention_layernorm.weight
        blocks.append((norm, joined, look.o_proj.weight.to(kind), after, pair, mlp.down_proj.weight.to(kind)))
    heads, theta = net.config.num_attention_heads, net.config.rope_parameters["rope_theta"]
    return Ready(net.model.embed_tokens.weight, blocks, net.model.norm.weight, heads, theta)


@cache
def turns(length: int, width: int, theta: float) -> tuple[Tensor, Tensor]:
    """[length, 1, width] cosines, and sines with the sign that rotation has in a head's halves."""
    speed = theta ** -(torch.arange(0, width, 2) / width)
    angles = (torch.arange(length)[:, None, None] * speed).repeat(1, 1, 2)
    sign = torch.ones(width).index_fill(0, torch.arange(width // 2), -1.0)
    return angles.cos(), angles.sin() * sign


def states(net: Ready, ids: Tensor) -> Tensor:
    """[R, L, D] what the head reads; ids [R, L], all rows as long."""
    rows, length = ids.shape
    x = functional.embedding(ids, net.embed)
    width = x.shape[-1] // net.heads
    kind = net.blocks[0][1].dtype
    cos, sin = turns(length, width, net.theta)
    for norm, joined, out, after, pair, down in net.blocks:
        qkv = functional.linear(_norm(x, norm).to(kind), joined).view(rows, length, 3 * net.heads, width)
        qk, v = qkv.split((2 * net.heads, net.heads), 2)
        q, k = (qk * cos + qk.roll(width // 2, -1) * sin).transpose(1, 2).chunk(2, 1)
        seen = functional.scaled_dot_product_attention(q, k, v.transpose(1, 2).float())  # bf16 is slow here
        x = x + functional.linear(seen.transpose(1, 2).reshape(rows, length, -1).to(kind), out)
        gate, up = functional.linear(_norm(x, after).to(kind), pair).chunk(2, -1)
        x = x + functional.linear(functional.silu(gate) * up, down)
    return _norm(x, net.norm)


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    return functional.rms_norm(x, x.shape[-1:], weight, EPSILON)


def logits(net: Ready, chosen: Tensor) -> Tensor:
    """[N, V] of states [N, D]."""
    return functional.linear(chosen, net.embed, NEVER)
