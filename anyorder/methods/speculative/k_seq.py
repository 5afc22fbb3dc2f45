"""K-SEQ (SpecTr, arXiv:2310.15141): sequential selection among k independent drafts of one law.

The likeliest way to keep one of k drafts and still write a token of law p is a transport problem whose size
grows with V^k. K-SEQ keeps at least 1 - (1 - 1/k)^k of what that would, with one number to find: every draft
x is accepted with probability min(1, p(x) / (rho q(x))), and rho makes up for having k tries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Drafts = Iterable[tuple[int, Tensor]]  # at one place, in drafting order: token, and the law it was drawn from
Accept = Callable[["float | Tensor"], bool]  # true with probability min(1, x)
Select = Callable[
    [Tensor, Drafts, Accept], "int | Tensor"
]  # p -> the accepted token, or the law owed if none


def sequential(p: Tensor, drafts: Drafts, accept: Accept) -> int | Tensor:
    """The first draft that passes, equal ones being so many tries; or the law of what is written instead."""
    drafts = list(drafts)
    if not drafts:
        return p
    q = drafts[0][1]
    rho, taken = least_rho(p, q, len(drafts))
    for token, _ in drafts:
        if accept(p[token] / (rho * q[token])):
            return token
    return rest(p, taken)


def least_rho(p: Tensor, q: Tensor, k: int) -> tuple[float, Tensor]:
    """rho, and [V] the probability that x is accepted: min(q, p / rho) (1 - (1 - beta)^k) / beta, where
    beta = sum of min(q, p / rho). It must not exceed p(x), so the factor must not exceed rho; the least such
    rho accepts most."""

    def factor(rho: float) -> float:
        beta = min(float(torch.minimum(q, p / rho).sum()), 1.0)
        return (1 - (1 - beta) ** k) / beta if beta > 1e-9 else float(k)

    low, high = 1.0, float(k)
    if factor(low) <= low:
        high = low
    while (middle := (low + high) / 2) not in (low, high):  # to the last bit
        low, high = (low, middle) if factor(middle) <= middle else (middle, high)
    return high, torch.minimum(q, p / high) * factor(high)


def rest(owed: Tensor, taken: Tensor) -> Tensor:
    """norm(max(owed - taken, 0)); `owed` itself where rounding leaves nothing (p = q)."""
    left = (owed - taken).clamp_(min=0)
    total = left.sum()
    return left / total if total > 0 else owed
