"""Alone equals in company: random mixes of requests against each of them alone.

A mix has requests of different methods, seeds, temperatures and lengths, which join at different steps of the
loop, are paused by a cache that is too small for them, and some of which are cancelled on the way.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from anyorder.core.decode import Request, decode

METHODS: tuple[Mapping[str, Any], ...] = (
    {"method": "greedy"}, {"method": "sample", "temperature": 0.9}, {"method": "beam", "width": 3},
    {"method": "prompt_lookup"}, {"method": "token_recycling"}, {"method": "lookahead"}, {"method": "jacobi"},
    {"method": "early_exit", "layer": 1}, {"method": "merged"}, {"method": "chained"},
    {"method": "prompt_lookup", "temperature": 0.8}, {"method": "token_recycling", "temperature": 1.0},
    {"method": "early_exit", "layer": 1, "temperature": 1.0, "draw": "sampled", "verify": "residual"},
)  # fmt: skip
SEARCHES: tuple[Mapping[str, Any], ...] = (  # they keep more cells than the others, or forget what was paused
    {"method": "diverse_beam", "width": 4, "groups": 2}, {"method": "stochastic_beam", "width": 3},
    {"method": "conditional_beam", "width": 2}, {"method": "best_first", "width": 2},
    {"method": "adadec", "threshold": 0.5}, {"method": "cntp", "trials": 3, "cap": 6},
    {"method": "deal", "candidates": 2, "ahead": 3, "width": 2, "reward": "length/words=4"},
    {"method": "a_star", "texts": 2, "cap": 6, "steps": 2}, {"method": "best_of_n", "texts": 3},
    {"method": "self_consistency", "texts": 3}, {"method": "momentum", "then": "prompt_lookup"},
    {"method": "contrastive", "k": 3}, {"method": "dola", "layers": "0,1"}, {"method": "mirostat"},
    {"method": "contrastive_decoding", "second": "exit:1", "then": "beam/width=2"},
    {"method": "prompt_lookup", "regex": "[a-z ]{12,40}"}, {"method": "sample", "keywords": "e"},
)  # fmt: skip
WORDS = (
    "the cat sat",
    " on the mat",
    " and the dog",
    " ran to",
    " the sea",
    " again",
    " because",
    " 12 + 30",
)


class Model(Protocol):
    """What is needed of `anyorder.api.Model`."""

    def request(self, prompt: Any, method: str, **options: Any) -> Request: ...


def random_request(rng: random.Random, methods: Sequence[Mapping[str, Any]] = METHODS) -> dict[str, Any]:
    prompt = "".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12)))
    size, seed = rng.randint(1, 24), rng.randrange(1000)
    return {"prompt": prompt, "seed": seed, "max_tokens": size, **rng.choice(methods)}


def unequal(
    alone: Model, mixed: Model, rng: random.Random, methods: Sequence[Mapping[str, Any]] = METHODS
) -> tuple[int, list[dict[str, Any]]]:
    """Decode one random mix; requests compared, and those whose text was not what they write alone."""
    asked = [random_request(rng, methods) for _ in range(rng.randint(2, 6))]
    requests = [mixed.request(**one) for one in asked]
    waiting, later, cancelled = deque(requests[:2]), deque(requests[2:]), set()
    for _ in decode(waiting):
        if later and rng.random() < 0.3:
            waiting.append(later.popleft())
        if rng.random() < 0.01:
            cancelled.add(victim := rng.choice(requests))
            victim.canvas.close()
    for _ in decode(later):
        pass
    kept = [(one, ask) for one, ask in zip(requests, asked, strict=True) if one not in cancelled]
    return len(kept), [ask for one, ask in kept if one.canvas.rows != texts(alone, ask)]


def texts(model: Model, ask: Mapping[str, Any]) -> Sequence[Sequence[int]]:
    """The rows a request writes alone."""
    request = model.request(**ask)
    for _ in decode([request]):
        pass
    return request.canvas.rows
