"""The key-value pool: the tensors behind `nets.slots`, spoken to by stock transformers models.

A transformers model calls `update` in every layer. New cells are written into the slots of the current run;
what comes back is the used part of the pool, and the run's mask says which cell sees which slot. So a tree,
forked rows and other requests' rows all lie in one run, and nothing is ever copied to be kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

ATTENTION = "anyorder"  # the name our attention is registered under in transformers


class Pool:
    """Keys and values [slots, heads, width] of every layer, grown by doubling."""

    is_compileable = False

    def __init__(self) -> None:
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}
        self.where: slice | Tensor = slice(0, 0)  # slots that the cells of this run are written to
        self.top = 0  # slots the run may see

    def aim(self, slots: list[int], top: int) -> None:
        """Prepare for a run whose cells go to the given slots."""
        first = slots[0]
        if slots == list(range(first, first + len(slots))):
            self.where = slice(first, first + len(slots))
        else:
            self.where = torch.tensor(slots)
        self.top = top

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *unused: Any, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """Called by the model with [1, heads, Q, width]; returns [1, heads, top, width]."""
        return self._put(self.keys, keys, layer), self._put(self.values, values, layer)

    def _put(self, store: dict[int, Tensor], new: Tensor, layer: int) -> Tensor:
        pool = store.get(layer)
        if pool is None or pool.shape[1] < self.top:
            size = max(512, 1 << (self.top - 1).bit_length())
            grown = new.new_zeros((new.shape[1], size, new.shape[3]))
            if pool is not None:
                grown[:, : pool.shape[1]] = pool
            pool = store[layer] = grown
        if isinstance(self.where, slice):
            pool[:, self.where] = new[0]
        else:
            pool.index_copy_(1, self.where.to(pool.device), new[0])
        return pool[None, :, : self.top]

    def get_seq_length(self, layer: int = 0) -> int:
        """Asked by models that compute positions themselves; ours are always given."""
        return self.top

    def bytes(self) -> int:
        stores = (*self.keys.values(), *self.values.values())
        return sum(pool.numel() * pool.element_size() for pool in stores)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Attention for packed runs; registered with transformers as "anyorder".

    query [1, H, Q, D], key and value [1, G, S, D], mask [1, 1, H/G * Q, S] added to the scores (the heads of
    one group are stacked, so keys are never repeated), or None: the last Q slots see all before them.
    """
    if unused.get("s_aux") is not None:
        raise NotImplementedError("this model's attention has sink logits, which anyorder does not run yet")
    heads, cells, width = query.shape[1:]
    groups = key.shape[1]
    causal = mask is None and cells > 1
    if causal:
        mask = None
        key, value = (x.repeat_interleave(heads // groups, 1) for x in (key, value))
    else:
        query = query.reshape(1, groups, heads // groups * cells, width)
    if softcap is None:
        out = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=causal, scale=scaling
        )
    else:
        scores = query @ key.transpose(2, 3) * (width**-0.5 if scaling is None else scaling)
        scores = torch.tanh(scores / softcap) * softcap
        if causal:
            mask = torch.full(scores.shape[-2:], -torch.inf).triu(1).to(scores)
        scores = scores if mask is None else scores + mask
        out = scores.softmax(-1, dtype=torch.float32).to(value.dtype) @ value
    return out.reshape(1, heads, cells, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attention)
