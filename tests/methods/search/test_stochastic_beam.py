"""Stochastic beam search: that it draws texts without replacement."""

import zlib
from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.methods.search.stochastic_beam import conditioned
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, distance, law_of_text, log_probability, play

OPTIONS = [{}, {"width": 1}, {"width": 7}]

PROMPT = [0, 1]


def search(net, budget, eos=(), chance=None, greedy=False, name="stochastic_beam", **options):
    """Texts and scores, best first. `chance`: a seed, or a function of the canvas."""
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = build(name, options, Setting(vocab=net.vocab, greedy=greedy))
    chance = chance(canvas) if callable(chance) else Chance(chance or 0)
    play([Request(canvas, method, {"target": net}, chance=chance)])
    order = sorted(range(len(canvas.rows)), key=lambda h: -canvas.score[h])
    return [(tuple(canvas.generated(h)), canvas.score[h]) for h in order]


class ByPrefix:
    """Noise that belongs to the prefix and not to its place on the canvas, so that searches can share it."""

    def __init__(self, canvas, seed):
        self.canvas, self.seed = canvas, seed

    def of(self, purpose):
        return self

    def _stream(self, row, position, turn):
        return np.random.default_rng([self.seed, zlib.crc32(repr(self.canvas.rows[row]).encode())])


def perturbed_tree(net, length, eos, seed):
    """Every text with its perturbed log-probability, best first: the whole tree, written out."""
    canvas = Canvas(PROMPT, length)
    leaves, nodes = [], [((), 0.0, None)]
    while nodes:
        text, phi, largest = nodes.pop()
        if len(text) == length or (text and text[-1] in eos):
            leaves.append((text, largest))
            continue
        canvas.rows[0] = PROMPT + list(text)
        noise = ByPrefix(canvas, seed)._stream(0, 0, 0).standard_exponential(net.vocab)
        line = phi + net.plain(canvas.rows[0]).double().log_softmax(-1)
        value = conditioned(line - torch.from_numpy(np.log(noise)), largest)
        nodes += [((*text, t), float(line[t]), float(value[t])) for t in range(net.vocab)]
    return sorted(leaves, key=lambda leaf: -leaf[1])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("eos", [(), (2,)])
def test_finds_the_largest_of_all_texts(seed, eos):
    """Section 4.1: what the beam dropped had nothing larger below it."""
    net = ByText(ToyCausal(seed, 4).plain)
    every = perturbed_tree(net, 4, eos, seed)
    for width in (1, 2, 5):
        found = search(net, 4, eos, lambda canvas: ByPrefix(canvas, seed), width=width)
        assert [text for text, _ in found] == [text for text, _ in every[:width]]
        assert [score for _, score in found] == pytest.approx([score for _, score in every[:width]])


def test_conditioned_gumbels_keep_their_truncated_law():
    """With the maximum Z moved to T, F(g; phi) / F(T; phi) is what F(g'; phi) / F(Z; phi) was, g' before: the
    place of each in its law, cut at the maximum. So given any T they are Gumbels whose maximum is T."""
    torch.manual_seed(0)
    phi = torch.randn(50, 6, dtype=torch.float64).log_softmax(-1)
    before = phi - torch.empty_like(phi).exponential_().log()
    for at, was in zip(phi, before):
        for T in (-3.0, 0.4, 6.0):
            now = conditioned(was, T)
            assert now.max() == T
            assert now.argmax() == was.argmax()
            place = [(at - x).exp() - (at - top).exp() for x, top in ((was, was.max()), (now, T))]
            assert torch.allclose(place[0], place[1], rtol=1e-6, atol=1e-9)


def test_the_law_of_pairs_is_drawing_without_replacement():
    """p(i, j) = p(i) p(j) / (1 - p(i)), over the nine texts of two tokens."""
    net = ByText(ToyCausal(2, 3).plain)
    law = law_of_text(net, PROMPT, 2)
    pairs = {(i, j): law[i] * law[j] / (1 - law[i]) for i, j in product(law, law) if i != j}
    times = 1500
    found = Counter(tuple(t for t, _ in search(net, 2, chance=s, width=2)) for s in range(times))
    apart = distance(pairs, {pair: n / times for pair, n in found.items()})
    noise = sum((p * (1 - p) / times) ** 0.5 for p in pairs.values()) / 2  # more than the mean distance
    assert apart < noise
    two = {(i, j): law[i] * law[j] for i, j in product(law, law)}  # the wrong rule: with replacement
    assert distance(two, {pair: n / times for pair, n in found.items()}) > 3 * noise


@pytest.mark.parametrize("seed", range(5))
def test_one_text_is_a_plain_draw(seed):
    net = ToyCausal(1, 13)
    for eos in ((), (3, 4)):
        ((text, _),) = search(net, 8, eos, seed, width=1)
        assert [text] == [t for t, _ in search(net, 8, eos, seed, name="sample")]


def test_texts_differ_and_stay_with_the_seed():
    net = ToyCausal(1, 13)
    found = search(net, 6, (3, 4), 7, width=9)
    assert len({text for text, _ in found}) == 9
    assert found == search(net, 6, (3, 4), 7, width=9) != search(net, 6, (3, 4), 8, width=9)


def test_wider_than_there_are_texts():
    net = ByText(ToyCausal(0, 3).plain)
    assert len(search(net, 2, (2,), 1, width=20)) == 7  # 3 * 3 texts, those behind the end being one


def test_without_noise_the_likeliest_texts():
    net = ByText(ToyCausal(0, 3).plain)
    law = law_of_text(net, PROMPT, 3, eos=(2,))
    likeliest = sorted(law, key=law.__getitem__, reverse=True)
    found = search(net, 3, (2,), greedy=True, width=20)
    assert [text for text, _ in found] == likeliest
    assert [score for _, score in found] == pytest.approx(
        [log_probability(net, PROMPT, t) for t in likeliest]
    )
