"""Which of a net's blocks a draft can do without (Draft & Verify, arXiv:2309.08168; SWIFT, arXiv:2410.06916).

The net writes a few short texts; then block after block goes, each time the one without which the rest still
says most often what the whole net said there. A block's last score bounds how good its loss can be now, near
enough: only the few best of them are tried anew in each round (ours).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyorder.errors import UserError
from anyorder.folders import cache_folder
from anyorder.nets.causal import Body
from anyorder.nets.feed import Feed

PROMPTS = (
    "Explain in simple words why the sky is blue.",
    "Write a Python function that returns the n-th Fibonacci number.",
)
LENGTH = 32  # tokens that the net writes after each
TRIED = 3  # blocks tried in each round
FORMAT = 1  # of the file and of what is chosen

Text = tuple[list[int], list[int]]  # a prompt and what the net wrote after it
Score = tuple[int, float]  # how often both say the same, and how likely the net's tokens are


def without(skip: str, most: int) -> list[int]:
    """The blocks that are left if those of a list "4,7,9" go. Raises UserError."""
    try:
        gone = {int(part) for part in skip.split(",") if part.strip()}
    except ValueError:
        gone = {-1}
    if not gone <= set(range(most)) or not 0 < len(gone) < most:
        raise UserError(
            f"option skip is {skip!r}; allowed is auto or some, not all, of the blocks 0 to {most - 1}, by "
            "comma; choose blocks of this model"
        )
    return [i for i in range(most) if i not in gone]


@torch.inference_mode()
def chosen(some: Callable[[Sequence[int]], Body], texts: Sequence[Text], most: int, count: int) -> list[int]:
    """The blocks that are left when `count` of `most` went one by one. `some`: a body of some blocks."""
    left = list(range(most))
    true = [line.argmax(-1) for line in _laws(some(left), texts)]

    def score(gone: int) -> Score:
        said = _laws(some([i for i in left if i != gone]), texts)
        same = sum(int((a.argmax(-1) == b).sum()) for a, b in zip(said, true))
        sure = sum(float(a.log_softmax(-1).gather(1, b[:, None]).sum()) for a, b in zip(said, true))
        return same, sure

    scores = {block: score(block) for block in left}
    for _ in range(min(count, most - 1)):
        for block in sorted(left, key=scores.__getitem__, reverse=True)[:TRIED]:
            scores[block] = score(block)
        best = max(left, key=lambda block: (scores[block], -block))
        left.remove(best)
    return left


def _laws(body: Body, texts: Sequence[Text]) -> list[Tensor]:
    """For each text [tokens, V] what the body says where the net wrote, from one run over all."""
    feed = Feed()
    for family, (prompt, written) in enumerate(texts):
        way = feed.begin(array("i"), family)
        for length, token in enumerate([*prompt, *written[:-1]]):
            slot = len(feed)
            way = feed.step(way, length, slot)
            feed.add(token, slot, way, length + 1)
            if length >= len(prompt) - 1:
                feed.lines.append(slot)
    logits = body(feed, body.store(len(feed)))[0]
    return list(logits.split([len(written) for _, written in texts]))


# keeping ----------------------------------------------------------------------------------------------------


def kept(facts: Mapping[str, Any]) -> list[int] | None:
    """The blocks that were chosen under these facts before, or None."""
    try:
        said = json.loads(_file(facts).read_text(encoding="utf-8"))
        return [int(i) for i in said["blocks"]] if said["facts"] == facts else None
    except (OSError, ValueError, TypeError, KeyError):  # not there, or not a file of ours
        return None


def keep(facts: Mapping[str, Any], blocks: Sequence[int]) -> None:
    """Write the file whole or not at all; a cache folder that cannot be written keeps nothing."""
    file = _file(facts)
    scratch = file.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps({"facts": facts, "blocks": list(blocks)}) + "\n", encoding="utf-8")
        scratch.replace(file)


def _file(facts: Mapping[str, Any]) -> Path:
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "skip" / f"{key}.json"
