"""`tools/serving.py overhead`: what the way through the server costs one user."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import anyorder
from anyorder.audit.ties import forget
from anyorder.testing.clients import body, path, served

QUIET = 0.2  # seconds between two, for the threads of the one to go to sleep
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
    with served(model, "--precision", precision, *serve) as there, Reader(there.port) as reader:
        for length in map(int, lengths.split(",")):
            for method in methods.split(","):
                asked = {"method": method, "max_tokens": max_tokens, "temperature": 0.0, "chat": False}
                prompts = [
                    prompt(loaded, length, random.Random(f"{seed} {method} {i}")) for i in range(repeats + 1)
                ]
                rows.append(
                    {"method": method, "prompt_tokens": length, **pairs(loaded, reader, asked, prompts)}
                )
                print(
                    "{method:<16} {prompt_tokens:>5} prompt tokens: {overhead:+.1%} time a token, first text "
                    "after {first:.2f} prefills of {prefill_ms:.1f} ms, {unequal} unequal".format(**rows[-1])
                )
    holds = all(r["overhead"] <= SLOWER and r["first"] <= FIRST and not r["unequal"] for r in rows)
    worst = {name: max(row[name] for row in rows) for name in ("overhead", "first")}
    return {"rows": rows, "worst_overhead": worst["overhead"], "worst_first": worst["first"], "holds": holds}


def pairs(
    loaded: anyorder.Model, reader: Reader, asked: Mapping[str, Any], prompts: list[str]
) -> dict[str, Any]:
    """Each prompt in process, its prefill in process and through the server, in turns; medians of ratios."""
    slower, first, prefills, unequal = [], [], [], 0
    for i, text in enumerate(prompts):
        ask = {**asked, "prompt": text}
        ways = {
            "alone": lambda ask=ask: alone(loaded, ask),
            "prefill": lambda ask=ask: alone(loaded, {**ask, "max_tokens": 1}),
            "served": lambda ask=ask: over_http(reader, ask),
        }
        order = list(ways)[i % 3 :] + list(ways)[: i % 3]
        took = {}
        for name in order:
            time.sleep(QUIET)
            took[name] = ways[name]()
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
    """A text of about `length` tokens, the same for the same draws, that begins like no other."""
    words = [draw.choice(WORDS) for _ in range(length)]
    cut = loaded.tokenizer(" ".join(words), add_special_tokens=False)["input_ids"][:length]
    return f"{loaded.tokenizer.decode(cut)}. Once upon a time"


def alone(loaded: anyorder.Model, ask: Mapping[str, Any]) -> Timed:
    """In this process, as `anyorder generate` does it, the prompt read anew. Raises RuntimeError if nothing
    was written."""
    forget([loaded.target])
    start, first, pieces = time.perf_counter(), 0.0, []
    for piece in loaded.stream(**ask):
        first = first or time.perf_counter() - start
        pieces.append(piece)
    seconds = time.perf_counter() - start
    if not pieces:
        raise RuntimeError(f"no text came for {ask['prompt'][:60]!r}; use another seed")
    return Timed("".join(pieces), len(pieces[-1].request.canvas.generated(0)), first, seconds)


def over_http(reader: Reader, ask: Mapping[str, Any]) -> Timed:
    """Through the server, streamed, to a client in a process of its own."""
    found = reader.asks(path(ask), body(ask, stream=True))
    return Timed(found["text"], found["chunks"], found["first"], found["seconds"])


class Reader:
    """A client in a process of its own, as users have; this one, with its model and threads, would be in the
    server's way."""

    def __init__(self, port: int):
        command = [sys.executable, str(Path(__file__).with_name("serving_reader.py"))]
        self.port = port
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def asks(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises RuntimeError if the client ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"port": self.port, "path": path, "body": body}) + "\n")
        self.process.stdin.flush()
        if not (line := self.process.stdout.readline()):
            raise RuntimeError("the client ended; what it said is above")
        return json.loads(line)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
