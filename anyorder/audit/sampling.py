"""Do draws follow the law? A chi-square test of where drawn tokens lie in the laws they were drawn from.

Laid side by side from the likeliest down, the tokens of a law fill the line from 0 to 1. Where a drawn token
lies on it is uniform, whatever the law, and independent of the places before (`redecode.rank`). So the tokens
of all texts, each judged after its own beginning, are one sample of the uniform law: no text has to be drawn
twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

LEAST = 10  # tokens expected in each part of the line
MOST = 20  # parts of the line
FEWEST = 20  # tokens that make a test


def p_value(ranks: Sequence[float]) -> float | None:
    """How likely so uneven a sample of the uniform law is; 0 where a token was impossible; None: too few.

    >>> p_value([i / 100 for i in range(100)])
    1.0
    """
    if any(rank > 1 for rank in ranks):
        return 0.0
    if len(ranks) < FEWEST:
        return None
    parts = max(2, min(MOST, len(ranks) // LEAST))
    places = (torch.tensor(ranks, dtype=torch.float64) * parts).long().clamp(max=parts - 1)
    counts = torch.bincount(places, minlength=parts).double()
    return chi_square(counts, torch.full_like(counts, len(ranks) / parts))


def chi_square(counts: torch.Tensor, expected: torch.Tensor) -> float:
    """The p-value of counts against their expectation, both [parts] and of one sum."""
    freedom = torch.tensor((len(counts) - 1) / 2, dtype=torch.float64)
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(torch.special.gammaincc(freedom, statistic / 2))
