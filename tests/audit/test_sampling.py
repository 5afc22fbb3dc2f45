"""The test of drawn tokens, held to scipy's."""

from __future__ import annotations

import random

import pytest
import torch

from anyorder.audit.sampling import FEWEST, chi_square, p_value

scipy = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("counts", [[9, 11, 10], [30, 1, 3, 6], [5, 5], [100, 80, 120, 90, 60]])
def test_chi_square_is_scipys(counts):
    given = torch.tensor(counts, dtype=torch.float64)
    mean = torch.full_like(given, float(given.mean()))
    assert chi_square(given, mean) == pytest.approx(scipy.chisquare(counts).pvalue, rel=1e-6)


def test_uniform_ranks_pass_and_others_do_not():
    source = random.Random(0)
    values = [p_value([source.random() for _ in range(300)]) for _ in range(200)]
    assert sum(value < 0.05 for value in values) < 25  # 10 of 200 are expected
    assert p_value([source.random() ** 1.5 for _ in range(600)]) < 1e-4


def test_an_impossible_token_decides_and_few_tokens_say_nothing():
    assert p_value([2.0]) == 0
    assert p_value([0.5] * (FEWEST - 1)) is None
