"""What a model that fills blocks must still do, and what it must have learned: five gates.

1. left to right it says of held-out answers what it said before, less than 3 % worse
2. the first cell of a block is said as the causal model says it
3. one cell a step, blocks of 8: 90 % of lists are copied right
4. cells surer than 0.9 at once: more than 1.5 tokens of text for each run
5. without its cache it writes the same
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from anyorder.api import Model, Result
from anyorder.core.decode import decode
from anyorder.recipes.dual_stream import all_hidden, laid, states, surprise
from anyorder.recipes.own_answers import Row, asked
from anyorder.tasks import lists
from anyorder.testing.exactness import Forgetful

WORSE, APART, COPIED, TOKENS, BLOCK = 1.03, 0.05, 0.9, 1.5, 8
AT_ONCE, MOST = 8, 32  # rows of a forward; prompts that are decoded


@dataclass(frozen=True)
class Gate:
    """One demand, and what was found."""

    name: str
    found: float
    wanted: str
    passed: bool
    beside: Mapping[str, float]  # numbers that are reported with it

    def __str__(self) -> str:
        more = "".join(f"; {name} {value:.3f}" for name, value in self.beside.items())
        return f"{'passed' if self.passed else 'FAILED'}  {self.name}: {self.found:.4f}, {self.wanted}{more}"


@dataclass(frozen=True)
class Measured:
    """Nats per token of held-out answers, a block wholly hidden."""

    plain: float  # from left to right
    slot: tuple[float, ...]  # cell of the block -> as a block says it
    first: float  # the largest difference of the two, at first cells of a block
    unigram: float  # entropy of the answers' tokens: what saying without looking costs


@dataclass(frozen=True)
class Facts:
    """What the gates are judged by."""

    before: Measured
    after: Measured
    prompts: Sequence[Sequence[int]]  # held out
    lists: Sequence[lists.Example]


@torch.no_grad()
def measured(module: Any, rows: Sequence[Row], mask: int, device: str, block: int = BLOCK) -> Measured:
    """How a model says held-out answers, as text and as blocks of holes."""
    plain: list[float] = []
    slots: list[list[float]] = [[] for _ in range(block)]
    off = 0.0
    for i in range(0, len(rows), AT_ONCE):
        part = rows[i : i + AT_ONCE]
        noise = [all_hidden(row, block) for row in part]
        seen = laid(part, noise, block, mask, device=device, copies=1)
        hidden = states(module, seen)
        texts = torch.cat(list(surprise(module, hidden, seen.plain))).split([len(row.answer) for row in part])
        cells = torch.cat(list(surprise(module, hidden, seen.masked, mask)))
        for text, filled in zip(texts, cells.split([len(one.answer) for one in noise]), strict=True):
            real = filled[: len(text)]  # without the ends of text that fill the last block
            off = max(off, float((text - real)[::block].abs().max()))
            plain += text.tolist()
            for slot, found in enumerate(slots):
                found += real[slot::block].tolist()
    count = np.unique([t for row in rows for t in row.answer], return_counts=True)[1] / len(plain)
    mean = tuple(float(np.mean(found)) for found in slots if found)
    return Measured(float(np.mean(plain)), mean, off, float(-(count * np.log(count)).sum()))


def judged(model: Model, facts: Facts, length: int) -> list[Gate]:
    """All five. `length`: most tokens of a text, prompt and answer."""
    before, after = facts.before, facts.after
    worse, first = after.plain / before.plain, after.first
    slots = {"second cell": after.slot[1], "before": before.slot[1], "unigram entropy": after.unigram}
    return [
        Gate("left to right, against before", worse, f"below {WORSE}", worse < WORSE, {"nats": after.plain}),
        Gate("first cell of a block, off by", first, f"below {APART} nats", first < APART, slots),
        _copies(model, facts.lists),
        *_texts(model, facts.prompts[:MOST], length),
    ]


def _copies(model: Model, some: Sequence[lists.Example]) -> Gate:
    copies = [one for one in some if one.task == "copy"][:MOST]
    said = [model.generate(asked(one), "static", block=BLOCK, max_tokens=4 * BLOCK) for one in copies]
    right = np.mean([
        lists.accepted(one, [name.strip() for name in result.text.split(",")])
        for one, result in zip(copies, said, strict=True)
    ])  # fmt: skip
    return Gate("lists copied", float(right), f"{COPIED} or more", bool(right >= COPIED), {})


def _texts(model: Model, prompts: Sequence[Sequence[int]], length: int) -> list[Gate]:
    """Held-out prompts decoded in several ways."""
    fast, same, kept = [], [], []
    for ids in prompts:
        given = {"max_tokens": max(BLOCK, length - len(ids))}
        greedy = model.generate(ids, "greedy", **given)
        quick = model.generate(ids, "threshold", threshold=0.9, block=4 * BLOCK, **given)
        fast.append(_content(model, quick) / quick.runs)
        slow = model.generate(ids, "static", block=BLOCK, **given)
        same.append(_agree(greedy.token_ids, slow.token_ids))
        kept.append(_uncached(model, ids, block=BLOCK, **given) == slow.token_ids)
    tokens, like = float(np.mean(fast)), {"like greedy's": float(np.mean(same))}
    return [
        Gate("tokens a run", tokens, f"{TOKENS} or more", tokens >= TOKENS, like),
        Gate("same without a cache", float(np.mean(kept)), "all", all(kept), {"texts": len(kept)}),
    ]


def _content(model: Model, result: Result) -> int:
    """Tokens that are no ends of text."""
    return sum(t not in model.eos for t in result.token_ids)


def _agree(one: Sequence[int], other: Sequence[int]) -> float:
    """The share of tokens before the first difference."""
    count = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    return count / max(len(one), len(other))


def _uncached(model: Model, ids: Sequence[int], **given: Any) -> list[int]:
    """What static unmasking writes if every run computes everything anew."""
    request = model.request(ids, "static", **given)
    request.nets = {name: Forgetful(net) for name, net in request.nets.items()}
    for _ in decode([request]):
        pass
    return request.canvas.generated()
