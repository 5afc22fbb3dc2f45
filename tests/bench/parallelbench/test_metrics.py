"""Metrics: each against its definition worked by hand."""

from __future__ import annotations

from math import exp

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anyorder.bench.parallelbench import metrics
from anyorder.bench.parallelbench.metrics import Bin, Point, Said
from anyorder.core.types import Answer, Lines

EOS = {1}


def test_only_content_counts():
    assert [metrics.content(t, EOS) for t in ([5, 6], [5, 1, 1, 1], [1, 5], [])] == [2, 2, 1, 0]
    texts = [[5, 6, 1, 1, 1, 1], [5, 1, 1, 1, 1, 1]]
    assert metrics.tokens_per_forward(texts, [2, 3], EOS) == 5 / 5
    assert metrics.fed_per_token(texts, [30, 20], EOS) == 10


def test_pb_is_the_fastest_point_that_is_still_good():
    points = [Point(1, 95), Point(2, 85), Point(3, 79), Point(4, 81)]
    assert [metrics.still(points, x) for x in (80, 90, 96)] == [4, 1, None]


def test_area_by_hand():
    """Points 1:80, 2:78, 4:60; 60 lost more than 5 points against 80."""
    weight = [80 * exp(-3 * (1 - 80 / 90)), 78 * exp(-3 * (1 - 78 / 90))]
    assert metrics.area([Point(4, 60), Point(2, 78), Point(1, 80)], 90) == pytest.approx(80 + sum(weight) / 2)
    assert metrics.area([], 90) == 0
    assert metrics.area([Point(2, 50)], 50) == 100


def test_a_policy_better_than_the_best_weighs_no_more_than_one():
    assert metrics.area([Point(1, 90), Point(2, 90)], 80) == 180


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(1, 100)), min_size=1, max_size=6))
def test_area_takes_points_in_any_order_and_never_exceeds_the_best(pairs):
    points = [Point(*pair) for pair in pairs]
    found = metrics.area(points, 100)
    assert found == pytest.approx(metrics.area(points[::-1], 100))
    fastest, best = max(p.speed for p in points), max(p.quality for p in points)
    assert found <= fastest * best + 1e-6


def test_agreement():
    texts, reference = [[1, 2, 3], [1, 2], []], [[1, 2, 3], [1, 3], []]
    assert metrics.agreement(texts, reference) == 2 / 3
    assert metrics.edit_agreement(texts, reference) == pytest.approx((1 + 0.5 + 1) / 3)
    assert metrics.edit_agreement([[1, 2, 3, 4]], [[2, 3]]) == 0.5
    with pytest.raises(ValueError, match="shorter"):
        metrics.agreement([[1]], [])


def test_calibration_by_hand():
    said = [Said(0.0, 0.95, True), Said(0.1, 0.95, False), Said(0.5, 0.5, True), Said(0.99, 1.0, True)]
    table = metrics.calibration(said)
    assert table == [
        Bin("first", 0.9, 1.0, 2, 0.95, 0.5), Bin("middle", 0.5, 0.6, 1, 0.5, 1.0),
        Bin("last", 0.9, 1.0, 1, 1.0, 1.0),
    ]  # fmt: skip
    assert metrics.error(table) == pytest.approx((2 * 0.45 + 0.5 + 0) / 4)


def test_what_runs_said_is_compared_with_the_final_text():
    def answer(laws: list[list[float]], cells: tuple[int, ...]) -> Answer:
        return Answer(torch.tensor(laws).log(), (Lines(0, 0, 5, cells=cells),))

    answers = [answer([[0.2, 0.8], [0.6, 0.4]], (2, 4)), answer([[0.9, 0.1]], (3,))]
    assert metrics.heard(answers, [7, 7, 1, 1]) == [
        Said(0.0, pytest.approx(0.8), True), Said(0.5, pytest.approx(0.9), False),
    ]  # fmt: skip


def test_the_oracle_is_calibrated():
    """A perfect net is sure exactly as often as a drawn text bears it out."""
    import random

    from anyorder.tasks import lists
    from anyorder.tasks.vocabulary import NAMES
    from anyorder.testing import play
    from anyorder.testing.oracle import oracle, oracle_request

    example = lists.draw("replace_random", 3, random.Random(0), NAMES)
    net, said = oracle([example]), []
    requests = [
        oracle_request(example, "static", steps=1, greedy=False, seed=s, net=net, cells=3) for s in range(200)
    ]
    for record in play(requests):
        said += metrics.heard([answer for _, answer in record.answers], record.canvas.rows[0])
    (row,) = metrics.calibration(said)
    assert row.sure == pytest.approx(2 / 3)
    assert row.right == pytest.approx(2 / 3, abs=0.06)


ROWS = [
    {"method": "static", "quality": 0.99, "tokens_per_forward": 1.0},
    {"method": "threshold:threshold=0.7", "quality": 0.85, "tokens_per_forward": 3.0},
    {"method": "threshold:threshold=0.9", "quality": 0.98, "tokens_per_forward": 2.0},
    {"method": "peer", "quality": 0.5},
    {"method": "unjudged", "tokens_per_forward": 1.0},
]


def test_policies_are_methods_with_all_their_settings():
    static, threshold = metrics.policies(ROWS)
    assert static == {"policy": "static", "settings": 1, "pb80": 1.0, "pb90": 1.0, "aup": 99.0}
    assert (threshold["policy"], threshold["settings"]) == ("threshold", 2)
    assert (threshold["pb80"], threshold["pb90"]) == (3.0, 2.0)
    assert threshold["aup"] == 196.0, "the third point lost too much"
    assert metrics.policies([]) == []
