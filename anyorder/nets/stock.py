"""The body of any stock transformers causal model: no forked model file, only our attention and our cache."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from anyorder.nets.feed import Feed
from anyorder.nets.pool import Layout, Plan, Pool, mix

NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")  # names of the norm before the head
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
    """What transformers calls in every layer of a model set to "anyorder"; queries [1, H, Q, D],
    keys and values as our pool returned them, mask from its layout.

    Without a mask it is a plain call by somebody else, which transformers' own attention answers.
    """
    if mask is None:
        own = ALL_ATTENTION_FUNCTIONS["sdpa"]
        return own(module, query, key, value, None, dropout=dropout, scaling=scaling, **unused)
    layout: Layout = key.anyorder  # type: ignore[attr-defined]
    query = query[0][:, layout.cell].transpose(0, 1)  # [F, H, C, D]
    if layout.weights is not None:
        layout.weights.append(_weights(query, key, mask, scaling).mean(1))
    if softcap is None and s_aux is None:
        out = _stacked(query, key, value, mask, scaling)
    else:
        out = _spelt_out(query, key, value, mask, scaling, softcap, s_aux)
    heads, width = out.shape[1], out.shape[3]
    return out.transpose(1, 2).reshape(-1, heads, width)[layout.back][None], None


def _stacked(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None) -> Tensor:
    """torch's attention, the heads that share keys stacked as queries. [F, H, C, D]"""
    families, heads, cells, width = query.shape
    groups = key.shape[1]
    stacked = query.reshape(families, groups, heads // groups * cells, width)
    out = functional.scaled_dot_product_attention(stacked, key, value, attn_mask=mask, scale=scale)
    return out.reshape(families, heads, cells, width)


def _weights(query: Tensor, key: Tensor, mask: Tensor, scale: float | None) -> Tensor:
    """[F, H, C, S] what every cell attends to."""
    heads, cells, width = query.shape[1:]
    key = key.repeat_interleave(heads // key.shape[1], 1)
    scores = query @ key.transpose(2, 3) * (width**-0.5 if scale is None else scale)
    return (scores.to(torch.promote_types(scores.dtype, torch.float32)) + mask[:, :, :cells]).softmax(-1)


def _spelt_out(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scale: float | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention with capped scores, or with a sink for each head that takes attention and gives nothing."""
    families, heads, cells, width = query.shape
    key, value = (x.repeat_interleave(heads // x.shape[1], 1) for x in (key, value))
    scores = query @ key.transpose(2, 3) * (width**-0.5 if scale is None else scale)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores + mask[:, :, :cells]
    if sinks is not None:
        sink = sinks.reshape(1, -1, 1, 1).expand(families, heads, cells, 1)
        scores = torch.cat([scores, sink.to(scores)], -1)
    return scores.softmax(-1)[..., : key.shape[2]].to(value.dtype) @ value


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

    @property
    def cell_bytes(self) -> int:
        """Cache bytes of one cell."""
        config = self.model.config.get_text_config()
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        groups = config.num_attention_heads // self.share
        return 2 * config.num_hidden_layers * groups * width * self.dtype.itemsize

    def store(self, slots: int) -> Pool:
        return Pool(slots)

    def __call__(self, feed: Feed, store: Pool) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        return self.planned(Plan(feed), store)

    def planned(self, plan: Plan, store: Pool) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """A run in exactly its own shape: two copies to the device, one forward, nothing waits."""
        written = plan.written(plan.shape, store.spare, pinned=self.device.type == "cuda")
        numbers, flags = (x.to(self.device, non_blocking=True) for x in written)
        return self.run(Layout(plan.shape, numbers, flags), store, plan.feed.layers, plan.feed.soft)

    def run(
        self,
        layout: Layout,
        store: Pool,
        layers: Sequence[int] = (),
        soft: Mapping[int, Mapping[int, float]] = MappingProxyType({}),
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """The forward: logits [M, V], hidden [M, D], layers' states [M, D]. It looks at no number's value,
        so a graph of it holds for every run of the shape."""
        store.layout = layout
        out = self.model(
            **self._read_in(layout.token, soft),
            position_ids=layout.position,
            attention_mask=self._masks(layout),
            past_key_values=store,
            use_cache=True,
            logits_to_keep=layout.lines,
            output_hidden_states=bool(layers),
        )
        read, self._read, store.layout = self._read, None, None  # their memory is free for the next run
        assert read is not None, "the model did not call its output head"
        inner = {i: out.hidden_states[i][0, layout.lines] for i in layers}
        wide = torch.promote_types(out.logits.dtype, torch.float32)
        return out.logits[0].to(wide), read[0], inner

    @property
    def state_bytes(self) -> int:
        """Of one cell's state between two blocks."""
        hidden: int = self.model.config.get_text_config().hidden_size
        return hidden * self.dtype.itemsize

    @property
    def depth(self) -> int:
        """Blocks."""
        return len(self.model.base_model.layers)

    def embedded(self, token: Sequence[int]) -> Tensor:
        """[Q, D] what the first block reads."""
        embed: Tensor = self.model.get_input_embeddings()(torch.tensor(list(token), device=self.device))
        return embed

    def block(self, i: int, x: Tensor, feed: Feed, store: Pool) -> tuple[Tensor, Tensor]:
        """States [Q, D] of a run's cells, all of one row, through block i alone, and the attention
        [M, slots] that its lines pay, the mean over heads."""
        plan, inner = Plan(feed), self.model.base_model
        numbers, flags = (part.to(self.device) for part in plan.written(plan.shape, store.spare))
        layout, layer = Layout(plan.shape, numbers, flags), inner.layers[i]
        masks = self._masks(layout)
        store.layout, layout.weights = layout, []
        out = layer(
            x[None],
            attention_mask=masks[layer.attention_type] if isinstance(masks, dict) else masks,
            position_ids=layout.position,
            past_key_values=store,
            use_cache=True,
            position_embeddings=inner.rotary_emb(x[None], layout.position),
        )
        store.layout = None
        (weights,) = layout.weights
        return out[0], weights[0, layout.back[layout.lines]]

    def _read_in(self, token: Tensor, soft: Mapping[int, Mapping[int, float]]) -> dict[str, Tensor]:
        """What the model reads: tokens, or embeddings where some cells mix them."""
        if not soft:
            return {"input_ids": token}
        embed = self.model.get_input_embeddings()
        x = embed(token)
        mix(x[0], soft, embed)
        return {"inputs_embeds": x}

    @property
    def say(self) -> Callable[[Tensor], Tensor] | None:
        """What the last norm and the head make of states [M, D] between two blocks: logits [M, V]. None: the
        last norm has an unknown name."""
        inner = self.model.base_model
        norm = next((n for name in NORMS if (n := getattr(inner, name, None)) is not None), None)
        return None if norm is None else partial(self._said, norm)

    @torch.no_grad()
    def _said(self, norm: nn.Module, states: Tensor) -> Tensor:
        logits = self.model.get_output_embeddings()(norm(states))
        self._read = None
        cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def plain(self, tokens: list[int]) -> Tensor:
        """[N, V] what transformers makes of a text with its own attention and mask, without a cache."""
        self.model.set_attn_implementation("eager")
        try:
            return self.model(torch.tensor([tokens], device=self.device), use_cache=False).logits[0]
        finally:
            self.model.set_attn_implementation(ATTENTION)

    def _masks(self, layout: Layout) -> Tensor | dict[str, Tensor]:
        """The mask, or one for each kind of layer where the model has several."""

        def mask(kind: str) -> Tensor:
            window = self.window if kind == "sliding_attention" else None
            return layout.mask(window, self.share, self.dtype)

        if self.kinds is None:
            return mask("sliding_attention")
        if len(self.kinds) == 1:
            return mask(*self.kinds)
        return {kind: mask(kind) for kind in self.kinds}


@torch.inference_mode()
def packs(stock: Stock) -> bool:
    """Whether a whole model respects our mask and positions, so that texts may share a run.

    Two unrelated texts, one of them with two branches, lie side by side in one run; every path has to give
    what it gives alone. A model that breaks off over our mask or cache does not pack either.
    """
    feed = Feed()

    def lay(way: int, start: int, count: int) -> None:
        for length in range(start, start + count):
            slot = len(feed)
            way = feed.step(way, length, slot)
            feed.add((1 + slot * 977) % stock.vocab, slot, way, length + 1)

    one, two = feed.begin(array("i"), 0), feed.begin(array("i"), 1)
    for way, start, count in (one, 0, 3), (two, 0, 6), (one, 3, 6), (one, 3, 6):
        lay(way, start, count)
    feed.lines = list(range(len(feed)))
    alone = [stock.plain([feed.token[i] for i in path]).to(torch.float32) for path in feed.ways]
    try:
        together = stock(feed, stock.store(len(feed)))[0].to(torch.float32)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError, AssertionError):
        return False  # such a model's own attention met our shapes
    loose = max(torch.finfo(kind).eps for kind in (stock.dtype, torch.float32)) ** 0.4  # as `lean` judges
    for path, lines in zip(feed.ways, alone, strict=True):
        apart = ((together[path.tolist()] - lines).std(1) / lines.std(1)).median()
        if not apart < loose:  # another text: near 1
            return False
    return True
