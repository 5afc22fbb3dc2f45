"""One forward that trains a causal model to fill blocks as well: clean text beside masked copies of it.

    clean     prompt  a0 a1 a2 a3 a4 a5 a6        plain causal
    noisy             M  a1 M  a3 | M  M  a6 E    a cell sees its own block, and clean text before the block
    opposite          a0 M  a2 M  | a4 a5 M  M    the same with the other cells masked

(BD3-LM, arXiv:2503.09573; complementary copies: Fast-dLLM v2, arXiv:2509.26328; causal clean text: WeDLM,
arXiv:2512.22737.) Copies have the positions of what they copy. A cell is predicted by the cell before it, as
in a causal model, so the first cell of a block is predicted by clean text: just what the causal model says.
That is attention "hybrid" with a shift, and so `nets.two_way` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from anyorder.recipes.own_answers import Row

CLEAN, NOISY, PAD = 0, 1, -1  # streams; the opposite copy is NOISY + 1
ROUND = 64  # cells of a row are a multiple of this, so that shapes are few
CHUNK = 2048  # lines whose logits are there at once
HEAVIEST = 20.0  # 1/γ at most


class Noise(NamedTuple):
    """What is hidden of one row's answer, which ends of text have filled up to whole blocks."""

    answer: np.ndarray  # [A]
    hidden: np.ndarray  # [A] bool
    share: np.ndarray  # [A] γ of the cell's block: the chance to be hidden


class Lines(NamedTuple):
    """Cells that are to be said."""

    row: Tensor  # [M]
    place: Tensor  # [M] where in the row the cell lies whose output says it
    target: Tensor  # [M]
    weight: Tensor  # [M]
    slot: Tensor  # [M] which cell of its block it is

    @property
    def mean(self) -> Tensor:
        """The weights, as shares of 1."""
        return self.weight / self.weight.sum().clamp(min=1e-9)


class Laid(NamedTuple):
    """Rows side by side, as one forward reads them."""

    ids: Tensor  # [R, N]
    position: Tensor  # [R, N]
    sees: Tensor  # [R, 1, N, N] bool
    masked: Lines  # hidden cells
    plain: Lines  # answers as the clean text says them, from left to right


def noised(row: Row, block: int, source: np.random.Generator) -> Noise:
    """Hide each cell of a block with a chance γ of the block's own, uniform in (0, 1]. Ends of text fill the
    last block, no more: what stands far behind an end is not trained."""
    count = -(-len(row.answer) // block)
    answer = np.full(count * block, row.answer[-1])
    answer[: len(row.answer)] = row.answer
    share = (1 - source.random(count)).repeat(block)
    return Noise(answer, source.random(len(answer)) < share, share)


def all_hidden(row: Row, block: int) -> Noise:
    """Every cell of the answer hidden."""
    noise = noised(row, block, np.random.default_rng(0))
    return noise._replace(hidden=np.ones_like(noise.hidden), share=np.ones_like(noise.share))


class _Row(NamedTuple):
    """One row's cells, and the lines that are read of it; arrays over cells, and over lines."""

    ids: np.ndarray
    position: np.ndarray
    stream: np.ndarray
    start: np.ndarray  # position of the first cell of the cell's block
    masked: tuple[np.ndarray, ...]  # place, target, weight, slot
    plain: tuple[np.ndarray, ...]


def _row(row: Row, noise: Noise, block: int, mask: int, copies: int) -> _Row:
    first, cells = len(row.prompt), np.arange(len(noise.answer))
    starts = first + cells // block * block
    text = np.array([*row.prompt, *row.answer])
    ids, position, stream, start = [text], [np.arange(len(text))], [np.zeros(len(text), int)], [text * 0]
    masked = []
    for copy in range(copies):
        hidden = noise.hidden if copy == 0 else ~noise.hidden
        share = noise.share if copy == 0 else 1 - noise.share
        begins = len(text) + copy * len(cells)
        ids.append(np.where(hidden, mask, noise.answer))
        position.append(first + cells)
        stream.append(np.full(len(cells), NOISY + copy))
        start.append(starts)
        place = np.where(cells % block == 0, first + cells - 1, begins + cells - 1)  # the shift
        weight = np.minimum(1 / np.maximum(share, 1e-9), HEAVIEST)
        masked.append([x[hidden] for x in (place, noise.answer, weight, cells % block)])
    said = np.arange(len(row.answer))
    plain = (first + said - 1, np.array(row.answer), np.ones(len(said)), said % block)
    lines = tuple(np.concatenate(x) for x in zip(*masked, strict=True))
    join = np.concatenate
    return _Row(join(ids), join(position), join(stream), join(start), lines, plain)


def laid(
    rows: Sequence[Row],
    noise: Sequence[Noise],
    block: int,
    mask: int,
    *,
    device: str = "cpu",
    copies: int = 2,
) -> Laid:
    """Rows with their copies side by side, on the device. `copies` 1: without the opposite one."""
    made = [_row(row, one, block, mask, copies) for row, one in zip(rows, noise, strict=True)]
    width = -(-max(len(one.ids) for one in made) // ROUND) * ROUND

    def filled(name: str, value: int) -> Tensor:
        table = np.full((len(made), width), value)
        for line, one in zip(table, made, strict=True):
            line[: len(getattr(one, name))] = getattr(one, name)
        return torch.from_numpy(table).to(device)

    stream, position, start = filled("stream", PAD), filled("position", 0), filled("start", 0)
    sees = visible(stream, position, start)
    masked, plain = (_lines([getattr(one, name) for one in made], device) for name in ("masked", "plain"))
    return Laid(filled("ids", mask), position, sees[:, None], masked, plain)


def visible(stream: Tensor, position: Tensor, start: Tensor) -> Tensor:
    """[R, N, N] which cells (last) a cell sees; of [R, N] each. Padding sees itself, and nobody sees it."""
    mine, theirs = stream[:, :, None], stream[:, None, :]
    before, clean = position[:, None, :], theirs == CLEAN
    causal = (mine == CLEAN) & clean & (before <= position[:, :, None])
    block = (mine >= NOISY) & (theirs == mine) & (start[:, None, :] == start[:, :, None])
    text = (mine >= NOISY) & clean & (before < start[:, :, None])  # strictly: the block's own answer is clean
    return causal | block | text | torch.eye(stream.shape[1], dtype=torch.bool, device=stream.device)


def _lines(parts: Sequence[tuple[np.ndarray, ...]], device: str) -> Lines:
    row = np.concatenate([np.full(len(part[0]), i) for i, part in enumerate(parts)])
    place, target, weight, slot = (np.concatenate(x) for x in zip(*parts, strict=True))
    columns = [torch.from_numpy(x).to(device) for x in (row, place, target, weight.astype(np.float32), slot)]
    return Lines(*columns)


def states(module: Any, rows: Laid) -> Tensor:
    """[R, N, D] what the output head reads."""
    out = module.base_model(
        input_ids=rows.ids, attention_mask=rows.sees, position_ids=rows.position, use_cache=False
    )
    return out.last_hidden_state


def surprise(module: Any, hidden: Tensor, lines: Lines, never: int | None = None) -> Iterator[Tensor]:
    """-ln p of each line's target, in chunks. `never`: a token that is not said, whose share others get."""
    head = module.get_output_embeddings()

    def chunk(read: Tensor, target: Tensor) -> Tensor:
        logits = head(read).float()
        if never is not None:
            logits = logits.index_fill(1, torch.tensor([never], device=logits.device), -torch.inf)
        return functional.cross_entropy(logits, target, reduction="none")

    for first in range(0, len(lines.row), CHUNK):
        part = slice(first, first + CHUNK)
        read = hidden[lines.row[part], lines.place[part]]
        yield checkpoint(chunk, read, lines.target[part], use_reentrant=False)


def loss(module: Any, rows: Laid, mask: int) -> tuple[Tensor, Tensor]:
    """The masked and the left-to-right loss, nats per cell. The mask is no prediction of a block; from left
    to right it is one, which nothing ever calls for, so that the causal model learns not to say it."""
    hidden = states(module, rows)
    found = []
    for lines, never in ((rows.masked, mask), (rows.plain, None)):
        parts = [torch.zeros(0, device=hidden.device), *surprise(module, hidden, lines, never)]
        found.append((torch.cat(parts) * lines.mean).sum())
    return found[0], found[1]
