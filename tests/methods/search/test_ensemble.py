"""Means of two nets."""

import math

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.methods.search.ensemble import mean
from anyorder.registry import build
from anyorder.shapers import Sampling, compose
from anyorder.testing import Enumerate, ToyCausal, distance, enumerate_outcomes, greedy_text, play

OPTIONS = [{}, {"of": "logits", "weight": 0.3, "then": "prompt_lookup/nodes=8"}, {"then": "(beam/width=2)"}]
PROMPT = [0, 1, 2, 0, 1]
PLAIN = Sampling()


def text(nets, budget=12, greedy=True, shape=PLAIN, chance=None, **options):
    canvas = Canvas(PROMPT, budget)
    method = build("ensemble", options, Setting(greedy=greedy, vocab=nets["target"].vocab))
    request = Request(canvas, method, nets, compose(shape))
    request.chance = chance or request.chance
    play([request])
    return canvas.generated()


def test_means():
    p, q = (torch.tensor([law], dtype=torch.float64).log() for law in ((0.7, 0.3, 0.0), (0.2, 0.4, 0.4)))
    assert mean(p, q, 0.25, "laws").exp()[0].tolist() == pytest.approx([0.575, 0.325, 0.1])
    found = mean(p, q, 0.5, "logits")[0].tolist()
    assert found == pytest.approx([math.log(0.14) / 2, math.log(0.12) / 2, -math.inf])
    for of in ("laws", "logits"):
        assert mean(p, q, 0.0, of) is p
        assert mean(p, q, 1.0, of) is q


def test_where_nothing_is_possible_for_both_the_target_decides():
    p, q = (torch.tensor([law], dtype=torch.float64).log() for law in ((1.0, 0.0), (0.0, 1.0)))
    assert mean(p, q, 0.9, "logits").tolist() == p.tolist()
    assert mean(p, q, 0.9, "laws").exp()[0].tolist() == pytest.approx([0.1, 0.9])


def test_one_alone():
    nets = {"target": ToyCausal(1, 13), "second": ToyCausal(2, 13)}
    for weight, name in ((0.0, "target"), (1.0, "second")):
        assert text(nets, weight=weight) == greedy_text(nets[name], PROMPT, 12)


def test_texts_are_drawn_from_the_mean_law():
    nets = {"target": ToyCausal(1, 3), "second": ToyCausal(2, 3)}
    shape = Sampling(temperature=0.5)

    def run(chance: Enumerate):
        return tuple(text(nets, 2, False, shape, chance, weight=0.25))

    true = {}
    for a in range(3):
        for b in range(3):
            laws = [
                0.75 * (nets["target"].plain(words) / 0.5).softmax(-1)
                + 0.25 * (nets["second"].plain(words) / 0.5).softmax(-1)
                for words in (PROMPT, [*PROMPT, a])
            ]
            true[a, b] = float(laws[0][a] * laws[1][b])
    assert distance(enumerate_outcomes(run), true) < 1e-9
