"""What batches gain: `python tools/batches.py [REPEAT]`, bf16, prints one JSON line of medians.

Sixteen prompts of the shipped suite, 128 tokens each: one after the other, as one batch, by transformers'
continuous batching, by each of four methods in a batch of its own, and by the four methods mixed.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median

from anyorder.api import Model
from anyorder.bench.entries import Plan, entries
from anyorder.bench.measure import Bench, prepare
from anyorder.bench.suites import read_suite
from anyorder.core.decode import decode

TOKENS, BATCH = 128, 16
METHODS = ("greedy", "prompt_lookup", "token_recycling", "sample")
PEER = "transformers-cb"


def ours(
    model: Model, prompts: list[list[int]], methods: list[str], together: bool
) -> tuple[list[int], float]:
    """Tokens of each prompt and seconds of all."""
    model.target.forget()
    start = time.perf_counter()
    requests = [model.request(ids, m, max_tokens=TOKENS) for ids, m in zip(prompts, methods, strict=True)]
    for group in [requests] if together else [[one] for one in requests]:
        for _ in decode(group):
            pass
    seconds = time.perf_counter() - start
    return [len(one.canvas.generated()) for one in requests], seconds


def rates(ready: Bench, prompts: list[list[int]]) -> dict[str, float]:
    """Tokens per second of every way, once."""
    model, found = ready.model, {}
    for name, together in (("batch 1", False), ("batch 16", True)):
        tokens, seconds = ours(model, prompts, ["greedy"] * BATCH, together)
        found[name] = sum(tokens) / seconds
    run = ready.peers[PEER](prompts, TOKENS)
    found[PEER] = sum(map(len, run.tokens)) / run.seconds
    for method in METHODS:
        tokens, seconds = ours(model, prompts, [method] * BATCH, True)
        found[method] = sum(tokens) / seconds
    mixed = [METHODS[i % len(METHODS)] for i in range(BATCH)]
    tokens, seconds = ours(model, prompts, mixed, True)
    own = sum(n / found[method] for n, method in zip(tokens, mixed, strict=True))
    return found | {"mix": sum(tokens) / seconds, "mix, as in own batches": sum(tokens) / own}


def main() -> None:
    repeat = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    plan = Plan(methods=PEER, batch=BATCH, max_tokens=TOKENS)
    ready = prepare(plan, entries(plan), read_suite("quick"))
    prompts = ready.ids[:: len(ready.ids) // BATCH][:BATCH]
    rates(ready, prompts)  # first allocations
    takes = []
    for done in range(repeat):
        takes.append(rates(ready, prompts))
        print(f"\r{done + 1}/{repeat}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    found = {name: median(take[name] for take in takes) for name in takes[0]}
    ratios = {
        "batch 16 over batch 1": found["batch 16"] / found["batch 1"],
        f"batch 16 over {PEER}": found["batch 16"] / found[PEER],
        "mix over own batches": found["mix"] / found["mix, as in own batches"],
    }
    rounded = {name: round(rate, 1) for name, rate in found.items()}
    print(json.dumps({"tokens_per_second": rounded, **{k: round(v, 3) for k, v in ratios.items()}}))


if __name__ == "__main__":
    main()
