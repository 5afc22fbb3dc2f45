"""Random order: all orders alike, the same for a seed; what it costs texts whose cells hang together."""

import random
from itertools import combinations

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.registry import build
from anyorder.tasks import lists
from anyorder.tasks.vocabulary import NAMES
from anyorder.testing import ToyTwoWay, enumerate_outcomes, play
from anyorder.testing.oracle import oracle, oracle_request, valid
from tests.methods.diffusion.said import run

OPTIONS = [{}, {"count": 2}]

PROMPT = [2, 0, 1]


def orders(record):
    return [tuple(i - len(PROMPT) for i in c.at[0]) for c in record.commits]


@pytest.mark.parametrize(
    "budget, block, count, sizes", [(5, 5, 2, [2, 2, 1]), (5, 3, 2, [2, 1, 2]), (3, 3, 9, [3])]
)
def test_so_many_cells_a_step(budget, block, count, sizes):
    record = run("random_order", ToyTwoWay(), PROMPT, budget, block, count=count)
    assert list(map(len, orders(record))) == sizes


def test_deterministic_for_a_seed_and_different_between_seeds():
    net = ToyTwoWay()
    first = [orders(run("random_order", net, PROMPT, 6, seed=seed)) for seed in range(12)]
    again = [orders(run("random_order", net, PROMPT, 6, seed=seed)) for seed in range(12)]
    assert first == again
    assert len({str(order) for order in first}) == 12


def test_every_order_is_equally_likely():
    net = ToyTwoWay()

    def first_two(chance):
        method = build("random_order", {"count": 2}, Setting(vocab=net.vocab))
        request = Request(Canvas(PROMPT, 5, mask=net.mask), method, {"target": net}, chance=chance)
        return tuple(orders(play([request])[0])[:2])

    found = enumerate_outcomes(first_two)
    pairs = [
        (a, b) for a in combinations(range(5), 2) for b in combinations(range(5), 2) if not set(a) & set(b)
    ]
    assert set(found) == set(pairs)
    assert all(weight == pytest.approx(1 / len(pairs)) for weight in found.values())


@pytest.mark.parametrize("task, true", [("shuffle", 0.32), ("remove_random", 0.88), ("insert_random", 0.72)])
def test_share_of_valid_answers(task, true):
    """Perfect marginals, two drawn tokens at random places a step, lists of six."""
    example, many = lists.draw(task, 6, random.Random(1), NAMES), 150
    given = {"greedy": False, "net": oracle([example]), "cells": len(example.gold), "count": 2}
    requests = [oracle_request(example, "random_order", seed=seed, **given) for seed in range(many)]
    play(requests)
    share = sum(map(valid, requests)) / many
    assert share == pytest.approx(true, abs=3.5 * (true * (1 - true) / many) ** 0.5)
