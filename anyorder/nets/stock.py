"""The body of any stock transformers causal model: no forked model file, only our attention and our cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from anyorder.nets.pool import Pool, added, attend

ATTENTION = "anyorder"  # the name our attention is registered under in transformers


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer of a model set to "anyorder"; shapes as in `pool.attend`.

    Without a mask it is a plain call by somebody else, which transformers' own attention answers.
    """
    if mask is None:
        own = ALL_ATTENTION_FUNCTIONS["sdpa"]
        return own(module, query, key, value, None, dropout=dropout, scaling=scaling, **unused)
    if softcap is None and s_aux is None:
        out = attend(query, key, value, mask, scaling)
        return out.view(1, query.shape[2], query.shape[1], -1), None
    heads, cells, width = query.shape[1:]
    key, value = (x.repeat_interleave(heads // x.shape[1], 1) for x in (key, value))
    scores = query @ key.transpose(2, 3) * (width**-0.5 if scaling is None else scaling)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores + mask[:, :, :cells]
    if s_aux is not None:  # a sink that takes attention and gives nothing
        sink = s_aux.reshape(1, -1, 1, 1).expand(1, heads, cells, 1)
        scores = torch.cat([scores, sink.to(scores)], -1)
    law = scores.softmax(-1)[..., : key.shape[2]].to(value.dtype)
    return (law @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attention)


class Stock:
    """A transformers model as the body of `nets.causal.Causal`.

    Raises ValueError for models that keep other state than keys and values per cell.
    """

    def __init__(self, model: Any):
        config = model.config.get_text_config()
        kinds = getattr(config, "layer_types", None)
        if not set(kinds or ()) <= {"full_attention", "sliding_attention"} or getattr(
            model, "_is_stateful", False
        ):
            raise ValueError(
                f"a {config.model_type} model keeps other state than keys and values of full or sliding "
                "attention, which anyorder cannot roll back; choose another model"
            )
        model.set_attn_implementation(ATTENTION)
        self.model = model.eval()
        self.device, self.dtype = model.device, model.dtype
        self.vocab: int = config.vocab_size
        self.context: int = getattr(config, "max_position_embeddings", None) or 1 << 20
        self.kinds = set(kinds) if kinds else None
        uses = getattr(config, "use_sliding_window", True)
        self.window: int | None = getattr(config, "sliding_window", None) if uses else None
        groups = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self.share = config.num_attention_heads // groups
        self._read: Tensor | None = None
        model.get_output_embeddings().register_forward_pre_hook(self._see)

    def _see(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._read = inputs[0]

    def __call__(
        self,
        ids: Tensor,
        positions: Tensor,
        sees: np.ndarray,
        pool: Pool,
        lines: Tensor,
        layers: list[int],
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        lines = lines.to(self.device)
        out = self.model(
            input_ids=ids[None].to(self.device),
            position_ids=positions[None].to(self.device),
            attention_mask=self._masks(sees, pool),
            past_key_values=pool,
            use_cache=True,
            logits_to_keep=lines,
            output_hidden_states=bool(layers),
        )
        assert self._read is not None, "the model did not call its output head"
        inner = {i: out.hidden_states[i][0, lines] for i in layers}
        wide = torch.promote_types(out.logits.dtype, torch.float32)
        return out.logits[0].to(wide), self._read[0], inner

    def _masks(self, sees: np.ndarray, pool: Pool) -> Tensor | dict[str, Tensor]:
        """The mask, or one for each kind of layer where the model has several."""

        def mask(kind: str) -> Tensor:
            window = self.window if kind == "sliding_attention" else None
            near = sees if window is None else pool.near(sees, window)
            return added(near, self.share, self.dtype).to(self.device)

        if self.kinds is None:
            return mask("sliding_attention")
        if len(self.kinds) == 1:
            return mask(*self.kinds)
        return {kind: mask(kind) for kind in self.kinds}
