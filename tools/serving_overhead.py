"""`tools/serving.py overhead`: what the way through the server costs one user."""

from __future__ import annotations

import http.client
import json
import random
import sys
import time
from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

import anyorder
from anyorder.testing.clients import HOST, body, path, served, text_of

SLOWER, FIRST = 0.05, 1.2  # share of tokens per second; times of one prefill
WORDS = (
    "river", "winter", "bread", "lamp", "garden", "window", "letter", "train", "market", "shadow", "engine",
    "music", "stone", "paper", "harbour", "morning", "bridge", "forest", "candle", "mountain", "village",
)  # fmt: skip


class Timed(NamedTuple):
    """One request's text, how many tokens it has, and seconds until its first text and its end."""

    text: str
    tokens: int
    first: float
    seconds: float


def overhead(
    model: str, precision: str, serve: tuple[str, ...], seed: int, methods: str, lengths: str,
    max_tokens: int, repeats: int,
) -> dict[str, Any]:  # fmt: skip
    loaded, rows = anyorder.load(model, precision=precision), []
    with served(model, "--precision", precision, *serve) as there:
        link = http.client.HTTPConnection(HOST, there.port, timeout=600)
        for length in map(int, lengths.split(",")):
            for method in methods.split(","):
                asked = {"method": method, "max_tokens": max_tokens, "temperature": 0.0}
                prompts = [prompt(loaded, length, random.Random(f"{seed} {i}")) for i in range(repeats + 1)]
                rows.append(
                    {"method": method, "prompt_tokens": length, **pairs(loaded, link, asked, prompts)}
                )
                print(
                    "{method:<16} {prompt_tokens:>5} prompt tokens: {overhead:+.1%} time a token, first text "
                    "after {first:.2f} prefills of {prefill_ms:.1f} ms, {unequal} unequal".format(**rows[-1])
                )
    holds = all(r["overhead"] <= SLOWER and r["first"] <= FIRST and not r["unequal"] for r in rows)
    worst = {name: max(row[name] for row in rows) for name in ("overhead", "first")}
    return {"rows": rows, "worst_overhead": worst["overhead"], "worst_first": worst["first"], "holds": holds}


def pairs(
    loaded: anyorder.Model, link: http.client.HTTPConnection, asked: Mapping[str, Any], prompts: list[str]
) -> dict[str, Any]:
    """Each prompt in process, its prefill in process and through the server, in turns; medians of ratios."""
    slower, first, prefills, unequal = [], [], [], 0
    for i, text in enumerate(prompts):
        ask = {**asked, "prompt": text}
        ways = {
            "alone": lambda ask=ask: alone(loaded, ask),
            "prefill": lambda ask=ask: alone(loaded, {**ask, "max_tokens": 1}),
            "served": lambda ask=ask: over_http(link, ask),
        }
        order = list(ways)[i % 3 :] + list(ways)[: i % 3]
        took = {name: ways[name]() for name in order}
        if i == 0:  # compiles, opens the connection, fills what is kept between requests
            continue
        unequal += took["alone"].text != took["served"].text
        slower.append(took["served"].seconds / took["alone"].seconds - 1)
        first.append(took["served"].first / took["prefill"].seconds)
        prefills.append(took["prefill"].seconds)
        print(f"\r{i}/{len(prompts) - 1} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {
        "overhead": round(median(slower), 4), "first": round(median(first), 3), "unequal": unequal,
        "prefill_ms": round(1000 * median(prefills), 2), "tokens": took["alone"].tokens, "pairs": len(slower),
    }  # fmt: skip


def prompt(loaded: anyorder.Model, length: int, draw: random.Random) -> str:
    """A text that makes about `length` tokens; the same for the same draws."""
    words = [draw.choice(WORDS) for _ in range(length)]
    cut = loaded.tokenizer(" ".join(words), add_special_tokens=False)["input_ids"][:length]
    return f"Tell a long story about {loaded.tokenizer.decode(cut)}"


def alone(loaded: anyorder.Model, ask: Mapping[str, Any]) -> Timed:
    """In this process, as `anyorder generate` does it. Raises RuntimeError if nothing was written."""
    start, first, pieces = time.perf_counter(), 0.0, []
    for piece in loaded.stream(**ask):
        first = first or time.perf_counter() - start
        pieces.append(piece)
    seconds = time.perf_counter() - start
    if not pieces:
        raise RuntimeError(f"no text came for {ask['prompt'][:60]!r}; use another seed")
    return Timed("".join(pieces), len(pieces[-1].request.canvas.generated(0)), first, seconds)


def over_http(link: http.client.HTTPConnection, ask: Mapping[str, Any]) -> Timed:
    """Through the server, streamed. Raises RuntimeError for any other answer."""
    sent, headers = json.dumps(body(ask, stream=True)).encode(), {"content-type": "application/json"}
    start, first, text, chunks = time.perf_counter(), 0.0, "", 0
    link.request("POST", path(ask), sent, headers)
    answer = link.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"the server answered {answer.status}: {answer.read().decode()}")
    while (line := answer.readline()) and line.strip() != b"data: [DONE]":
        if not line.startswith(b"data:"):
            continue
        chunk = json.loads(line[5:])
        new = "".join(text_of(choice) for choice in chunk["choices"])
        first = first or (time.perf_counter() - start if new else 0.0)
        text, chunks = text + new, chunks + bool(new)
    seconds = time.perf_counter() - start
    answer.read()
    return Timed(text, chunks, first, seconds)
