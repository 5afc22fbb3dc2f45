"""Weights and arithmetic of the toy nets: two attention layers in float64, small enough to check by hand.

Float64 makes equality mean equality: a cached and a recomputed answer differ by 1e-15, and no choice hangs on
that. The weights are drawn from a seed, so two toys with one seed are the same net.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor


class Weights(NamedTuple):
    """A transformer without frills: no norms, one head, positions added to the embeddings."""

    token: Tensor  # [V, D]
    place: Tensor  # [context, D]
    query: Tensor  # [layers, D, D]
    key: Tensor  # [layers, D, D]
    value: Tensor  # [layers, D, D]
    widen: Tensor  # [layers, D, 2 D]
    narrow: Tensor  # [layers, 2 D, D]
    head: Tensor  # [D, V]

    @property
    def blank(self) -> Tensor:
        """[0, layers, 2, D] the states of no cells: a key and a value for each layer."""
        layers, width = self.key.shape[:2]
        return self.key.new_zeros((0, layers, 2, width))


def weights(
    seed: int, vocab: int, width: int = 16, layers: int = 2, context: int = 256, blur: float = 0.0
) -> Weights:
    """Random weights. `blur` mixes noise into the head: a net that often agrees with the one without."""
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64) * scale

    inner = width**-0.5
    made = Weights(
        token=draw(vocab, width, scale=1.0),
        place=draw(context, width, scale=0.7),
        query=draw(layers, width, width, scale=inner),
        key=draw(layers, width, width, scale=2 * inner),
        value=draw(layers, width, width, scale=2 * inner),
        widen=draw(layers, width, 2 * width, scale=inner),
        narrow=draw(layers, 2 * width, width, scale=inner),
        head=draw(width, vocab, scale=0.3 * inner),
    )
    return made._replace(head=made.head + draw(width, vocab, scale=0.3 * blur * inner)) if blur else made


@torch.no_grad()
def attend(
    w: Weights,
    token: list[int],
    place: list[int],
    fresh: list[int],
    sees: Tensor,
    states: Tensor,
    soft: Mapping[int, Mapping[int, float]] = MappingProxyType({}),
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Run the fresh ones of S cells; the states of the others are given.

    token, place, fresh: [F] of the fresh cells, `fresh` says which of the S they are. sees: [F, S] bool.
    states: [S, layers, 2, D]. soft: negative token -> the tokens whose embeddings it mixes. Returns logits
    [F, V], hidden states after each layer (the embeddings first) [F, D], and all states with the fresh ones
    filled in.
    """
    x = w.token[[max(t, 0) for t in token]] + w.place[place]
    for i, t in enumerate(token):
        if t < 0:
            x[i] = sum(weight * w.token[one] for one, weight in soft[t].items()) + w.place[place[i]]
    layers, states = [x], states.clone()
    for i in range(len(w.query)):
        states[fresh, i, 0] = x @ w.key[i]
        states[fresh, i, 1] = x @ w.value[i]
        score = (x @ w.query[i]) @ states[:, i, 0].T / x.shape[1] ** 0.5  # [F, S]
        x = x + score.masked_fill(~sees, -torch.inf).softmax(-1) @ states[:, i, 1]
        x = x + (x @ w.widen[i]).tanh() @ w.narrow[i]
        layers.append(x)
    return x @ w.head, layers, states
