"""Peers: other libraries on the same weights, token ids, budget and end-of-text tokens.

`transformers` is its own `generate`, a batch padded on the left; `transformers-pld` the same with prompt
lookup; `transformers-cb` its continuous batching. All three share one stock copy of the model: not packed,
its own attention and cache. Weights that transformers does not hold (int8, int4) are bf16 here. A peer's
sums are taken in another order and it draws with another generator, so no equality is claimed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from anyorder.bench.entries import Entry, Plan
from anyorder.bench.llama import LlamaCpp
from anyorder.bench.record import Run, Weights
from anyorder.bench.weights import weights_of
from anyorder.engine.threads import give_up_workers
from anyorder.nets.load import load

HELD = ("fp32", "bf16")  # precisions of a stock model; any other is measured in bf16
PAGE = 256  # tokens of a page of the continuous batching's cache, its default
PREFILL = 2048  # most prompt tokens of one of its steps


class Peer(Protocol):
    """A library ready to decode."""

    @property
    def weights(self) -> Weights: ...

    def __call__(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> Run:
        """Decode prompts side by side. The seconds go from token ids to the last token."""
        ...


def peers(plan: Plan, rows: Sequence[Entry], eos: Sequence[int], room: int) -> dict[str, Peer]:
    """The peers among the rows, by label. `room`: tokens of the longest prompt and its continuation.

    Raises UserError for what is not installed or cannot be loaded.
    """
    made: dict[str, Peer] = {}
    stock: Stock | None = None
    for row in rows:
        if row.method.startswith("llama.cpp"):
            made[row.label] = LlamaCpp(plan, eos, room, **_guessed(row))
        elif row.peer:
            stock = stock or Stock(plan, eos)
            continuous = row.method == "transformers-cb"
            made[row.label] = Continuous(stock, room) if continuous else Padded(stock, **_guessed(row))
    return made


def _guessed(row: Entry) -> dict[str, int]:
    """The number of tokens guessed at a time, for rows that guess."""
    return {"guessed": row.options.get("tokens", 10)} if row.method.endswith("-pld") else {}


class Stock:
    """A model as transformers loads it, what its rows have in common, and a count of its runs."""

    def __init__(self, plan: Plan, eos: Sequence[int]):
        """`eos` as our loop uses them. Raises UserError for a model that cannot be loaded."""
        precision = plan.precision if plan.precision in HELD else "bf16"
        self.module: Any = load(plan.model, precision)[0]
        self.weights = weights_of(self.module, precision)
        self.plan, self.eos, self.runs = plan, list(eos), 0
        self.module.register_forward_pre_hook(self._count)

    def _count(self, module: Any, given: Any) -> None:
        self.runs += 1

    @property
    def pad(self) -> int:
        return self.eos[0] if self.eos else 0

    def config(self, **others: Any) -> Any:
        """Our shaping in its words: nothing but the temperature."""
        from transformers import GenerationConfig

        drawn = {"do_sample": True, "temperature": self.plan.temperature, "top_k": 0, "top_p": 1.0}
        how: dict[str, Any] = drawn if self.plan.temperature else {"do_sample": False}
        return GenerationConfig(
            eos_token_id=self.eos or None, pad_token_id=self.pad, repetition_penalty=1.0, **how, **others
        )

    def run(self, texts: Sequence[Sequence[int]], start: float) -> Run:
        """What became of a batch just now: each text up to its end-of-text token."""
        seconds = time.perf_counter() - start
        runs, self.runs = self.runs, 0
        return Run([_ended(text, self.eos) for text in texts], seconds, runs, None)


def _ended(text: Sequence[int], eos: Sequence[int]) -> list[int]:
    """The text with its first end-of-text token and without the padding after it."""
    place = next((i for i, token in enumerate(text) if token in eos), len(text))
    return list(text[: place + 1])


class Padded:
    """`generate`, prompts padded on the left to one length; `guessed`: tokens a run by prompt lookup."""

    def __init__(self, stock: Stock, guessed: int | None = None):
        self.stock, self.weights = stock, stock.weights
        self.how: dict[str, Any] = {"prompt_lookup_num_tokens": guessed} if guessed else {}

    def __call__(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> Run:
        stock = self.stock
        torch.manual_seed(stock.plan.seed)
        config, stock.runs = stock.config(max_new_tokens=max_tokens, **self.how), 0
        start = time.perf_counter()
        width = max(map(len, prompts))
        ids = torch.tensor([[stock.pad] * (width - len(p)) + list(p) for p in prompts])
        seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        out = stock.module.generate(ids, attention_mask=seen, generation_config=config)
        return stock.run(out[:, width:].tolist(), start)


class Continuous:
    """Continuous batching: requests join and leave a packed batch over a paged cache.

    Its loop is a thread, started before the clock and ended after it, so that it is idle while others run.
    On a CPU its cache must be given a size; without one it takes nearly all memory. Blocks are not shared,
    or a prompt could profit from an earlier batch.
    """

    def __init__(self, stock: Stock, room: int):
        from transformers.generation.configuration_utils import ContinuousBatchingConfig

        self.stock, self.weights, batch = stock, stock.weights, stock.plan.batch
        self.how = ContinuousBatchingConfig(
            page_size=PAGE, num_blocks=batch * (1 + room // PAGE), max_requests_per_batch=batch,
            max_batch_tokens=min(PREFILL, batch * room), allow_block_sharing=False,
            auto_switch_to_flash=False, seed=stock.plan.seed,
        )  # fmt: skip

    def __call__(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> Run:
        stock = self.stock
        manager = stock.module.init_continuous_batching(stock.config(), self.how)  # made once and kept
        torch.manual_seed(stock.plan.seed)
        give_up_workers()  # or its thread's share the cores with ours and wait asleep
        manager.start()
        try:
            stock.runs = 0
            start = time.perf_counter()
            names = manager.add_requests([list(p) for p in prompts], max_new_tokens=max_tokens)
            texts: dict[str, list[int]] = {}
            while len(texts) < len(names):
                result = manager.get_result(timeout=1)
                if result is None and not manager.is_running():
                    raise RuntimeError("the continuous batching of transformers ended by itself")
                if result is not None and result.error:
                    raise RuntimeError(f"the continuous batching of transformers failed: {result.error}")
                if result is not None and result.is_finished():
                    texts[result.request_id] = result.generated_tokens
            return stock.run([texts[name] for name in names], start)
        finally:
            manager.stop(keep_for_next_session=True, hard_stop=True)
