"""Contrastive decoding by hand and on toy nets."""

import math

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.methods.search.contrastive_decoding import contrast
from anyorder.registry import build
from anyorder.shapers import Sampling, compose
from anyorder.testing import ToyCausal, greedy_text, play

OPTIONS = [{}, {"form": "weighted", "then": "prompt_lookup/nodes=8"}, {"tau": 0.5, "then": "(beam/width=2)"}]
PROMPT = [0, 1, 2, 0, 1]
PLAIN = Sampling()


def text(nets, budget=12, greedy=True, shape=PLAIN, **options):
    canvas = Canvas(PROMPT, budget)
    method = build("contrastive_decoding", options, Setting(greedy=greedy, vocab=13))
    play([Request(canvas, method, nets, compose(shape))])
    return canvas.generated()


def pair(seed, blur=0.8):
    return {"target": ToyCausal(seed, 13), "second": ToyCausal(seed, 13, blur=blur)}


def logs(*laws):
    return [torch.tensor([law], dtype=torch.float64).log() for law in laws]


def test_both_forms():
    p, q = logs((0.5, 0.4, 0.05, 0.05), (0.8, 0.1, 0.05, 0.05))
    (found,) = contrast(p, q, 0.2, "difference", 0.5).tolist()
    assert found == pytest.approx([math.log(5 / 8), math.log(4), -math.inf, -math.inf])
    (found,) = contrast(p, q, 0.1, "weighted", 0.5).tolist()
    true = [1.5 * math.log(a) - 0.5 * math.log(b) for a, b in zip(p.exp()[0].tolist(), q.exp()[0].tolist())]
    assert found == pytest.approx(true)


def test_what_is_impossible_for_one_of_them():
    """For the expert: stays so. For the amateur alone: as likely as the least it has left."""
    p, q = logs((0.6, 0.4, 0.0, 0.0), (0.9, 0.0, 0.1, 0.0))
    for form, true in (("difference", math.log(4)), ("weighted", 1.5 * math.log(0.4) - 0.5 * math.log(0.1))):
        (found,) = contrast(p, q, 0.0, form, 0.5).tolist()
        assert found[1:] == pytest.approx([true, -math.inf, -math.inf])


def test_text_is_that_of_every_step_from_nothing():
    for seed in range(3):
        nets, words = pair(seed), list(PROMPT)
        for _ in range(12):
            p, q = nets["target"].plain(words).softmax(-1), (nets["second"].plain(words) / 0.5).softmax(-1)
            ratio = (p / q).masked_fill(p < 0.3 * p.max(), 0)
            words.append(int(ratio.argmax()))
        assert text(nets, alpha=0.3, tau=0.5) == words[len(PROMPT) :]


def test_where_it_is_the_targets_own_text():
    nets = pair(1)
    plain = greedy_text(nets["target"], PROMPT, 12)
    assert text(nets, alpha=1.0) == plain, "only the likeliest token is likely enough"
    assert text(nets, form="weighted", beta=0.0) == plain
    assert text(pair(1, blur=0.0), form="weighted", beta=3.0) == plain, "nothing to tell them apart"
    assert text(nets) != plain


def test_truncation_leaves_tokens_to_choose_from():
    for seed in range(5):
        found = text(pair(seed), greedy=False, shape=Sampling(temperature=1.0, top_k=3, banned=(4,)))
        assert len(found) == 12
        assert 4 not in found
