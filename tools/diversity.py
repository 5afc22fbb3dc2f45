"""Lists of diverse beam search beside beam search's of equal width: `python tools/diversity.py --prompts 28`.

Over the shipped suite, for each way: the share of distinct n-grams in a list, the mean share of n-grams that
two of its texts have in common, and the log-probability per token of its best text (the oracle's) and of all,
under the unpenalized law. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from statistics import mean
from typing import Any, NamedTuple

import torch

import anyorder
from anyorder.audit.ties import walk
from anyorder.bench.suites import read_suite
from anyorder.core.decode import decode

CELLS = 16  # of a run that scores a text
GRAMS = (1, 2, 3)

Text = Sequence[int]


class Found(NamedTuple):
    """Figures of one list."""

    distinct_1: float
    distinct_2: float
    distinct_3: float
    overlap: float
    best: float
    mean: float


def grams(text: Text, n: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))


def distinct(texts: Sequence[Text], n: int) -> float:
    """Different n-grams of a list over all of them."""
    every: Counter[tuple[int, ...]] = sum((grams(text, n) for text in texts), Counter())
    return len(every) / max(1, every.total())


def overlap(one: Text, other: Text, n: int = 2) -> float:
    """Common n-grams over those of the longer text."""
    a, b = grams(one, n), grams(other, n)
    return (a & b).total() / max(1, a.total(), b.total())


def likelihood(model: Any, prompt: list[int], text: Text) -> float:
    """Log-probability per token, the end of text's included."""
    model.target.forget()
    laws = walk(model.target, [*prompt, *text], len(prompt), CELLS)[: len(text)].float().log_softmax(-1)
    return float(laws[torch.arange(len(text)), torch.tensor(text)].mean())


def figures(model: Any, prompt: list[int], method: str, given: dict[str, Any], most: int) -> Found:
    model.target.forget()
    request = model.request(prompt, method, max_tokens=most, **given)
    for _ in decode([request]):
        pass
    texts = [request.canvas.generated(h) for h in range(len(request.canvas.rows))]
    pairs = [overlap(a, b) for a, b in combinations(texts, 2)]
    worth = [likelihood(model, prompt, text) for text in texts]
    return Found(*(distinct(texts, n) for n in GRAMS), mean(pairs or [1.0]), max(worth), mean(worth))


def ways(width: int, strengths: Sequence[float], diversities: Sequence[str]) -> dict[str, tuple[str, dict]]:
    """Name of a row -> method and options. A group has one beam, the paper's most diverse division."""
    alike = {"width": width, "length_penalty": 0.0}
    made: dict[str, tuple[str, dict]] = {"beam": ("beam", alike)}
    for diversity in diversities:
        for strength in strengths:
            given = {**alike, "groups": width, "strength": strength, "diversity": diversity}
            made[f"{diversity} {strength:g}"] = ("diverse_beam", given)
    return made


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--prompts", type=int, default=28)
    ask.add_argument("--max-tokens", type=int, default=40)
    ask.add_argument("--width", type=int, default=4)
    ask.add_argument("--strengths", default="0.2,0.5,0.8", help="by comma")
    ask.add_argument("--diversities", default="hamming,cumulative,ngram", help="by comma")
    ask.add_argument("--precision", default="fp32")
    given = ask.parse_args()
    model = anyorder.load(precision=given.precision)
    prompts = read_suite("quick")[: given.prompts]
    strengths = [float(s) for s in given.strengths.split(",")]
    print("method | distinct-1 | distinct-2 | distinct-3 | overlap | best log p / token | mean log p / token")
    out = {}
    for name, (method, options) in ways(given.width, strengths, given.diversities.split(",")).items():
        every = [
            figures(model, model.encode(p.text, p.chat), method, options, given.max_tokens) for p in prompts
        ]
        row = Found(*(round(mean(column), 4) for column in zip(*every, strict=True)))
        out[name] = row._asdict()
        print(f"{name} | {' | '.join(f'{x:.3f}' for x in row)}", flush=True)
    print(json.dumps({**vars(given), "prompts": len(prompts), "lists": out}))


if __name__ == "__main__":
    main()
