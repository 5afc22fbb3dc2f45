"""Readers: from an answer to something small. The only place where methods meet tensors.

A reader gets the shaped answer and the request's chance, and returns a list of small results over live rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Reader


def together(reader: Reader) -> Reader:
    """Marks a reader that draws nothing and gives a list over rows (a tuple of such, None): read at once."""
    reader.together = True  # type: ignore[attr-defined]
    return reader


def read_together(reader: Reader, answers: Sequence[Answer]) -> list[Any]:
    """What the reader says of each answer, from one reading of all."""
    if len(answers) == 1:
        return [reader(answers[0], Chance())]
    rows, ends, lines = [], [0], 0
    for answer in answers:
        rows += [replace(mine, start=mine.start + lines) for mine in answer.rows]
        lines += len(answer.logits)
        ends.append(len(rows))
    said = reader(Answer(_side_by_side([answer.logits for answer in answers]), tuple(rows)), Chance())
    return [_share(said, slice(a, b)) for a, b in pairwise(ends)]


def _share(said: Any, rows: slice) -> Any:
    return tuple(_share(one, rows) for one in said) if isinstance(said, tuple) else said and said[rows]


def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """The parts as one tensor; not copied where they lie one after the other, as a net leaves them."""
    first, place = parts[0], parts[0].storage_offset()
    for x in parts:
        if x.data_ptr() != first.data_ptr() + (place - first.storage_offset()) * x.itemsize:
            return torch.cat(list(parts))
        place += x.numel()
    return first.as_strided((sum(map(len, parts)), first.shape[1]), first.stride())


def ends(answer: Answer) -> Tensor:
    """[L, V] the lines that speak about the cell after each live row's text."""
    if len(answer.rows) == len(answer.logits):
        return answer.logits
    return answer.logits[[lines.start for lines in answer.rows]]


PART = 128  # tokens; torch looks for a maximum quicker than for its place


def likeliest(logits: Tensor) -> Tensor:
    """[M] the likeliest token of each line; the lowest id where several are likeliest."""
    if logits.shape[1] % PART:
        return logits.argmax(-1)
    parts = logits.reshape(len(logits), -1, PART)
    where = parts.amax(-1).argmax(-1)
    return where * PART + parts[torch.arange(len(parts), device=where.device), where].argmax(-1)


def top(logits: Tensor, k: int) -> Tensor:
    """[M, k] the likeliest tokens of each line, best first: the parts that may hold one, then these alone."""
    if logits.shape[1] % PART or logits.shape[1] < k * PART:
        return logits.topk(k)[1]
    parts = logits.reshape(len(logits), -1, PART)
    where = parts.amax(-1).topk(k)[1]
    index = parts.gather(1, where[..., None].expand(-1, -1, PART)).flatten(1).topk(k)[1]
    return where.gather(1, index // PART) * PART + index % PART


@together
def argmax(answer: Answer, chance: Chance) -> list[int]:
    """The likeliest next token of each live row; the lowest id where several are likeliest."""
    return likeliest(ends(answer)).tolist()


def sample(answer: Answer, chance: Chance) -> list[int]:
    """A draw from each live row's next-token law."""
    return [chance.pick(x, lines.row, lines.position(0)) for x, lines in zip(ends(answer), answer.rows)]


def log_probs(answer: Answer, chance: Chance) -> Tensor:
    """[L, V] log-probabilities of each live row's next token, at least float32."""
    logits = ends(answer)
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


@together
def every_argmax(answer: Answer, chance: Chance) -> list[np.ndarray]:
    """For each live row: [lines] the likeliest token after its end and after each guess."""
    best = likeliest(answer.logits).cpu().numpy()
    return [best[lines.start : lines.start + lines.count] for lines in answer.rows]


@cache
def every_top(k: int) -> Reader:
    """For each live row: [lines, k] the likeliest tokens after its end and after each guess, best first."""

    @together
    def read(answer: Answer, chance: Chance) -> list[np.ndarray]:
        best = top(answer.logits, k).cpu().numpy()
        return [best[lines.start : lines.start + lines.count] for lines in answer.rows]

    return read


@together
def nothing(answer: Answer, chance: Chance) -> None:
    """For drafters that learn nothing from the target."""


@lru_cache
def both(first: Reader, second: Reader) -> Reader:
    """Two small results off one answer."""

    def read(answer: Answer, chance: Chance) -> tuple[Any, Any]:
        return first(answer, chance), second(answer, chance)

    alike = getattr(first, "together", False) and getattr(second, "together", False)
    return together(read) if alike else read
