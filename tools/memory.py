"""Peak memory of a batch: `python tools/memory.py [PRECISION]`, 16 requests of 1,024 tokens, one JSON line.

`allowed` is 1.15 times weights + cache + 300 MB; `before` is what Python, torch, transformers and numba take
before any weight is read.
"""

from __future__ import annotations

import json
import resource
import sys

import anyorder
import anyorder.api

BATCH, PROMPT, TOKENS = 16, 900, 124


def peak() -> float:
    """Most megabytes this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    precision = sys.argv[1] if len(sys.argv) > 1 else "bf16"
    before = peak()
    model = anyorder.load(precision=precision, memory="400MB" if precision != "fp32" else "800MB")
    loaded = peak()
    prompts = [{"prompt": list(range(100 + i, 100 + i + PROMPT)), "banned": model.eos} for i in range(BATCH)]
    results = model.batch(prompts, max_tokens=TOKENS)
    assert all(result.tokens == TOKENS for result in results)
    weights, cache = model.target.body.weight_bytes / 2**20, model.cache.budget / 2**20
    figures = {
        "precision": precision, "weights": weights, "cache": cache, "before": before, "loaded": loaded,
        "peak": peak(), "allowed": 1.15 * (weights + cache + 300), "pauses": model.cache.pauses,
    }  # fmt: skip
    print(json.dumps({k: round(v, 1) if isinstance(v, float) else v for k, v in figures.items()}))


if __name__ == "__main__":
    main()
