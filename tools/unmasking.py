"""Our loop against the published loop's arithmetic: the same random model of LLaDA's shape, equal output.

    python tools/unmasking.py --layers 6 --width 384 --vocab 32000 --prompt 64 --cells 64 --block 32

The other side does in every step what the published sampler does (arXiv:2502.09992): one forward over the
whole canvas, logits of every cell, the likeliest token of every cell, its probability in float64, and the
surest cells of the block by the quota. Both sides run in turn in one process, on the same weights and
threads; the figure is the ratio of medians; texts must be equal.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.types import Net
from anyorder.methods.diffusion.static import static
from anyorder.nets.adapter import Adapter
from anyorder.nets.lean import lean
from anyorder.nets.two_way import TwoWay


@torch.inference_mode()
def published(model: Any, prompt: list[int], cells: int, block: int, steps: int, mask: int) -> list[int]:
    """The sampler's arithmetic at temperature 0: `steps` forwards for each block."""
    x = torch.tensor([prompt + [mask] * cells])
    sees = torch.zeros(1, 1, x.shape[1], x.shape[1], dtype=model.dtype)
    for start in range(len(prompt), len(prompt) + cells, block):
        stop = start + block
        for step in range(steps):
            quota = block // steps + (step < block % steps)
            logits = model(x, attention_mask=sees, use_cache=False).logits
            logits[..., mask] = -torch.inf
            best = logits.argmax(-1)
            sure = logits.to(torch.float64).softmax(-1).gather(-1, best[..., None])[..., 0]
            sure[:, stop:] = -torch.inf
            sure = torch.where(x == mask, sure, -torch.inf)
            pick = sure[0].topk(quota).indices
            x[0, pick] = best[0, pick]
    return x[0, len(prompt) :].tolist()


def ours(net: Net, prompt: list[int], cells: int, block: int, steps: int, mask: int) -> list[int]:
    canvas = Canvas(prompt, cells, mask=mask, block=block)
    for _ in decode([Request(canvas, static(Setting(), steps, "confidence"), {"target": net})]):
        pass
    return canvas.generated()


def random_model(layers: int, width: int, vocab: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers,
        num_attention_heads=width // 64, num_key_value_heads=width // 64, initializer_range=0.1,
        max_position_embeddings=4096, tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"layers": 6, "width": 384, "vocab": 32000, "prompt": 64, "cells": 64, "block": 32, "repeat": 5}
    for name, value in sizes.items():
        parse.add_argument(f"--{name}", type=int, default=value)
    given = parse.parse_args()
    mask = given.vocab - 1
    with tempfile.TemporaryDirectory() as folder:
        random_model(given.layers, given.width, given.vocab).save_pretrained(Path(folder))
        theirs, mine = (LlamaForCausalLM.from_pretrained(folder).eval() for _ in range(2))
    net = TwoWay(lean(mine, "fp32"), Adapter(mask))  # type: ignore[arg-type]
    prompt = torch.randint(0, mask, (given.prompt,), generator=torch.Generator().manual_seed(1)).tolist()
    shape = (prompt, given.cells, given.block, given.block, mask)
    equal = ours(net, *shape) == published(theirs, *shape)  # and a warm-up
    calls = {"published": lambda: published(theirs, *shape), "ours": lambda: ours(net, *shape)}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(given.repeat):
        for name, call in (
            ("published", lambda: published(theirs, *shape)),
            ("ours", lambda: ours(net, *shape)),
        ):
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    medians = {name: round(statistics.median(some), 4) for name, some in times.items()}
    ratio = round(medians["published"] / medians["ours"], 3)
    print(
        json.dumps(
            {
                **vars(given),
                "seconds": medians,
                "ratio": ratio,
                "equal": equal,
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
