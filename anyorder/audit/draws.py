"""Do draws follow a law? Total variation, the total variation honest draws would have, and a p-value.

A sample of n draws never lies on its law: n draws of 50 outcomes are some 0.1 away at n = 1,000. So the
distance is told beside the distance that n honest draws have on average, and judged by Pearson's chi-square
test, in which outcomes that are expected fewer than five times are counted together.

>>> compare(Counter("aab" * 40), {"a": 2 / 3, "b": 1 / 3}).tv
0.0
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from math import exp, floor, lgamma, log
from typing import Any, NamedTuple

import torch

from anyorder.audit.sampling import chi_square

LEAST = 5.0  # draws that a cell of the chi-square test expects; rarer outcomes are pooled


class Drawn(NamedTuple):
    """Draws beside their law."""

    tv: float  # total variation of the sample from the law
    honest: float  # what it is on average for as many draws from the law itself
    p_value: float  # of a sample as far off as this one, if the law is right
    draws: int

    @property
    def told(self) -> str:
        return f"total variation {self.tv:.3f}, of {self.draws} honest draws {self.honest:.3f}"


def compare(counts: Mapping[Any, int], law: Mapping[Any, float]) -> Drawn:
    """Counted outcomes against what the law gives them; outcomes it does not know are impossible."""
    n = sum(counts.values())
    outcomes = set(counts) | set(law)
    off = sum(abs(counts.get(x, 0) / n - law.get(x, 0.0)) for x in outcomes) / 2
    honest = sum(mean_deviation(n, p) for p in law.values()) / (2 * n)
    return Drawn(off, honest, p_value(counts, law), n)


def mean_deviation(n: int, p: float) -> float:
    """How far a binomial count is from n p on average (de Moivre 1730)."""
    if not 0 < p < 1:
        return 0.0
    m = floor(n * p) + 1
    ways = lgamma(n + 1) - lgamma(m + 1) - lgamma(n - m + 1)
    return 2 * m * exp(ways + m * log(p) + (n - m + 1) * log(1 - p))


def p_value(counts: Mapping[Any, int], law: Mapping[Any, float]) -> float:
    """Pearson's chi-square test with rare outcomes pooled; 0 if something impossible happened."""
    n = sum(counts.values())
    if any(seen and law.get(x, 0.0) <= 0 for x, seen in counts.items()):
        return 0.0
    cells: list[tuple[float, float]] = []
    rare = [0.0, 0.0]
    for outcome, p in law.items():
        cell = (counts.get(outcome, 0), n * p)
        if cell[1] >= LEAST:
            cells.append(cell)
        else:
            rare = [rare[0] + cell[0], rare[1] + cell[1]]
    if rare[1] >= LEAST or not cells:
        cells.append((rare[0], rare[1]))
    elif rare[1] > 0:  # too little to stand alone: it goes to the smallest cell
        least = min(range(len(cells)), key=lambda i: cells[i][1])
        cells[least] = (cells[least][0] + rare[0], cells[least][1] + rare[1])
    if len(cells) < 2:
        return 1.0
    seen, expected = torch.tensor(cells, dtype=torch.float64).unbind(1)
    return chi_square(seen, expected)


def law_of_texts(
    after: Callable[[tuple[int, ...]], Sequence[float]], length: int, eos: Sequence[int] = ()
) -> dict[tuple[int, ...], float]:
    """Every text of `length` tokens, or ended before by one of `eos`, with its probability.

    `after`: [V] probabilities of the next token after a text.
    """
    law: dict[tuple[int, ...], float] = {}
    open_texts: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    while open_texts:
        text, so_far = open_texts.pop()
        if len(text) == length or (text and text[-1] in eos):
            law[text] = so_far
            continue
        for token, p in enumerate(after(text)):
            if p > 0:
                open_texts.append(((*text, token), so_far * p))
    return law


def count(draw: Callable[[int], Hashable], draws: int) -> Counter[Any]:
    """Outcomes of draw(0), draw(1), ..."""
    return Counter(draw(i) for i in range(draws))
