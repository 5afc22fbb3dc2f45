"""Learn AdaDec's threshold for a model (arXiv:2506.08980): the entropy from which greedy is often wrong.

    python -m anyorder.recipes.adadec                     # the embedded model, Python's standard library
    python -m anyorder.recipes.adadec --model Qwen/Qwen3-0.6B --texts solutions.jsonl

The paper's steps: the model reads reference solutions, and each token tells the entropy H of its law and
whether it was the likeliest; the two classes are balanced; logistic regression gives P(likeliest | H) =
sigma(w H + b); p* is the cut that is right most often on a held-out fifth; tau = (ln(p* / (1 - p*)) - b) / w.

The paper reads BigCodeBench. Here it is, by default, functions of Python's own standard library (ours). A
.jsonl file has an object for each solution, with `prompt` and `solution`; a .txt file has solutions parted
by lines of three dashes.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, decode
from anyorder.core.types import Answer, Ask, Flow
from anyorder.errors import UserError

LIBRARY = (
    "argparse", "ast", "bisect", "calendar", "cmd", "collections", "configparser", "copy", "csv",
    "datetime", "difflib", "fnmatch", "fractions", "functools", "gettext", "glob", "heapq", "imaplib",
    "inspect", "ipaddress", "json.decoder", "json.encoder", "locale", "mailbox", "mimetypes", "netrc",
    "optparse", "pprint", "queue", "random", "shlex", "shutil", "statistics", "string", "tarfile",
    "tempfile", "textwrap", "timeit", "tokenize", "urllib.parse", "zipfile",
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Everything that can change the threshold that comes out."""

    functions: int = 200
    longest: int = 256  # tokens of prompt and solution; what is longer is cut
    held_out: float = 0.2  # of the tokens
    seed: int = 42


class Solution(NamedTuple):
    prompt: str
    text: str


class Tokens(NamedTuple):
    """What a model said of tokens it was shown."""

    entropy: np.ndarray  # [N] nats
    first: np.ndarray  # [N] bool: the token was the likeliest


class Threshold(NamedTuple):
    tau: float
    accuracy: float  # on held-out tokens, of the cut p*
    cut: float  # p*
    w: float
    b: float
    tokens: int  # after balancing


# texts ------------------------------------------------------------------------------------------------------


def functions(modules: Sequence[str] = LIBRARY) -> Iterator[Solution]:
    """Documented functions of Python's standard library: signature and docstring, and what comes behind."""
    for name in modules:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            continue
        source = Path(spec.origin).read_text(encoding="utf-8")
        lines = source.splitlines(keepends=True)
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and len(node.body) > 1:
                first, body = node.lineno - 1, node.body[0].end_lineno or 0
                yield Solution("".join(lines[first:body]), "".join(lines[body : node.end_lineno]))


def solutions(texts: str) -> list[Solution]:
    """Those of a file, or the standard library's. Raises UserError."""
    if texts == "stdlib":
        return list(functions())
    try:
        said = Path(texts).read_text(encoding="utf-8")
        if not texts.endswith(".jsonl"):
            return [Solution("", part) for part in said.split("\n---\n") if part.strip()]
        objects = [json.loads(line) for line in said.splitlines() if line.strip()]
        return [Solution(str(one.get("prompt", "")), str(one["solution"])) for one in objects]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{texts} cannot be read as solutions ({type(error).__name__}: {error}); allowed are .jsonl "
            "files of objects with prompt and solution, .txt files and stdlib; name one"
        ) from error


# what a model says of them ----------------------------------------------------------------------------------


def taught(net: Any, prompt: Sequence[int], solution: Sequence[int]) -> Tokens:
    """Entropies and ranks of a solution's tokens, teacher-forced: one ask about cells of a given text."""
    text = [*prompt, *solution]
    first = max(1, len(prompt))  # no law stands before the first token
    found: list[Tokens] = []

    def read(answer: Answer, chance: Chance) -> Tokens:
        logp = answer.logits.log_softmax(-1, dtype=torch.float32)
        entropy = -torch.special.xlogy(logp.exp(), logp.exp()).sum(-1)
        best = answer.logits.argmax(-1).tolist()
        return Tokens(entropy.double().cpu().numpy(), np.array(best) == np.array(text[first:]))

    def method(canvas: Canvas) -> Flow:
        found.append((yield Ask(read, at=[range(first, len(text))])))

    if len(text) > first:
        list(decode([Request(Canvas(text, 1), method, {"target": net})]))
    return found[0] if found else Tokens(np.zeros(0), np.zeros(0, dtype=bool))


def measured(model: Any, chosen: Sequence[Solution], config: Config) -> Tokens:
    """All tokens of all solutions."""
    parts = []
    for i, solution in enumerate(chosen):
        prompt = model.encode(solution.prompt, chat=False) if solution.prompt.strip() else []
        ids = [*prompt, *model.tokenizer(solution.text, add_special_tokens=False)["input_ids"]]
        ids = ids[: min(config.longest, model.target.context - 1)]
        parts.append(taught(model.target, ids[: len(prompt)], ids[len(prompt) :]))
        if sys.stderr.isatty():
            print(f"\r{i + 1} of {len(chosen)} solutions", end="", file=sys.stderr, flush=True)
    return Tokens(np.concatenate([p.entropy for p in parts]), np.concatenate([p.first for p in parts]))


# the threshold ----------------------------------------------------------------------------------------------


def sigma(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def logistic(x: np.ndarray, y: np.ndarray, steps: int = 100) -> tuple[float, float]:
    """w and b of P(y | x) = sigma(w x + b), by Newton's method on the log-likelihood."""
    design = np.stack([x, np.ones_like(x)], 1)  # [N, 2]
    theta = np.zeros(2)
    for _ in range(steps):
        p = sigma(design @ theta)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (y - p))
        theta += step
        if abs(step).max() < 1e-10:
            break
    return float(theta[0]), float(theta[1])


def tau(cut: float, w: float, b: float) -> float:
    """The entropy at which P(likeliest) is the cut."""
    return (log(cut / (1 - cut)) - b) / w


def learned(tokens: Tokens, config: Config) -> Threshold:
    """Steps 2 to 5. Raises UserError where the tokens say nothing."""
    source = np.random.default_rng(config.seed)
    classes = [np.flatnonzero(tokens.first == value) for value in (True, False)]
    size = min(map(len, classes))
    if size < 10:
        raise UserError(
            f"{len(classes[0])} tokens were the likeliest and {len(classes[1])} were not; allowed are 10 of "
            "each or more; give more texts"
        )
    chosen = source.permutation(np.concatenate([source.choice(one, size, replace=False) for one in classes]))
    x, y = tokens.entropy[chosen], tokens.first[chosen].astype(float)
    split = len(x) - max(1, round(len(x) * config.held_out))
    w, b = logistic(x[:split], y[:split])
    if w >= 0:
        raise UserError("entropy does not tell which tokens were the likeliest; give other texts or more")
    p = sigma(w * x[split:] + b)
    cuts = [i / 100 for i in range(1, 100)]
    right = [float(((p >= cut) == (y[split:] > 0)).mean()) for cut in cuts]
    best = max(right)
    ties = [cut for cut, share in zip(cuts, right, strict=True) if share == best]
    cut = ties[len(ties) // 2]  # the middle of equals
    return Threshold(tau(cut, w, b), best, cut, w, b, len(x))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m anyorder.recipes.adadec", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", default="smollm2", help="short name, hub id, folder or GGUF file")
    parser.add_argument("--texts", default="stdlib", help="a .jsonl or .txt file, or stdlib")
    parser.add_argument(
        "--functions", type=int, default=Config.functions, help="most solutions that are read"
    )
    parser.add_argument("--precision", default="bf16", help="fp32, bf16, int8 or int4")
    given = parser.parse_args(arguments)
    config = Config(functions=given.functions)
    try:
        chosen = solutions(given.texts)
        random.Random(config.seed).shuffle(chosen)
        from anyorder.api import load

        model = load(given.model, precision=given.precision)
        tokens = measured(model, chosen[: config.functions], config)
        found = learned(tokens, config)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    share = float(tokens.first.mean())
    print(f"{len(tokens.first)} tokens, {share:.1%} of them the likeliest; P(likeliest) at H nats: "
          f"sigma({found.w:.4f} H + {found.b:.4f})")  # fmt: skip
    print(f"tau = {found.tau:.6f}: right for {found.accuracy:.1%} of held-out tokens at p* = {found.cut:.2f}")
    print(f"use it: --method adadec --set threshold={found.tau:.6f}")
    print(
        json.dumps({"model": given.model, "texts": given.texts, **found._asdict(), "config": asdict(config)})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
