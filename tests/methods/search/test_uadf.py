"""Uncertainty-aware fusion: the card's numbers, and text on toy nets."""

import math

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.methods.search.uadf import calibrated, fused
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, greedy_text, play

OPTIONS = [{}, {"tau1": 0.5, "tau2": 2.0, "then": "prompt_lookup/nodes=8"}]
PROMPT = [0, 1, 2, 0, 1]


def text(nets, budget=12, **options):
    canvas = Canvas(PROMPT, budget)
    method = build("uadf", options, Setting(vocab=nets["target"].vocab))
    play([Request(canvas, method, nets)])
    return canvas.generated()


def law(*p):
    return torch.tensor([p], dtype=torch.float64).log()


@pytest.mark.parametrize("n, w", [(2, 1 / 6), (3, 0.25), (4, 0.3)])
def test_the_weight_of_the_second_net(n, w):
    """A uniform law over n tokens gives it (n - 1) / (2 (n + 1)); the fused law is p + w q over 1 + w."""
    found = fused(law(*[1 / n] * n), law(*[1] + [0] * (n - 1))).exp()[0]
    assert float(found[0]) == pytest.approx((1 / n + w) / (1 + w))
    assert float(found.sum()) == pytest.approx(1)


def test_one_is_unsure_and_the_other_is_not():
    found = fused(law(0.5, 0.5), law(0, 1)).exp()[0] * (1 + 1 / 6)
    assert found.tolist() == pytest.approx([0.5, 2 / 3])


def test_who_is_certain_is_not_contradicted():
    (found,) = fused(law(0, 1, 0), law(1, 0, 0)).exp().tolist()
    assert found == pytest.approx([0, 1, 0])
    certain = ByText(lambda text: torch.tensor([50.0 * (len(text) % 3 == t) for t in range(3)]))
    assert text({"target": certain, "second": ToyCausal(0, 3)}, 6) == greedy_text(certain, PROMPT, 6)


def test_text_is_that_of_every_step_from_nothing():
    for seed in range(3):
        nets = {"target": ToyCausal(seed, 13), "second": ToyCausal(seed + 9, 13)}
        words = list(PROMPT)
        for _ in range(12):
            p, q = (
                (nets["target"].plain(words) / 2).softmax(-1),
                (nets["second"].plain(words) / 0.5).softmax(-1),
            )
            unsure = -sum(x * math.log(x) for x in p.tolist())
            words.append(int((p + (1 / (1 + math.exp(-unsure)) - 0.5) * q).argmax()))
        assert text(nets, tau1=0.5, tau2=2.0) == words[len(PROMPT) :]
        assert words[len(PROMPT) :] != greedy_text(nets["target"], PROMPT, 12)


def test_calibration():
    source = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(400, 7, generator=source, dtype=torch.float64)
    tau = 1.7
    token = torch.multinomial((logits / tau).softmax(-1), 1, generator=source)[:, 0]
    found = calibrated(logits, token)
    sure = float((logits / found).softmax(-1).amax(-1).mean())
    right = float((logits.argmax(-1) == token).double().mean())
    assert abs(sure - right) <= 1e-4
    assert found == pytest.approx(tau, rel=0.25), "the temperature that the tokens were drawn at"
    assert calibrated(3 * logits, token) == pytest.approx(3 * found)


def test_what_cannot_be_calibrated():
    logits = torch.eye(3)
    for token in (torch.arange(3), torch.tensor([1, 2, 0])):
        with pytest.raises(ValueError, match="more than chance and less than 1"):
            calibrated(logits, token)
