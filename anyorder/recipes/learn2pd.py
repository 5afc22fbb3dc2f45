"""Train Learn2PD's filter for a diffusion model (arXiv:2509.25188): which cells are already right?

    python -m anyorder.recipes.learn2pd                    # the shipped model, its own tasks
    python -m anyorder.recipes.learn2pd --model GSAI-ML/LLaDA-8B-Instruct --prompts prompts.txt --cells 256

Static unmasking, one cell a step, writes a text for each prompt. Then the extremely greedy parallel oracle
writes it again, filling in each step all cells whose likeliest token is already the text's; every step tells
how sure the net was of each cell of the block, and which holes were right. A perceptron learns the second
from the first. The report's last lines compare static unmasking, the filter and the oracle, the least runs
that any filter could take, on prompts that were held out.

A file of prompts has one in each line. Several numbers of cells are dealt out to the prompts in turn.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from anyorder.core.decode import Request, decode
from anyorder.errors import UserError
from anyorder.methods.diffusion.learn2pd import SHIPPED
from anyorder.tasks import latin, lists, sudoku
from anyorder.tasks.vocabulary import NAMES
from anyorder.testing.egp import Lesson, egp

SIDE = 32  # prompts that are decoded side by side
CUTS = (0.5, 0.8, 0.9, 0.96, 0.99)  # of which the report tells


@dataclass(frozen=True)
class Config:
    """Everything that can change the filter that comes out."""

    block: int = 32
    cells: tuple[int, ...] = (8, 16, 32, 64)
    prompts: int = 200  # of each of the shipped model's tasks
    epochs: int = 40_000
    rate: float = 3e-3
    theta: float = 0.96  # of the comparison at the end
    precision: str = "fp32"
    seed: int = 42


class Question(NamedTuple):
    prompt: str
    cells: int


class Steps(NamedTuple):
    """What the oracle saw, a line for each of N steps; shorter blocks are filled up with sure cells."""

    sure: np.ndarray  # [N, B]
    right: np.ndarray  # [N, B] bool
    hole: np.ndarray  # [N, B] bool


# what is asked ----------------------------------------------------------------------------------------------


def tasks(config: Config) -> list[Question]:
    """Questions to the shipped model, of every task as many; puzzles need 16 cells."""
    source, found = random.Random(config.seed), []
    for i in range(config.prompts):
        cells = config.cells[i % len(config.cells)]
        for task in lists.TASKS:
            example = lists.draw(task, source.choice(lists.LENGTHS), source, NAMES)
            found.append(Question(lists.said(example), cells))
        for puzzle in (latin.draw(source), sudoku.draw(source)):
            found.append(Question(lists.said(puzzle), max(cells, len(puzzle.gold))))
    source.shuffle(found)
    return found


def questions(file: str, config: Config) -> list[Question]:
    """Those of a file, or the tasks'. Raises UserError."""
    if not file:
        return tasks(config)
    try:
        said = [line for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"prompts {file} cannot be read ({error}); give a text file of a prompt a line"
        ) from error
    if len(said) < 10:
        raise UserError(f"{file} has {len(said)} prompts; allowed are 10 or more; write some more")
    random.Random(config.seed).shuffle(said)
    return [Question(line, config.cells[i % len(config.cells)]) for i, line in enumerate(said)]


# what the oracle sees ---------------------------------------------------------------------------------------


def run(model: Any, asked: Sequence[Question], config: Config, method: str, **options: Any) -> list[Request]:
    """Every question's request, decoded."""
    given = {"block": config.block, **options}
    made = [model.request(q.prompt, method, max_tokens=q.cells, **given) for q in asked]
    _decode(made)
    return made


def _decode(requests: Sequence[Request]) -> None:
    for i in range(0, len(requests), SIDE):
        for _ in decode(deque(requests[i : i + SIDE])):
            pass
        if sys.stderr.isatty():
            print(f"\r{min(i + SIDE, len(requests))} of {len(requests)}", end="", file=sys.stderr, flush=True)


def replayed(
    model: Any, asked: Sequence[Question], config: Config
) -> tuple[list[list[Lesson]], list[Request]]:
    """For each question what the oracle saw while it wrote static's text; and the oracle's requests."""
    texts = [request.canvas.generated() for request in run(model, asked, config, "static")]
    lessons: list[list[Lesson]] = [[] for _ in texts]
    made = [model.request(q.prompt, "static", max_tokens=q.cells, block=config.block) for q in asked]
    for request, text, mine in zip(made, texts, lessons, strict=True):
        request.method = egp(text, mine.append)
    _decode(made)
    return lessons, made


def laid(lessons: Sequence[Lesson], block: int) -> Steps:
    """Lessons as arrays."""
    sure = np.ones((len(lessons), block))
    right, hole = np.zeros((2, len(lessons), block), bool)
    for i, one in enumerate(lessons):
        n = len(one.sure)
        sure[i, :n], right[i, :n], hole[i, :n] = one
    return Steps(sure, right, hole)


# the filter -------------------------------------------------------------------------------------------------


def loss(net: nn.Module, steps: Steps) -> Tensor:
    """Binary cross-entropy of the holes."""
    sure, right, hole = (torch.from_numpy(part).float() for part in steps)
    return functional.binary_cross_entropy_with_logits(net(sure), right, hole, reduction="sum") / hole.sum()


def learned(train: Steps, config: Config, say: Callable[[str], None]) -> nn.Sequential:
    """A perceptron B -> B -> B, over all steps at once."""
    torch.manual_seed(config.seed)
    net = nn.Sequential(
        nn.Linear(config.block, config.block), nn.ReLU(), nn.Linear(config.block, config.block)
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.rate)
    for epoch in range(config.epochs):
        optimizer.zero_grad()
        cost = loss(net, train)
        cost.backward()
        optimizer.step()
        if epoch % 5000 == 0:
            say(f"epoch {epoch}: {cost.item():.4f} nats a hole")
    return net


def save(net: nn.Sequential, file: Path, **facts: Any) -> None:
    """As the method reads it."""
    names = {"0.weight": "inner", "0.bias": "inner_bias", "2.weight": "outer", "2.bias": "outer_bias"}
    parts = {names[name]: part.double().numpy().round(6).tolist() for name, part in net.state_dict().items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(facts | parts) + "\n", encoding="utf-8")


@torch.no_grad()
def judged(net: nn.Module, steps: Steps) -> dict[float, dict[str, float]]:
    """For each cut the share of accepted holes that were wrong, and the share of right holes accepted."""
    p = net(torch.from_numpy(steps.sure).float()).sigmoid().numpy()
    found = {}
    for cut in CUTS:
        taken = (p > cut) & steps.hole
        found[cut] = {
            "wrong": float((taken & ~steps.right).sum() / max(1, taken.sum())),
            "found": float((taken & steps.right).sum() / max(1, (steps.right & steps.hole).sum())),
        }
    return found


def compared(
    model: Any, asked: Sequence[Question], oracle: Sequence[Request], file: Path, config: Config
) -> dict[str, dict[str, float]]:
    """Runs, cells fed and the share of static's texts, of each way to write the held-out questions."""
    ways = {"static": run(model, asked, config, "static")}
    for name, cut in (("learn2pd", False), ("learn2pd, cut", True)):
        ways[name] = run(model, asked, config, "learn2pd", filter=str(file), theta=config.theta, eotp=cut)
    true = [request.canvas.generated() for request in ways["static"]]
    ways["oracle"] = list(oracle)
    return {
        name: {
            "runs": sum(r.runs["target"] for r in made) / len(made),
            "cells": sum(r.cells["target"] for r in made) / len(made),
            "same": sum(r.canvas.generated() == t for r, t in zip(made, true, strict=True)) / len(made),
        }
        for name, made in ways.items()
    }


# the command ------------------------------------------------------------------------------------------------


def trained(
    model: Any, asked: Sequence[Question], out: Path, config: Config, say: Callable[[str], None]
) -> Any:
    """Replays, trains, saves; what was found out. Four fifths of the questions are learned from, a tenth
    tells how good the filter is, a tenth how well it decodes."""
    start = monotonic()
    lessons, oracle = replayed(model, asked, config)
    first, second = int(0.8 * len(asked)), int(0.9 * len(asked))
    parts = [laid([*chain(*part)], config.block) for part in (lessons[:first], lessons[first:second])]
    say(f"{len(parts[0].sure)} steps of {first} texts to learn from, after {monotonic() - start:.0f} s")
    net = learned(parts[0], config, say)
    facts = {
        "model": model.name,
        "spelling": model.spelling,
        "block": config.block,
        "steps": len(parts[0].sure),
    }
    save(net, out, **facts)
    ways = compared(model, asked[second:], oracle[second:], out, config)
    return {"judged": judged(net, parts[1]), "ways": ways, "seconds": monotonic() - start}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m anyorder.recipes.learn2pd", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", default="list-diffusion", help="short name, hub id or folder")
    parser.add_argument(
        "--prompts", default="", help="a file of a prompt a line; empty: the shipped model's tasks"
    )
    parser.add_argument("--cells", default="8,16,32,64", help="of the canvases, by comma")
    parser.add_argument("--block", type=int, default=Config.block, help="the widest block the filter is for")
    parser.add_argument("--epochs", type=int, default=Config.epochs)
    parser.add_argument("--precision", default=Config.precision, help="fp32, bf16, int8 or int4")
    parser.add_argument(
        "--out", default="", help="the filter's file; empty: the shipped model's, or learn2pd.json"
    )
    given = parser.parse_args(arguments)
    try:
        cells = tuple(int(n) for n in given.cells.split(","))
        config = Config(block=given.block, cells=cells, epochs=given.epochs, precision=given.precision)
        asked = questions(given.prompts, config)
        out = Path(given.out or (SHIPPED if given.model == "list-diffusion" else "learn2pd.json"))
        from anyorder.api import load

        model = load(given.model, precision=given.precision)
        found = trained(model, asked, out, config, lambda line: print(line, file=sys.stderr))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for cut, row in found["judged"].items():
        print(
            f"theta {cut}: {row['wrong']:.2%} of the accepted wrong, {row['found']:.1%} of the right accepted"
        )
    for name, row in found["ways"].items():
        print(f"{name:14} {row['runs']:7.2f} runs {row['cells']:9.1f} cells  {row['same']:.1%} static's text")
    print(json.dumps({"model": given.model, "file": str(out), **found, "config": asdict(config)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
