"""DoLa by hand and on a toy net whose layers are known."""

import math

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.errors import UserError
from anyorder.methods.search.dola import contrast, divergence, premature
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, play
from anyorder.testing.toy import attend

OPTIONS = [
    {},
    {"layers": "high", "then": "prompt_lookup/nodes=8"},
    {"layers": "0,1", "alpha": 0.5, "then": "(beam/width=2)"},
]
PROMPT = [0, 1, 2, 0, 1]


def text(net, budget, blocks=0, **options):
    canvas = Canvas(PROMPT, budget)
    method = build("dola", options, Setting(vocab=net.vocab, layers=blocks))
    play([Request(canvas, method, {"target": net})])
    return canvas.generated()


def test_candidate_layers():
    assert premature("low", 32) == tuple(range(2, 16, 2))
    assert premature("high", 32) == tuple(range(16, 32, 2))
    assert premature("low", 80) == tuple(range(2, 20, 2))
    assert premature("high", 80) == tuple(range(60, 80, 2))
    assert [premature("low", n) for n in (1, 2, 3, 4)] == [(0,), (1,), (2,), (2,)]
    assert [premature("high", n) for n in (1, 2, 3)] == [(0,), (1,), (1,)]
    assert premature("6,0,6", 8) == (0, 6)


@pytest.mark.parametrize("layers", ["", "middle", "1,x", "2", "-1"])
def test_other_layers_are_refused(layers):
    with pytest.raises(ValueError, match="allowed is low, high, or layers from 0 to 1 by comma"):
        premature(layers, 2)


def test_divergence():
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], dtype=torch.float64)
    q = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]], dtype=torch.float64)

    def slow(p, q):
        mix = [(a + b) / 2 for a, b in zip(p, q)]
        return sum(sum(a * math.log(a / m) for a, m in zip(x, mix) if a) for x in (p, q)) / 2

    found = divergence(p.log(), q.log()).tolist()
    assert found == pytest.approx([slow(*pair) for pair in zip(p.tolist(), q.tolist())])
    assert found[:2] == pytest.approx([0.0, math.log(2)])


def test_contrast():
    """Layer 1 is farthest from the end; token 2 is not likely enough, token 0 gained most of the others."""
    end = torch.tensor([[0.5, 0.45, 0.05]], dtype=torch.float64).log()
    layers = torch.tensor([[[0.5, 0.44, 0.06]], [[0.1, 0.9, 0.0]]], dtype=torch.float64).log()
    (found,) = contrast(end, layers, 0.2).tolist()
    assert found == pytest.approx([math.log(5), math.log(0.5), -math.inf])
    (found,) = contrast(end, layers[:1], 0.0).tolist()
    assert found == pytest.approx([0.0, math.log(45 / 44), math.log(5 / 6)])


def test_every_line_chooses_its_layer():
    laws = torch.tensor([[0.7, 0.3], [0.3, 0.7]], dtype=torch.float64).log()
    end, layers = laws, torch.stack([laws, laws.flip(0)])
    layers[:, 1] = layers[[1, 0], 1]  # for the second line the first layer is the far one
    ratio = math.log(7 / 3)
    assert contrast(end, layers, 0.1).flatten().tolist() == pytest.approx([ratio, -ratio, -ratio, ratio])


def test_text_is_that_of_every_step_from_nothing():
    for seed in range(3):
        net, words = ToyCausal(seed, 13, layers=4), list(PROMPT)
        for _ in range(12):
            n, w = len(words), net.weights
            places, blank = list(range(n)), w.blank.new_zeros((n, *w.blank.shape[1:]))
            sees = torch.ones(n, n, dtype=torch.bool).tril()
            inner = attend(w, words, places, places, sees, blank)[1]
            laws = [(x[-1] @ w.head).softmax(-1) for x in inner]
            far = [
                sum((torch.xlogy(a, a) - torch.xlogy(a, (a + laws[4]) / 2)).sum() for a in (laws[i], laws[4]))
                for i in (1, 2, 3)
            ]
            before = laws[1 + far.index(max(far))]
            ratio = (laws[4] / before).masked_fill(laws[4] < 0.1 * laws[4].max(), 0)
            words.append(int(ratio.argmax()))
        assert text(net, 12, blocks=4, layers="1,2,3") == words[len(PROMPT) :]


def test_a_net_without_a_head_to_read_through_is_refused():
    class Headless(ByText):
        def __call__(self, asks):
            answers = super().__call__(asks)
            for answer in answers:
                answer.layers = {1: answer.logits}
            return answers

    with pytest.raises(UserError, match="unknown name"):
        text(Headless(ToyCausal(1, 13).plain), 3)
