"""How likely a model finds each of several texts: one run of the target reads all of them, as a tree.

Shared beginnings are read once. The request's canvas then holds the texts as its rows, with their
log-probabilities as scores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, decode
from anyorder.core.types import Answer, Ask, Commit, Flow, Method
from anyorder.errors import UserError
from anyorder.trees import branches

if TYPE_CHECKING:
    from anyorder.api import Model


def node_log_probs(answer: Answer, chance: Chance) -> list[list[float]]:
    """For each live row: [N] the log-probability of each guessed token after the path to it."""
    laws = answer.logits.log_softmax(-1, dtype=torch.promote_types(answer.logits.dtype, torch.float32))
    found = []
    for lines in answer.rows:
        before = [lines.start + 1 + parent for parent in lines.tree.parent]  # -1: the line of the row's end
        found.append(laws[before, list(lines.tree.token)].tolist())
    return found


def judged(paths: Sequence[Sequence[int]]) -> Method:
    """A method that writes each path as a row and scores it: log p(path | text)."""

    def run(canvas: Canvas) -> Flow:
        tree = branches(paths)
        (logp,) = yield Ask(node_log_probs, guess=(tree,))
        total: dict[tuple[int, ...], float] = {(): 0.0}
        for node, parent in enumerate(tree.parent):
            path = tuple(tree.path(node))
            total[path] = total[tuple(tree.path(parent))] + logp[node]
        score = tuple(total[tuple(path)] for path in paths)
        yield Commit(paths, parents=(0,) * len(paths), score=score)

    return run


def log_likelihoods(
    model: Model, groups: Sequence[Sequence[str]], context: str
) -> Iterator[list[tuple[float, int]]]:
    """For each group of texts: log p(text | context) in nats and the number of tokens of each. All groups are
    read side by side. Raises UserError."""
    if "tree" not in model.target.can:
        raise UserError(
            f"{model.name} misreads texts that stand side by side, so it cannot judge several hypotheses; "
            "allowed are other models, or a way that writes: zero_shot, few_shot, tuned"
        )
    before, requests, lengths = model.encode(context), [], []
    for texts in groups:
        paths = [list(model.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
        longest = max(map(len, paths))
        if len(before) + longest > model.target.context:
            raise UserError(
                f"a hypothesis and its context have {len(before) + longest} tokens; {model.name} holds "
                f"{model.target.context}; leave out the list that begins with {texts[0][:40]!r}"
            )
        requests.append(Request(Canvas(before, longest), judged(paths), {"target": model.target}))
        lengths.append([len(path) for path in paths])
    for _ in decode(deque(requests)):
        pass
    for request, counts in zip(requests, lengths, strict=True):
        yield list(zip(request.canvas.score, counts, strict=True))
