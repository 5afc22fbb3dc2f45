"""Chance: one random stream for each row and position, so that a request draws the same in any company.

Counter-based (Philox): a draw is a function of (seed, purpose, row, position, turn) and of nothing else. No
draw advances a state, so a method restarted from its canvas draws the same again. Methods draw in two ways
only, `pick` and `flip`; `anyorder.testing` replaces both to enumerate every outcome with its exact weight.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Chance:
    """The source of all randomness of a request. Different purposes never share a number."""

    seed: int = 0
    purpose: str = "target"

    def of(self, purpose: str) -> Chance:
        """An independent source with the same seed, e.g. for the draft net."""
        return self if purpose == self.purpose else Chance(self.seed, purpose)

    def pick(self, logits: Tensor, row: int, position: int, turn: int = 0) -> int:
        """A token drawn from softmax(logits), logits [V].

        An exponential race: with e ~ Exp(1) for each token, the argmax of p/e has law p. All noise belongs to
        the position, so the same seed gives the same token however the logits were computed.
        """
        # float64, although logits are not: a float32 exponential is 0 once in 2^23, and 0 wins every race
        noise = self._stream(row, position, 2 * turn).standard_exponential(len(logits))
        race = logits - torch.from_numpy(np.log(noise)).to(logits)
        return int(race.argmax())

    def flip(self, probability: float, row: int, position: int, turn: int = 0) -> bool:
        """True with the given probability; always at 1 and never at 0."""
        return float(self._stream(row, position, 2 * turn + 1).random()) < probability

    def _stream(self, row: int, position: int, turn: int) -> np.random.Generator:
        seed = self.seed & 0xFFFFFFFFFFFFFFFF  # of any size and sign; a plain list would pass through float64
        key = np.array([seed, zlib.crc32(self.purpose.encode())], dtype=np.uint64)
        counter = [0, turn, position, row]  # word 0 counts the numbers drawn from one stream
        return np.random.Generator(np.random.Philox(key=key, counter=counter))
