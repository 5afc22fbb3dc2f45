"""Teach a causal model to fill blocks of holes as well: SmolLM2-135M-Instruct as a hybrid model.

    python -m anyorder.recipes.smollm2_blocks --device cuda --prompts prompts.jsonl      # 18 minutes, an H200
    anyorder generate "Why is the sky blue?" --model smollm2-blocks --method threshold     # blocks
    anyorder generate "Why is the sky blue?" --model smollm2-blocks --method greedy        # left to right
    anyorder generate "Why is the sky blue?" --model smollm2-blocks --method diffuspec --set draft=self

Finished text stays causal, so its cache is exact and the model still writes from left to right; the block
being filled is two-way, and a cell is predicted by the cell before it (`dual_stream` has the forward, and
what it is built from). The model answers the prompts itself first, greedily (`own_answers`), and generated
lists stand beside them. The loss is the masked one, 1/γ, and the left-to-right one in equal parts.

All numbers are ours: block lengths 8, 16, 32 and whole answers are drawn for each step, so that one model
fills blocks of any length; 3 rows of 10 are lists; AdamW at 3e-4, cosine in elapsed time, a running average
of the weights. The two complementary copies of an answer stand behind one clean text, not behind one each;
weights 1/γ are shares of the rows of one forward. How long it trains is told in minutes; a run that was
interrupted goes on. At the end five gates are judged and printed. The full run was never made: what stands
here is proven on a tiny model. A hundred million tokens would make a test vehicle, not a better model than
its parent.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor

import anyorder
from anyorder.errors import UserError
from anyorder.nets.load import give_back, load, quiet
from anyorder.recipes.block_gates import Facts, judged, measured
from anyorder.recipes.dual_stream import laid, loss, noised
from anyorder.recipes.own_answers import Row, answered, edited, examples, prompts

Say = Callable[[str], None]
WHOLE = 0  # a block as long as the answer
HELD = 256  # rows that are measured at most


@dataclass(frozen=True)
class Config:
    """Everything that can change the weights that come out."""

    model: str = "smollm2"
    minutes: float = 18  # of training
    steps: int | None = None  # instead of minutes: the same weights each time
    rows: int = 256  # of a step
    at_once: int = 64  # rows of one forward
    length: int = 384  # tokens of a row at most, prompt and answer
    lists: int = 20_000  # list tasks beside the model's own answers
    share: float = 0.3  # of a step's rows that are lists
    rate: float = 3e-4
    last: float = 0.1  # of the rate, at the end
    warm: int = 50  # steps
    average: float = 0.999  # of the running average of weights
    held_out: float = 0.05  # of the model's own answers
    precision: str = "bf16"  # of products in training; or fp32
    device: str = "cpu"
    seed: int = 0
    blocks: tuple[tuple[int, float], ...] = ((8, 0.35), (16, 0.3), (32, 0.25), (WHOLE, 0.1))  # and how often


@dataclass
class Data:
    """Rows to train on, and rows that are kept apart."""

    own: list[Row]
    lists: list[Row]
    held: list[Row]

    def draw(self, count: int, share: float, source: np.random.Generator) -> list[Row]:
        """So many rows of a step; neighbours are about as long."""
        few = round(count * share) if self.own else count
        parts = ((self.lists, few), (self.own, count - few))
        rows = [some[i] for some, n in parts if some for i in source.integers(len(some), size=n)]
        return sorted(rows, key=len)


def gathered(config: Config, texts: Sequence[str], out: Path, say: Say) -> Data:
    """Answers of the model, written on first use and kept in the folder, and lists."""
    model = anyorder.load(config.model, precision=config.precision, device=config.device)
    at_once = 256 if config.device == "cuda" else 8
    own = answered(model, texts, config.length, at_once, out / "answers.jsonl", say)
    made = [row for row in edited(model, examples(config.lists, config.seed)) if len(row) <= config.length]
    apart = math.ceil(config.held_out * len(own))
    held = own[:apart] or edited(model, examples(config.at_once, config.seed + 1))
    say(f"{len(own)} own answers of {sum(map(len, own))} tokens, {len(made)} lists")
    return Data(own[apart:], made, held)


def reserved(tokenizer: Any, rows: Sequence[Row]) -> int:
    """A special token that stands for nothing here: the last one that neither rows nor ends use. Raises
    UserError."""
    busy = {t for row in rows for t in (*row.prompt, *row.answer)}
    busy |= {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
    free = [i for i, token in tokenizer.added_tokens_decoder.items() if token.special and i not in busy]
    if not free:
        raise UserError(
            "the tokenizer has no special token that is free to be the mask; needed is one that no text "
            "uses; name its id with --mask"
        )
    return max(free)


# training ---------------------------------------------------------------------------------------------------


@dataclass
class State:
    """A training run, as it is kept."""

    module: Any
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0

    def save(self, file: Path) -> None:
        weights, moments = self.module.state_dict(), self.optimizer.state_dict()
        torch.save((weights, moments, self.average, self.step, self.seconds), file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)

    def load(self, file: Path) -> None:
        where = next(self.module.parameters()).device
        kept = torch.load(file, weights_only=True, map_location=where)
        weights, moments, self.average, self.step, self.seconds = kept
        self.module.load_state_dict(weights)
        self.optimizer.load_state_dict(moments)


def begun(module: Any, config: Config) -> State:
    module.requires_grad_(True).train()
    decay = [p for p in module.parameters() if p.ndim == 2]
    rest = [p for p in module.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    state = State(module, torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.95)))
    state.average = {name: p.detach().clone() for name, p in module.named_parameters()}
    return state


def done(state: State, config: Config) -> float:
    """The share of the budget that is spent."""
    return state.step / config.steps if config.steps else state.seconds / (60 * config.minutes)


def rate(state: State, config: Config) -> float:
    """Warm-up in steps, cosine in elapsed time."""
    fall = (1 + math.cos(math.pi * min(1.0, done(state, config)))) / 2
    return config.rate * min(1.0, (state.step + 1) / config.warm) * (config.last + (1 - config.last) * fall)


def update(state: State, data: Data, config: Config, mask: int) -> tuple[float, float]:
    """One step; gives the masked and the left-to-right loss, nats per cell. Draws depend on the step only."""
    source = np.random.default_rng((config.seed, state.step))
    lengths, chances = zip(*config.blocks, strict=True)
    drawn = int(source.choice(lengths, p=chances))
    rows = data.draw(config.rows, config.share, source)
    parts = [rows[i : i + config.at_once] for i in range(0, len(rows), config.at_once)]
    said = np.zeros(2)
    for part in parts:
        block = drawn or max(len(row.answer) for row in part)
        noise = [noised(row, drawn or len(row.answer), source) for row in part]
        seen = laid(part, noise, block, mask, device=config.device)
        with torch.autocast(config.device, torch.bfloat16, enabled=config.precision == "bf16"):
            masked, plain = loss(state.module, seen, mask)
        ((masked + plain) * (len(part) / len(rows))).backward()
        said += np.array([masked.item(), plain.item()]) * len(part) / len(rows)
    torch.nn.utils.clip_grad_norm_(state.module.parameters(), 1.0)
    for group in state.optimizer.param_groups:
        group["lr"] = rate(state, config)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1
    follow(state, config)
    return float(said[0]), float(said[1])


@torch.no_grad()
def follow(state: State, config: Config) -> None:
    """Move the average of the weights; in the first steps it is of few, so that it does not stay behind."""
    share = min(config.average, (1 + state.step) / (10 + state.step))
    for name, weight in state.module.named_parameters():
        state.average[name].lerp_(weight, 1 - share)


def train(
    state: State, data: Data, config: Config, mask: int, file: Path, say: Say, every: float = 180
) -> None:
    """Trains to the end of the budget, with a checkpoint every so many seconds."""
    if file.exists():
        state.load(file)
        say(f"goes on from step {state.step}")
    last = kept = told = monotonic()
    seen: list[tuple[float, float]] = []
    while done(state, config) < 1:
        seen.append(update(state, data, config, mask))
        now = monotonic()
        state.seconds, last = state.seconds + now - last, now
        if now - told > 15 or done(state, config) >= 1:
            masked, plain = np.mean(seen, 0)
            spent = f"{state.seconds / 60:.1f} min"
            say(f"step {state.step}  {spent}  masked {masked:.3f}  left to right {plain:.3f}")
            seen, told = [], now
        if now - kept > every:
            state.save(file)
            kept = now
    state.save(file)


# what is kept -----------------------------------------------------------------------------------------------


def save(state: State, tokenizer: Any, mask: int, out: Path) -> Any:
    """The average of the weights as an ordinary checkpoint that says how it is asked; the module."""
    module = copy.deepcopy(state.module).eval()
    with torch.no_grad():
        for name, weight in module.named_parameters():
            weight.copy_(state.average[name])
    module.config.anyorder = {"mask": mask, "attention": "hybrid", "shift": True, "block": 0}
    with quiet():
        module.save_pretrained(out)
        tokenizer.save_pretrained(out)
    return module


def made(
    config: Config, texts: Sequence[str], out: Path, say: Say, mask: int | None = None
) -> dict[str, Any]:
    """Answers, trains, saves and judges; what the gates say, and the run's numbers. Raises UserError."""
    out.mkdir(parents=True, exist_ok=True)
    data = gathered(config, texts, out, say)
    module, tokenizer = load(config.model, "fp32", config.device)
    mask = reserved(tokenizer, data.own + data.lists) if mask is None else mask
    give_back()
    held = data.held[:HELD]
    before = measured(module, held, mask, config.device)
    state, start = begun(module, config), monotonic()
    train(state, data, config, mask, out / "state.pt", say)
    after = measured(save(state, tokenizer, mask, out), held, mask, config.device)
    del state, module
    facts = Facts(before, after, [row.prompt for row in held], examples(200, config.seed + 1))
    gates = judged(anyorder.load(str(out), precision="fp32", device=config.device), facts, config.length)
    for gate in gates:
        say(str(gate))
    (out / "state.pt").unlink()
    found = {"gates": [asdict(gate) for gate in gates], "measured": asdict(after)}
    run = {**found, "seconds": round(monotonic() - start), "mask": mask, "config": asdict(config)}
    (out / "blocks.json").write_text(json.dumps(run) + "\n", encoding="utf-8")
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m anyorder.recipes.smollm2_blocks", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--model", default=Config.model)
    parser.add_argument("--prompts", default="", help="JSON lines to be answered; empty: the package's own")
    parser.add_argument("--out", default="smollm2-blocks", help="folder of answers, checkpoint and model")
    parser.add_argument("--minutes", type=float, default=Config.minutes, help="of training")
    parser.add_argument("--steps", type=int, help="of training, instead of minutes")
    parser.add_argument("--rows", type=int, default=Config.rows, help="of a step")
    parser.add_argument("--at-once", type=int, default=Config.at_once, help="rows of one forward")
    parser.add_argument("--length", type=int, default=Config.length, help="tokens of a row at most")
    parser.add_argument("--lists", type=int, default=Config.lists, help="list tasks beside the answers")
    parser.add_argument("--mask", type=int, help="id of a token that no text uses")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default=Config.precision)
    parser.add_argument("--device", choices=("cpu", "cuda"), default=Config.device)
    given = parser.parse_args(arguments)
    own = {name: x for name, x in vars(given).items() if name not in ("prompts", "out", "mask")}
    try:
        run = made(
            Config(**own), prompts(given.prompts), Path(given.out),
            lambda line: print(line, file=sys.stderr, flush=True), given.mask,
        )  # fmt: skip
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
