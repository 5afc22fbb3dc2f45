"""The best a verifier could do: optimal transport between k independent drafts and the target's law.

Every verifier that keeps the law p is a joint law of the drafts X = (x1, ..., xk) and of the token Y that is
written, with the right margins: X is q x ... x q, Y is p. It keeps a draft when Y is one of them; the largest
probability of that is a linear program over V^k * V numbers (SpecTr, arXiv:2310.15141, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np


def best_acceptance(p: Sequence[float], q: Sequence[float], k: int) -> float:
    """The largest probability that one of k independent drafts of law q is written.

    >>> round(best_acceptance((0.3, 0.3, 0.4), (0.6, 0.3, 0.1), 1), 6)
    0.7
    """
    from scipy.optimize import linprog  # of the tests only

    drafts = list(product(range(len(q)), repeat=k))
    kept = [[-float(y in x) for y in range(len(p))] for x in drafts]  # minimised, so with a minus
    of_drafts = np.kron(np.eye(len(drafts)), np.ones(len(p)))
    of_text = np.kron(np.ones(len(drafts)), np.eye(len(p)))
    margins = [prod(q[t] for t in x) for x in drafts] + list(p)
    found = linprog(np.ravel(kept), A_eq=np.vstack([of_drafts, of_text]), b_eq=margins, method="highs")
    assert found.success, found.message
    return float(-found.fun)


def bound(p: Sequence[float], q: Sequence[float], k: int) -> float:
    """No verifier keeps more: a token is written p(x) of the time and drafted 1 - (1 - q(x))^k of it."""
    return sum(min(a, 1 - (1 - b) ** k) for a, b in zip(p, q, strict=True))
