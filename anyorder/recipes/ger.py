"""Fine-tune a causal model to correct N-best lists (H2T of HyPoradise, arXiv:2309.15701).

    python -m anyorder.recipes.ger --data train.jsonl --out corrector             # LoRA, as in H2T-LoRA
    python -m anyorder.recipes.ger --data train.jsonl --out corrector --lora 0    # all weights, as in H2T-ft
    anyorder correct test.jsonl --way tuned --model corrector

The lists need references (`anyorder.nbest.lists` says how files look). Trained is the text of
`nbest.prompts.task` with the reference as its response, the prompt's tokens included, as in the paper.
Low-rank changes are added to the weights at the end, so the folder is a stock checkpoint with its tokenizer.

From the paper: rank 16, alpha 16, dropout 0.05 on q, k, v and o; learning rate 2e-4; 10 epochs; 256 lists
a step; 512 tokens at most. Ours: a base of any size at fp32 (the paper's is LLaMA-7B in 8 bits); 8 lists side
by side instead of 64, for smaller memories; warm-up over a twentieth of the steps and linear decay; longer
lists are left out, not cut; full fine-tuning of the same causal model at 2e-5 (the paper's is a T5-large).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from anyorder.errors import UserError
from anyorder.nbest import NBest, read
from anyorder.nbest.lists import referenced
from anyorder.nbest.prompts import task
from anyorder.nets.load import load

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
IGNORED = -100  # a target that is no token: padding

Say = Callable[[int, int, float], None]  # step, of how many, its loss


@dataclass(frozen=True)
class Config:
    """Everything that can change the weights that come out."""

    rank: int = 16  # of the low-rank changes; 0: all weights are trained
    alpha: float = 16
    dropout: float = 0.05
    rate: float = 2e-4
    epochs: int = 10
    steps: int | None = None  # instead of epochs
    batch: int = 256  # lists of a step
    side_by_side: int = 8  # of these
    cutoff: int = 512  # tokens of a list
    n: int = 5  # hypotheses of a list
    seed: int = 0


def lora(rank: int = 16) -> Config:
    """H2T-LoRA."""
    return Config(rank=rank)


def full() -> Config:
    """H2T-ft."""
    return replace(lora(0), dropout=0.0, rate=2e-5)


class LowRank(nn.Module):
    """A linear layer, frozen, and a trained change of low rank: W x + alpha/r B A x (arXiv:2106.09685)."""

    def __init__(self, base: nn.Linear, config: Config, chance: torch.Generator):
        super().__init__()
        self.base, self.scale = base, config.alpha / config.rank
        self.dropout = nn.Dropout(config.dropout)
        down = torch.randn(config.rank, base.in_features, generator=chance) / math.sqrt(base.in_features)
        self.down = nn.Parameter(down.to(base.weight))  # A [r, D]
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, config.rank))  # B: no change at first

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.dropout(x) @ self.down.T @ self.up.T * self.scale

    def merged(self) -> nn.Linear:
        """The layer with the change in its weights."""
        with torch.no_grad():
            self.base.weight += self.scale * self.up @ self.down
        return self.base


def opened(module: nn.Module, config: Config) -> list[nn.Parameter]:
    """What will be trained: all weights, or changes put beside the attention's. Raises UserError."""
    module.requires_grad_(config.rank == 0)
    if config.rank:
        chance = torch.Generator().manual_seed(config.seed)
        places = [
            (parent, name)
            for parent in module.modules()
            for name, child in parent.named_children()
            if name in ATTENTION and isinstance(child, nn.Linear)
        ]
        if not places:
            raise UserError(
                f"{type(module).__name__} has no layers named {', '.join(ATTENTION)}; low-rank training is "
                "for models that have; train all weights by --lora 0"
            )
        for parent, name in places:
            setattr(parent, name, LowRank(getattr(parent, name), config, chance))
    return [weight for weight in module.parameters() if weight.requires_grad]


def merge(module: nn.Module) -> None:
    """Put every low-rank change into its weights; the module is a stock one again."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRank):
                setattr(parent, name, child.merged())


def spelled(tokenizer: Any, end: int, lists: Sequence[NBest], config: Config) -> list[list[int]]:
    """Prompt, response and end of each list as tokens, without those that are too long. Raises UserError."""
    texts = []
    for one in lists:
        prompt = list(tokenizer(task(one.texts))["input_ids"])  # as `Model.encode` does when it is decoded
        response = list(tokenizer(one.reference, add_special_tokens=False)["input_ids"])
        texts.append([*prompt, *response, end])
    kept = [text for text in texts if len(text) <= config.cutoff]
    if not kept:
        shortest = min(map(len, texts))
        raise UserError(
            f"no list has at most {config.cutoff} tokens, the shortest has {shortest}; allow more by --cutoff"
        )
    return kept


def order(count: int, config: Config) -> Iterator[list[int]]:
    """The lists of each step: each once an epoch, in an order of its own."""
    size = min(config.batch, count)
    steps = config.steps or config.epochs * math.ceil(count / size)
    chance, waiting = random.Random(config.seed), list[int]()
    for _ in range(steps):
        if not waiting:
            waiting = list(range(count))
            chance.shuffle(waiting)
        yield waiting[:size]
        waiting = waiting[size:]


def padded(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """[H, K] tokens and [H, K] which of them are real."""
    longest = max(map(len, texts))
    tokens = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts], device=device)
    real = torch.tensor([[i < len(text) for i in range(longest)] for text in texts], device=device)
    return tokens, real


def loss_of(module: Any, texts: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Sum over the texts' tokens of -log p, prompt tokens included."""
    tokens, real = padded(texts, device)
    logits = module(input_ids=tokens, attention_mask=real.long(), use_cache=False).logits
    targets = tokens.masked_fill(~real, IGNORED)[:, 1:]
    return cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets.flatten(), reduction="sum")


def train(module: Any, texts: Sequence[list[int]], config: Config, say: Say) -> list[float]:
    """Train the module in place; a token's mean loss at each step. Ctrl-C ends it with what is learnt."""
    weights, device = opened(module, config), next(module.parameters()).device
    steps = list(order(len(texts), config))
    optimizer = torch.optim.AdamW(weights, lr=config.rate, weight_decay=0.0)
    warm = max(1, len(steps) // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (len(steps) - step) / max(1, len(steps) - warm))
    )
    losses: list[float] = []
    with torch.random.fork_rng():  # dropout draws from torch's own stream
        torch.manual_seed(config.seed)
        module.train()
        try:
            for step, places in enumerate(steps, start=1):
                count, total = sum(len(texts[i]) - 1 for i in places), 0.0
                for start in range(0, len(places), config.side_by_side):
                    some = [texts[i] for i in places[start : start + config.side_by_side]]
                    loss = loss_of(module, some, device) / count
                    loss.backward()
                    total += float(loss.detach())
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
                losses.append(total)
                say(step, len(steps), total)
        except KeyboardInterrupt:
            print(f"stopped after {len(losses)} of {len(steps)} steps", file=sys.stderr)
    module.eval()
    merge(module)
    module.requires_grad_(False)
    return losses


def tuned(
    model: str, data: str, out: str, config: Config, say: Say = lambda *_: None, device: str = "cpu"
) -> dict[str, Any]:
    """Train, save, and say what was done. Raises UserError."""
    folder = Path(out).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"folder {out} holds something; allowed is a new or empty one; give another by --out")
    lists = referenced(read(data, config.n, config.seed))
    if not lists:
        raise UserError(f"{data} has no list with a reference, and training needs what was said; add some")
    module, tokenizer = load(model, "fp32", device)
    texts = spelled(tokenizer, _end(module, tokenizer), lists, config)
    losses = train(module, texts, config, say)
    if not losses:
        raise UserError("stopped before the first step; nothing was learnt and nothing saved; start again")
    folder.mkdir(parents=True, exist_ok=True)
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    done = {
        **asdict(config), "model": model, "data": data, "lists": len(texts),
        "too_long": len(lists) - len(texts), "steps": len(losses), "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4), "folder": str(folder),
    }  # fmt: skip
    (folder / "ger.json").write_text(json.dumps(done, indent=1) + "\n")
    return done


def _end(module: Any, tokenizer: Any) -> int:
    """The token with which the model ends a text."""
    found = getattr(module.generation_config, "eos_token_id", None)
    found = tokenizer.eos_token_id if found is None else found
    if found is None:
        raise UserError("the model names no token that ends a text; a corrector learns one; choose another")
    return found[0] if isinstance(found, list) else found


def asked(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m anyorder.recipes.ger", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", required=True, help="lists with references, JSON lines")
    parser.add_argument("--out", required=True, help="folder of the trained checkpoint")
    parser.add_argument("--model", default="smollm2", help="short name, hub id, folder or GGUF file")
    parser.add_argument("--lora", type=int, default=16, help="rank of the changes; 0: train all weights")
    parser.add_argument("--steps", type=int, help="instead of 10 epochs")
    parser.add_argument("--batch", type=int, default=Config.batch, help="lists of a step")
    parser.add_argument("--rate", type=float, help="learning rate; default 2e-4, of all weights 2e-5")
    parser.add_argument("--cutoff", type=int, default=Config.cutoff, help="leave out lists with more tokens")
    parser.add_argument("--n", type=int, default=Config.n, help="hypotheses of a list that count")
    parser.add_argument("--seed", type=int, default=0, help="of the order, the start and the dropout")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser.parse_args(words)


def configured(given: argparse.Namespace) -> Config:
    """Raises UserError."""
    for name, least in (("lora", 0), ("steps", 1), ("batch", 1), ("cutoff", 2), ("n", 1)):
        value = getattr(given, name)
        if value is not None and value < least:
            raise UserError(f"--{name} is {value}; allowed is {least} or more; choose a larger number")
    if given.rate is not None and not 0 < given.rate < math.inf:
        raise UserError(f"--rate is {given.rate}; allowed is a number above 0; for example 2e-4")
    config = lora(given.lora) if given.lora else full()
    return replace(
        config, rate=given.rate or config.rate, steps=given.steps, batch=given.batch, cutoff=given.cutoff,
        n=given.n, seed=given.seed,
    )  # fmt: skip


def main(words: Sequence[str] | None = None) -> None:
    from rich.console import Console
    from rich.progress import Progress
    from transformers.utils import logging

    given = asked(words)
    logging.disable_progress_bar()  # ours shows the steps
    try:
        config = configured(given)
        with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
            bar = progress.add_task("training", total=None)

            def say(step: int, steps: int, loss: float) -> None:
                progress.update(bar, completed=step, total=steps, description=f"loss {loss:.3f}")

            done = tuned(given.model, given.data, given.out, config, say, given.device)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(json.dumps(done))


if __name__ == "__main__":
    main()
