"""For people who stay in transformers: our methods inside `model.generate`.

>>> model.generate(**inputs, custom_generate=anyorder.for_transformers("token_recycling"), max_new_tokens=64)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, decode
from anyorder.errors import UserError
from anyorder.nets.causal import Causal
from anyorder.nets.memory import Memory, share_of_machine
from anyorder.nets.stock import ATTENTION, Stock
from anyorder.shapers import Sampling, compose

USED = ("top_k", "top_p", "min_p", "repetition_penalty")  # of a GenerationConfig, besides temperature

_nets: WeakKeyDictionary[Any, Causal] = WeakKeyDictionary()  # a model keeps its cache between calls


def for_transformers(method: str = "greedy", *, seed: int = 0, **options: Any) -> Callable[..., Tensor]:
    """A `custom_generate` for any causal transformers model. Raises UserError for unknown names.

    Length, end-of-text, temperature, top_k, top_p, min_p and repetition_penalty come from the model's
    generation settings as usual; `do_sample=False` is temperature 0.
    """
    try:
        card = registry.card(method)
        if card.nets != ("target",) or card.canvas != "row":
            raise ValueError(
                f"method {method} needs {', '.join(card.nets)}; allowed here is the target alone"
            )
        registry.build(method, options, Setting(vocab=1))
    except ValueError as error:
        raise UserError(str(error)) from error
    memory: dict[str, Any] = {}

    def generate(model: Any, input_ids: Tensor, **given: Any) -> Tensor:
        config = given["generation_config"]
        if given.get("logits_processor") and len(given["logits_processor"]) > len(_known(config)):
            raise UserError(
                "logits processors of your own are not run; drop them, or shape with anyorder's options"
            )
        before = model.config._attn_implementation
        net = _nets.get(model)
        if net is None:
            memory_of_caches = Memory(share_of_machine(model.device.type))
            net = _nets[model] = Causal(Stock(model), memory_of_caches)
        model.set_attn_implementation(ATTENTION)
        try:
            rows = _rows(input_ids, given.get("attention_mask"))
            sampling = _sampling(config)
            setting = Setting(greedy=sampling.greedy, vocab=net.vocab, context=net.context, memory=memory)
            run = registry.build(method, options, setting)
            eos = config.eos_token_id
            eos = eos if isinstance(eos, list) else [] if eos is None else [eos]
            budget = config.max_length - input_ids.shape[1]
            if budget < 1:
                raise UserError(f"max_length {config.max_length} leaves no room; give max_new_tokens")
            shape, nets = compose(sampling), {"target": net}
            requests = [
                Request(Canvas(row, budget, eos=eos), run, nets, shape, Chance(seed + i))
                for i, row in enumerate(rows)
            ]
            for _ in decode(requests):
                pass
        finally:
            model.set_attn_implementation(before)
        return _joined(input_ids, [_best(r.canvas) for r in requests], config.pad_token_id, eos)

    return generate


def _known(config: Any) -> list[str]:
    """The settings for which transformers makes logits processors that we stand in for."""
    names = [n for n in (*USED, "temperature") if getattr(config, n, None) not in (None, 1.0, 0)]
    return names if config.do_sample else [n for n in names if n == "repetition_penalty"]


def _sampling(config: Any) -> Sampling:
    values = {name: getattr(config, name) for name in USED if getattr(config, name, None) is not None}
    if not config.do_sample:
        return Sampling(repetition_penalty=values.get("repetition_penalty", 1.0))
    return Sampling(temperature=1.0 if config.temperature is None else config.temperature, **values)


def _rows(ids: Tensor, mask: Tensor | None) -> list[list[int]]:
    """Each row's tokens without its padding."""
    if mask is None:
        return ids.tolist()
    return [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]


def _best(canvas: Canvas) -> list[int]:
    return canvas.generated(max(range(len(canvas.rows)), key=lambda h: canvas.score[h]))


def _joined(ids: Tensor, new: list[list[int]], pad: int | None, eos: list[int]) -> Tensor:
    fill = pad if pad is not None else (eos[0] if eos else 0)
    longest = max(map(len, new))
    tail = torch.tensor([row + [fill] * (longest - len(row)) for row in new])
    return torch.cat([ids, tail.to(ids)], dim=1)
