"""The peer `transformers`: its own `generate`, on a stock copy of the same weights.

It gets the same token ids, precision, budget and end-of-text tokens. Its sums are taken in another order
and it draws with another generator, so no equality is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from anyorder.nets.load import load


class Peer:
    """A model as transformers loads it: not packed, its own attention and cache."""

    def __init__(self, name: str, precision: str, eos: Sequence[int]):
        """`eos` as our loop uses them. Raises UserError for a model that cannot be loaded."""
        self.module: Any = load(name, precision)[0]
        self.eos = list(eos)

    def generate(
        self, ids: Sequence[int], max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[int]:
        """The tokens that `generate` adds to the prompt."""
        prompt = torch.tensor([ids])
        how: dict[str, Any] = {"do_sample": False}
        if temperature:
            torch.manual_seed(seed)
            how = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        out = self.module.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=max_tokens,
            eos_token_id=self.eos or None, pad_token_id=self.eos[0] if self.eos else 0, **how,
        )  # fmt: skip
        return out[0, len(ids) :].tolist()
