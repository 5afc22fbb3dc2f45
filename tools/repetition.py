"""How much texts repeat themselves: `python tools/repetition.py`, one line for each way, then JSON.

Open-ended beginnings of news and stories are continued by each method. Repetition is told by the share of
n-grams that were there before in the same text (rep-n, in per cent), diversity (the product of 1 - rep-n for
n from 2 to 4), the share of distinct tokens, and the mean log-probability that the model gives the text.
Speeds are medians over texts, every text being written by all methods in turn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from math import prod
from statistics import mean, median
from typing import Any

import anyorder
from anyorder.audit.ties import walk

WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"method": "greedy"},
    "momentum": {"method": "momentum"},
    "momentum, prompt_lookup": {"method": "momentum", "then": "prompt_lookup"},
    "contrastive": {"method": "contrastive"},
    "sample, top_p 0.95": {"method": "sample", "temperature": 1.0, "top_p": 0.95},
}
PROMPTS = (
    "The city council voted on Tuesday evening to close the old harbour bridge for repairs, and",
    "When Marta opened the letter from her grandmother, she found only a small brass key and",
    "Scientists at the northern observatory reported this week that a comet nobody had expected",
    "The last train had left an hour ago, and the station master was about to lock the door when",
    "After three years of drought, farmers in the valley woke to the sound of rain.",
    "Nobody in the village could remember who had built the tower on the hill, but every child knew",
    "The national team arrived home on Sunday after an unexpected victory, and thousands of people",
    "My brother has been collecting clocks since he was nine years old.",
    "A fire that broke out in a warehouse near the river early on Friday morning",
    "The captain looked at the map again, folded it, and said quietly to the crew:",
    "Prices for wheat and maize rose sharply in the spring, according to a report that",
    "In the winter of that year the lake froze so hard that the fishermen",
)
GREEDY, WIDTH = "greedy", 16


def rep(tokens: Sequence[int], n: int) -> float:
    """The share of n-grams that were there before; 0 of a text that is too short to have two."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def diversity(tokens: Sequence[int]) -> float:
    return prod(1 - rep(tokens, n) for n in (2, 3, 4))


def likelihood(model: anyorder.Model, prompt: Sequence[int], text: Sequence[int]) -> float:
    """The mean log-probability of the text's tokens."""
    laws = walk(model.target, [*prompt, *text], len(prompt), WIDTH)[: len(text)].log_softmax(-1)
    return float(laws[range(len(text)), list(text)].mean())


def measured(model: anyorder.Model, prompts: Sequence[str], max_tokens: int, repeat: int) -> dict[str, Any]:
    """Way -> its figures."""
    texts: dict[str, list[tuple[list[int], list[int]]]] = {way: [] for way in WAYS}
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    for given in WAYS.values():  # what is compiled and loaded at first use
        model.generate(prompts[0], max_tokens=8, chat=False, **given)
    for turn in range(repeat):
        for number, prompt in enumerate(prompts):
            ids = model.encode(prompt, chat=False)
            for way, given in WAYS.items():
                model.target.forget()  # nobody profits from who came before
                result = model.generate(ids, max_tokens=max_tokens, seed=number, **given)
                speeds[way].append(result.tokens_per_second)
                if not turn:
                    texts[way].append((ids, result.token_ids))
    return {way: _figures(model, texts[way], speeds[way], speeds[GREEDY]) for way in WAYS}


def _figures(
    model: anyorder.Model, texts: Sequence[tuple[list[int], list[int]]], speed: Sequence[float],
    greedy: Sequence[float],
) -> dict[str, float]:  # fmt: skip
    written = [text for _, text in texts]
    figures = {f"rep-{n}": 100 * mean(rep(text, n) for text in written) for n in (2, 3, 4)}
    figures["diversity"] = mean(map(diversity, written))
    figures["distinct"] = mean(len(set(text)) / len(text) for text in written)
    figures["log_prob"] = mean(likelihood(model, *pair) for pair in texts)
    figures["tokens"] = mean(map(len, written))
    figures["tokens_per_second"] = median(speed)
    figures["of_greedy"] = median(a / b for a, b in zip(speed, greedy, strict=True))
    return {name: round(value, 3) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=None, help="as for anyorder.load")
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help=f"how many, of {len(PROMPTS)}")
    parser.add_argument("--repeat", type=int, default=3, help="how often each text is written, for its speed")
    given = parser.parse_args()
    model = anyorder.load(given.model)
    figures = measured(model, PROMPTS[: given.prompts], given.max_tokens, given.repeat)
    names = list(figures[GREEDY])
    print(f"{'':24}" + " ".join(f"{name:>{max(8, len(name))}}" for name in names))
    for way, numbers in figures.items():
        print(f"{way:24}" + " ".join(f"{numbers[name]:{max(8, len(name))}.3f}" for name in names))
    about = {"model": model.name, "precision": model.precision, "max_tokens": given.max_tokens,
             "prompts": min(given.prompts, len(PROMPTS)), "repeat": given.repeat}  # fmt: skip
    print(json.dumps({**about, "ways": figures}))


if __name__ == "__main__":
    main()
