"""Train the shipped diffusion model from nothing: edits of waiting lists, Latin squares, small sudokus.

    python -m anyorder.recipes.list_diffusion                        # 65 minutes on one core
    python -m anyorder.recipes.list_diffusion --minutes 10 --out trial

A masked diffusion model (LLaDA, arXiv:2502.09992, equation 3): cells of the answer are masked with
probability t, and the model is to say them, weighted 1/t. The expected loss is at least the entropy of the
right answers, which is known for these tasks, so `gap` says how far there is to go. Some visible cells are
wrong and are to be put right (ReDiff, arXiv:2510.19871, stage 1), so that methods that revise can.

The model is a Llama whose cells see each other in both directions; M is an ordinary word, and a cell speaks
for itself. Rows are generated as they are needed; no row is seen twice. The same command goes on from the
last checkpoint if it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from anyorder.nets.load import quiet
from anyorder.recipes.two_way_llama import Ready, Shape, fresh, logits, ready, states
from anyorder.tasks import latin, lists, sudoku
from anyorder.tasks.batches import CANVAS, HARD, PUZZLE, UNIFORM, Group, Mix, batch
from anyorder.tasks.lists import Example
from anyorder.tasks.rules import accepted
from anyorder.tasks.vocabulary import END, IDS, MASK, NAMES, STOP, WORDS, tokenizer

ANSWERS = np.array([IDS[END], *range(IDS[sudoku.BLANK] + 1, len(WORDS))])  # what an answer is made of
README = """# list-diffusion

A masked diffusion model that edits lists of names, fills 4 x 4 sudokus and writes Latin squares. It knows
{words} words: a test vehicle, not a language model. Its cells see each other in both directions, a cell
speaks for itself, and `{mask}` marks a cell to be filled.

    insert_index Zoe 1: Ann, Ben =          ->  Ann Zoe Ben

Trained from nothing by `python -m anyorder.recipes.list_diffusion`: {note}
"""
FIGURES = """
Share of right answers to held-out questions, lists of 3 to 6 names, on a canvas of 8 cells (puzzles: 16).
static, the surest cell a run; threshold, all cells surer than 0.9; wide, the same on 64 cells; two, the two
surest cells a run; once, all cells in one run; sampled, the same from their laws, where cells of a task with
many right answers cannot agree.

```
{table}
```"""


@dataclass(frozen=True)
class Config(Shape):
    """Everything that can change the weights that come out."""

    minutes: float = 65
    steps: int | None = None  # instead of minutes: the same weights each time
    rows: int = 256
    rate: float = 1.5e-3
    warm: int = 200  # steps
    constant: float = 0.6  # of the budget; then linear
    last: float = 0.02  # of the rate
    hard: float = 0.4  # of the budget; then half of the lists are of the tasks with many answers, and
    puzzles: float = 0.2  # of the rows are puzzles
    least: float = 0.02  # t
    noisy: float = 0.2  # of rows
    noise: float = 0.05  # of a noisy row's visible cells
    corrected: float = 2.0  # weight of a wrong visible cell
    kept: float = 0.1  # weight of a right visible cell of a noisy row
    precision: str = "bf16"  # of products in training; or fp32


class Loss(NamedTuple):
    """Sums over rows, as nats per cell of a canvas of 8."""

    all: Tensor
    masked: float  # the diffusion loss alone
    floor: float  # what it is at best


# the loss ---------------------------------------------------------------------------------------------------


class Noised(NamedTuple):
    """A group's rows as the model sees them, and how much each cell's saying counts."""

    ids: np.ndarray  # [R, P + G]
    masked: np.ndarray  # [R, G] 1/t for masked cells
    visible: np.ndarray  # [R, G] for visible cells


def noised(group: Group, t: np.ndarray, config: Config, source: np.random.Generator) -> Noised:
    """Masks each cell of the answers with probability t [R], and puts wrong words into visible ones."""
    prompt, answer, _ = group
    shape = answer.shape
    masked = source.random(shape) < t[:, None]
    noisy = ~masked & (source.random(len(t)) < config.noisy)[:, None]
    wrong = noisy & (source.random(shape) < config.noise)
    shown = np.take_along_axis(prompt, source.integers(1, prompt.shape[1] - 1, size=shape), 1)
    other = np.where(source.random(shape) < 0.5, shown, ANSWERS[source.integers(len(ANSWERS), size=shape)])
    seen = np.where(masked, IDS[MASK], np.where(wrong, other, answer))
    counts = np.where(wrong, config.corrected, noisy * config.kept)
    return Noised(np.concatenate([prompt, seen], 1), masked / t[:, None], counts)


def loss(net: Ready, group: Group, t: np.ndarray, config: Config, source: np.random.Generator) -> Loss:
    """Of a group's rows at masking rates t [R]."""
    seen = noised(group, t, config, source)
    counts = seen.masked + seen.visible
    row, cell = map(torch.from_numpy, np.nonzero(counts))
    if not len(row):
        return Loss(torch.zeros(()), 0.0, float(group.floor.sum()) / CANVAS)
    hidden = states(net, torch.from_numpy(seen.ids))[row, cell + group.prompt.shape[1]]
    said = functional.cross_entropy(
        logits(net, hidden), torch.from_numpy(group.answer)[row, cell], reduction="none"
    )
    count, masked = (torch.from_numpy(c).float()[row, cell] / CANVAS for c in (counts, seen.masked))
    return Loss(
        (said * count).sum(), float((said.detach() * masked).sum()), float(group.floor.sum()) / CANVAS
    )


# training ---------------------------------------------------------------------------------------------------


@dataclass
class State:
    """A training run, as it is kept."""

    net: Any
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    def save(self, file: Path) -> None:
        parts = self.net.state_dict(), self.optimizer.state_dict(), self.step, self.seconds
        torch.save(parts, file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)

    def load(self, file: Path) -> None:
        weights, moments, self.step, self.seconds = torch.load(file, weights_only=True)
        self.net.load_state_dict(weights)
        self.optimizer.load_state_dict(moments)


def begun(config: Config) -> State:
    net = fresh(config)
    decay = [p for p in net.parameters() if p.ndim == 2]
    rest = [p for p in net.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    return State(net, torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.98), fused=True))


def done(state: State, config: Config) -> float:
    """The share of the budget that is spent."""
    return state.step / config.steps if config.steps else state.seconds / (60 * config.minutes)


def rate(state: State, config: Config) -> float:
    """Warm-up, constant, then linear to the last."""
    left = max(0.0, 1 - done(state, config)) / (1 - config.constant)
    return config.rate * min(1.0, (state.step + 1) / config.warm) * max(config.last, min(1.0, left))


def mix(state: State, config: Config) -> Mix:
    if done(state, config) < config.hard:
        return Mix(UNIFORM)
    return Mix({name: share / 2 + HARD.get(name, 0.0) / 2 for name, share in UNIFORM.items()}, config.puzzles)


def update(state: State, config: Config) -> tuple[float, float]:
    """One step; gives the diffusion loss and its floor, in nats per cell. Draws depend on the step alone."""
    source = np.random.default_rng((config.seed, state.step))
    groups = batch(config.rows, mix(state, config), source)
    rows = sum(len(group.floor) for group in groups)
    spread = (source.permutation(rows) + source.random(rows)) / rows
    t = config.least + (1 - config.least) * spread
    net, parts = ready(state.net, torch.bfloat16 if config.precision == "bf16" else torch.float32), []
    for group in groups:
        mine, t = t[: len(group.floor)], t[len(group.floor) :]
        parts.append(loss(net, group, mine, config, source))
    (torch.stack([part.all for part in parts]).sum() / rows).backward()
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 1.0)
    for part in state.optimizer.param_groups:
        part["lr"] = rate(state, config)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1
    return sum(part.masked for part in parts) / rows, sum(part.floor for part in parts) / rows


def train(config: Config, out: Path, say: Callable[[str], None], every: float = 180.0) -> State:
    """Trains to the end of the budget, with a checkpoint in the folder every so many seconds."""
    state, file = begun(config), out / "state.pt"
    out.mkdir(parents=True, exist_ok=True)
    if file.exists():
        state.load(file)
        say(f"goes on from step {state.step}")
    last = kept = monotonic()
    seen: list[tuple[float, float]] = []
    while done(state, config) < 1:
        seen.append(update(state, config))
        now = monotonic()
        state.seconds, last = state.seconds + now - last, now
        if state.step % 100 == 0:
            masked, floor = np.mean(seen, 0)
            gap = masked - floor
            say(f"step {state.step}  {state.seconds / 60:.1f} min  loss {masked:.4f}  gap {gap:.4f}")
            seen.clear()
        if now - kept > every:
            state.save(file)
            save(state.net, out, "Not trained to the end.")
            kept = now
    state.save(file)
    return state


# what it can do ---------------------------------------------------------------------------------------------

Pick = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # p [R, G, V], holes [R, G] -> tokens and which


def surest(k: int) -> Pick:
    """The k surest cells."""

    def pick(p: Tensor, holes: Tensor) -> tuple[Tensor, Tensor]:
        sure, token = p.max(-1)
        best = sure.masked_fill(~holes, -1).topk(min(k, sure.shape[1])).indices
        return token, holes & torch.zeros_like(holes).scatter(1, best, True)

    return pick


def above(threshold: float) -> Pick:
    """Cells surer than the threshold, or the surest."""

    def pick(p: Tensor, holes: Tensor) -> tuple[Tensor, Tensor]:
        token, one = surest(1)(p, holes)
        return token, one | holes & (p.amax(-1) > threshold)

    return pick


def sampled(p: Tensor, holes: Tensor) -> tuple[Tensor, Tensor]:
    """Every cell from its own law."""
    source = torch.Generator().manual_seed(0)
    return torch.multinomial(p.flatten(0, 1), 1, generator=source).view(holes.shape), holes


@torch.no_grad()
def filled(net: Ready, prompts: Tensor, canvas: int, pick: Pick) -> Tensor:
    """[R, canvas] answers to prompts [R, P]."""
    ids = functional.pad(prompts, (0, canvas), value=IDS[MASK])
    answer = ids[:, prompts.shape[1] :]
    while (holes := answer == IDS[MASK]).any():
        p = logits(net, states(net, ids)[:, prompts.shape[1] :]).softmax(-1)
        token, now = pick(p, holes)
        answer[now] = token[now]
    return answer


def right(net: Ready, examples: Sequence[Example], canvas: int, pick: Pick) -> float:
    """The share of examples whose answers are accepted."""
    same: dict[int, list[tuple[Example, list[int]]]] = defaultdict(list)
    for one in examples:
        head = [part for part in (one.task, one.word, one.index) if part is not None]
        ids = [IDS[str(word)] for word in (*head, *one.items, STOP)]
        same[len(ids)].append((one, ids))
    count = 0
    for pairs in same.values():
        answers = filled(net, torch.tensor([ids for _, ids in pairs]), canvas, pick)
        for (one, _), answer in zip(pairs, answers.tolist(), strict=True):
            said = [WORDS[i] for i in answer]
            said = said[: said.index(END)] if END in said else said
            count += accepted(one, said)
    return count / len(examples)


def examples(count: int, seed: int) -> dict[str, list[Example]]:
    """So many of every task; lists of each length as often."""
    rng = random.Random(seed)
    found = {
        task: [lists.draw(task, lists.LENGTHS[i % 4], rng, NAMES) for i in range(count)]
        for task in lists.TASKS
    }
    found[latin.TASK] = [latin.draw(rng) for _ in range(count)]
    return found | {sudoku.TASK: [sudoku.draw(rng) for _ in range(count)]}


def figures(net: Any, count: int, seed: int = 1) -> dict[str, dict[str, float]]:
    """Task -> way of decoding -> share of right answers, on examples of another seed."""
    found, net = {}, ready(net)
    for task, some in examples(count, seed).items():
        canvas = CANVAS if task in lists.TASKS else PUZZLE
        found[task] = {
            "static": right(net, some, canvas, surest(1)),
            "threshold": right(net, some, canvas, above(0.9)),
            "wide": right(net, some, 64, above(0.9)),
            "two": right(net, some, canvas, surest(2)),
            "once": right(net, some, canvas, surest(canvas)),
            "sampled": right(net, some, canvas, sampled),
        }
    return found


# what is kept -----------------------------------------------------------------------------------------------


def save(net: Any, out: Path, note: str) -> None:
    """Weights, configuration, tokenizer and a README, as transformers reads them."""
    with quiet():
        net.save_pretrained(out)
        tokenizer().save_pretrained(out)
    (out / "README.md").write_text(README.format(words=len(WORDS), mask=MASK, note=note), encoding="utf-8")


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    ways = list(next(iter(found.values())))
    lines = [" ".join([f"{'task':16}", *(f"{way:>9}" for way in ways)])]
    lines += [f"{task:16} " + " ".join(f"{row[way]:9.3f}" for way in ways) for task, row in found.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m anyorder.recipes.list_diffusion", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=Config.minutes, help="of training")
    parser.add_argument("--steps", type=int, help="of training, instead of minutes")
    parser.add_argument("--out", default="list-diffusion", help="folder of checkpoint and model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--held-out", type=int, default=500, help="examples of each task at the end")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    config, out = Config(minutes=given.minutes, steps=given.steps), Path(given.out)
    state = train(config, out, lambda line: print(line, file=sys.stderr, flush=True))
    found = figures(state.net, given.held_out)
    note = f"{state.step} steps of {config.rows} rows, {state.seconds / 60:.0f} minutes on one core.\n"
    save(state.net, out, note + FIGURES.format(table=table(found)))
    (out / "state.pt").unlink()
    print(table(found))
    run = {"steps": state.step, "minutes": state.seconds / 60, "right": found, "config": asdict(config)}
    print(json.dumps(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
