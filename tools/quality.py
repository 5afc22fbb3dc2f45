"""What precisions lose: `python tools/quality.py`, one JSON line for each, against fp32.

Along the prompts of the shipped suite: how often the likeliest next token is fp32's, and the perplexity.
"""

from __future__ import annotations

import json

import torch
from torch.nn.functional import cross_entropy

import anyorder
from anyorder.audit.ties import walk
from anyorder.bench.suites import read_suite

WIDTH = 16  # cells of a run


def main() -> None:
    kept: dict[str, list[torch.Tensor]] = {}
    for precision in ("fp32", "bf16", "int8", "int4"):
        model = anyorder.load(precision=precision)
        texts = [model.encode(prompt.text, chat=False) for prompt in read_suite("quick")]
        laws = [walk(model.target, ids, 1, WIDTH)[: len(ids) - 1] for ids in texts]
        kept[precision] = [law.argmax(-1) for law in laws]
        same = torch.cat([a == b for a, b in zip(kept[precision], kept["fp32"], strict=True)])
        losses = [
            cross_entropy(law, torch.tensor(ids[1:]), reduction="none")
            for law, ids in zip(laws, texts, strict=True)
        ]
        figures = {"likeliest_kept": same.float().mean(), "perplexity": torch.cat(losses).mean().exp()}
        rounded = {name: round(float(value), 4) for name, value in figures.items()}
        print(json.dumps({"precision": precision, "tokens": len(same), **rounded}), flush=True)


if __name__ == "__main__":
    main()
