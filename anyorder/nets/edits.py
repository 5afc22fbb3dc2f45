"""How states are edited: the rules of `nets.edited`, as pure functions of states and gradients.

- `Optimized`: hidden state optimization (arXiv:2112.08653). One step of Adam on the states of all cells so
  far, down the mean surprise of a window. Moments belong to a state, counts of steps to a cell.
- `Recoded`: recoding (arXiv:2101.00674). One plain step on the newest cell's states alone, down an error
  signal, and for a signal that needs no label on the state that the head reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Head = Callable[[Tensor], Tensor]  # [M, D] -> [M, V]


class Moments(NamedTuple):
    """Adam's two averages for each state; they go where it goes."""

    mean: Tensor  # [layers, 2, groups, T, width]
    square: Tensor  # the same
    steps: Tensor  # [T] how many each cell's states took


class Past(NamedTuple):
    """The cells of closed windows, as edited so far."""

    cells: Tensor  # [layers, 2, groups, T, width] keys and values
    moments: Moments | None = None
    losses: tuple[float, ...] = ()  # each window's signal before its edit


class Rule(Protocol):
    """How states are edited when a window is known."""

    @property
    def window(self) -> int:
        """Cells of a window."""
        ...

    @property
    def moves(self) -> bool:
        """Whether keys and values are edited at all."""
        ...

    @property
    def far(self) -> bool:
        """Whether earlier cells are edited with the window's own."""
        ...

    def signal(self, logits: Tensor, following: Tensor) -> Tensor:
        """A number to be lowered, from what was said of the window [W, V] and what followed [W]."""
        ...

    def edited(self, past: Past, made: Tensor, own: Tensor, before: Tensor | None = None) -> Past:
        """Past and window together, after the edit. `made`: the window's cells; `own`: their gradient;
        `before`: that of the past's cells."""
        ...

    def top(self, hidden: Tensor, head: Head) -> Tensor:
        """[M, D] what the head shall read instead."""
        ...


def signal(kind: str, logits: Tensor, following: Tensor) -> Tensor:
    """[M] the error of each line [M, V]; `following` [M] are the tokens that came.

    "surprisal": p^-p - 1 of the token that came, as the reference computes it, "argmax": of the likeliest
    one instead, "nll": -log p of the token that came, "entropy": of the law.
    """
    logp = logits.log_softmax(-1)
    if kind == "entropy":
        return -(logp.exp() * logp).sum(-1)
    token = logits.argmax(-1) if kind == "argmax" else following
    mine = logp.gather(-1, token[:, None])[:, 0]
    return -mine if kind == "nll" else torch.expm1(-mine.exp() * mine)


SIGNALS = ("surprisal", "argmax", "entropy", "nll")
LABELLED = ("surprisal", "nll")  # signals that need the token that came


@dataclass(frozen=True)
class Optimized:
    """Hidden state optimization: S <- S - rate m / (sqrt(v) + epsilon), m and v with their bias taken out."""

    rate: float
    window: int
    optimizer: str = "adam"  # or "sgd": S <- S - rate G
    clip: float = 1.0  # longest gradient; 0: any
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    far: bool = True
    moves: bool = True

    def signal(self, logits: Tensor, following: Tensor) -> Tensor:
        return signal("nll", logits, following).mean()

    def edited(self, past: Past, made: Tensor, own: Tensor, before: Tensor | None = None) -> Past:
        assert before is not None, "all cells in reach are edited"
        cells = torch.cat([past.cells, made], 3)
        gradient = torch.cat([before, own], 3).nan_to_num(0.0, 0.0, 0.0)
        if self.clip:
            gradient = gradient * (self.clip / gradient.norm().clamp_min(self.clip))
        if self.optimizer == "sgd":
            return Past(cells - self.rate * gradient, None, past.losses)
        moments = self._moments(past.moments, made, gradient)
        one, two = (1 - beta ** moments.steps[:, None] for beta in self.betas)
        step = moments.mean / one / ((moments.square / two).sqrt() + self.epsilon)
        return Past(cells - self.rate * step, moments, past.losses)

    def _moments(self, old: Moments | None, made: Tensor, gradient: Tensor) -> Moments:
        """The states' moments after a gradient; a new window's begin with it."""
        fresh = torch.zeros_like(made)
        steps = fresh.new_zeros(made.shape[3])
        if old is None:
            none = fresh[:, :, :, :0]
            old = Moments(none, none, steps[:0])
        one, two = self.betas
        mean = torch.cat([old.mean, fresh], 3).mul_(one).add_(gradient, alpha=1 - one)
        square = torch.cat([old.square, fresh], 3).mul_(two).addcmul_(gradient, gradient, value=1 - two)
        return Moments(mean, square, torch.cat([old.steps, steps]) + 1)

    def top(self, hidden: Tensor, head: Head) -> Tensor:
        return hidden


@dataclass(frozen=True)
class Recoded:
    """Recoding: state <- state - step * gradient of the signal, for the newest cell's states and the top."""

    step: float
    kind: str  # of SIGNALS
    where: str = "all"  # "states": keys and values, "top": what the head reads
    window: int = 1
    far: bool = False

    @property
    def moves(self) -> bool:
        return self.where != "top"

    def signal(self, logits: Tensor, following: Tensor) -> Tensor:
        return signal(self.kind, logits, following).sum()

    def edited(self, past: Past, made: Tensor, own: Tensor, before: Tensor | None = None) -> Past:
        moved = made - self.step * own.nan_to_num(0.0, 0.0, 0.0)
        return Past(torch.cat([past.cells, moved], 3), None, past.losses)

    def top(self, hidden: Tensor, head: Head) -> Tensor:
        """Only for signals without a label: one that knows what came must not tell it to this very cell."""
        if self.kind in LABELLED or self.where == "states":
            return hidden
        with torch.inference_mode(False), torch.enable_grad():
            leaf = hidden.clone().requires_grad_()
            error = self.signal(head(leaf), torch.zeros(len(leaf), dtype=torch.long, device=leaf.device))
            (gradient,) = torch.autograd.grad(error, leaf)
        return hidden - self.step * gradient.nan_to_num(0.0, 0.0, 0.0)
