"""Shapers against slow obvious references, and along guesses as if they were text."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anyorder.core.canvas import Canvas
from anyorder.core.decode import as_it_is
from anyorder.core.types import Answer, Ask, Lines, Tree
from anyorder.shapers import Sampling, ban, chained, compose
from anyorder.testing import ToyCausal, plain_line

V = 6
INFINITY = float("inf")
numbers = st.floats(-4, 4, allow_nan=False).map(lambda x: round(x, 2))
lines = st.lists(numbers, min_size=V, max_size=V)
texts = st.lists(st.integers(0, V - 1), max_size=6)


def softmax(line):
    weights = [math.exp(x - max(line)) for x in line]
    return [w / sum(weights) for w in weights]


def slow(line, prompt, text, s: Sampling):
    """One line, one rule after the other, with loops."""
    line = list(line)
    for t, bias in s.logit_bias.items():
        line[t] += bias
    for t in s.banned:
        line[t] = -INFINITY
    for t in set(prompt + text):
        line[t] = line[t] / s.repetition_penalty if line[t] > 0 else line[t] * s.repetition_penalty
    for t in set(text):
        line[t] -= s.presence_penalty + s.frequency_penalty * text.count(t)
    if s.greedy:
        return line
    line = [x / s.temperature for x in line]
    if s.top_k:
        worst = sorted(line)[-min(s.top_k, V)]
        line = [x if x >= worst else -INFINITY for x in line]
    if s.top_p < 1:
        law, before, keep = softmax(line), 0.0, []
        for t in sorted(range(V), key=lambda t: (-line[t], t)):
            if keep and before >= s.top_p:
                break
            keep.append(t)
            before += law[t]
        line = [x if t in keep else -INFINITY for t, x in enumerate(line)]
    if s.min_p:
        law = softmax(line)
        line = [x if p >= s.min_p * max(law) * (1 - 1e-12) else -INFINITY for x, p in zip(line, law)]
    return line


def shaped(line, prompt, text, s: Sampling):
    canvas = Canvas(prompt, len(text) + 1)
    canvas.rows[0] += text
    logits = torch.tensor([line], dtype=torch.float64)
    answer = compose(s)(Answer(logits, (Lines(0, 0, len(prompt) + len(text)),)), canvas)
    assert logits.tolist() == [list(line)], "a shape works on a copy"
    return answer.logits[0].tolist()


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 1.7]), top_k=st.integers(0, V + 2),
    top_p=st.sampled_from([1.0, 0.03, 0.52, 0.87]), min_p=st.sampled_from([0.0, 0.11, 0.37]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.7]), presence_penalty=st.sampled_from([0.0, 0.6, -0.6]),
    frequency_penalty=st.sampled_from([0.0, 0.25]),
    logit_bias=st.dictionaries(st.integers(0, V - 1), numbers, max_size=2),
    banned=st.sets(st.integers(0, V - 1), max_size=2).map(tuple),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(lines, texts, texts, samplings)
def test_equals_the_slow_reference(line, prompt, text, s):
    assert shaped(line, prompt, text, s) == pytest.approx(slow(line, prompt, text, s))


@settings(max_examples=100, deadline=None)
@given(lines, samplings)
def test_something_is_always_left(line, s):
    law = torch.tensor(shaped(line, [0], [], s)).softmax(-1)
    assert law.sum() == pytest.approx(1.0)


@settings(max_examples=100, deadline=None)
@given(lines, st.integers(1, V), st.sampled_from([0.2, 0.6, 0.95]))
def test_truncation_keeps_the_likeliest_and_their_ratios(line, k, mass):
    for s in (Sampling(temperature=1, top_k=k), Sampling(temperature=1, top_p=mass)):
        found = shaped(line, [0], [], s)
        assert all(x in (y, -INFINITY) for x, y in zip(found, line))
        left = [y for x, y in zip(found, line) if x > -INFINITY]
        assert all(y <= min(left) for x, y in zip(found, line) if x == -INFINITY)


def test_defaults_change_nothing():
    assert compose(Sampling()) is as_it_is
    assert compose(Sampling(temperature=1.0)) is as_it_is


@st.composite
def trees(draw):
    parents = [draw(st.integers(-1, i - 1)) for i in range(draw(st.integers(0, 5)))]
    return Tree(tuple(draw(st.integers(0, V - 1)) for _ in parents), tuple(parents))


@settings(max_examples=120, deadline=None)
@given(trees(), trees(), texts, st.integers(0, 3), samplings)
def test_along_a_guess_as_if_it_were_text(one, two, text, skip, s):
    """Two rows, lines skipped or not: each line of a tree is the row's plain line with the path written."""
    net, canvas = ToyCausal(0, V), Canvas([1, 2], 99, rows=2)
    canvas.rows[0] += text
    canvas.rows[1] += [3]
    (answer,) = net([(Ask(lambda a, c: None, guess=(one, two), skip=skip), canvas)])
    answer = compose(s)(answer, canvas)
    for lines, tree in zip(answer.rows, (one, two), strict=True):
        for i in range(skip, lines.count):
            text = [*canvas.rows[lines.row][2:], *tree.path(i - 1)]
            true = plain_line(net, [1, 2], text, compose(s))
            assert answer.logits[lines.start + i].tolist() == pytest.approx(true.tolist(), abs=1e-9)


def test_half_precision_is_shaped_in_single():
    canvas = Canvas([1], 2)
    answer = Answer(torch.zeros(1, V, dtype=torch.bfloat16), (Lines(0, 0, 1),))
    assert compose(Sampling(temperature=0.3))(answer, canvas).logits.dtype == torch.float32
    assert chained([ban([1])])(answer, canvas).logits[0].tolist() == [0, -INFINITY, 0, 0, 0, 0]


def test_any_order_lines_count_what_is_written():
    """With cells asked, holes are not counted, and a canvas without a prompt may have nothing to count."""
    canvas = Canvas([2], 3, mask=9)
    canvas.rows[0][1] = 4
    answer = Answer(torch.ones(2, V), (Lines(0, 0, 4, cells=(2, 3)),))
    found = compose(Sampling(repetition_penalty=2.0, presence_penalty=0.5))(answer, canvas).logits
    assert found.tolist() == [[1, 1, 0.5, 1, 0.0, 1]] * 2
    empty = Canvas([], 2, mask=9)
    answer = Answer(torch.ones(1, V), (Lines(0, 0, 2, cells=(1,)),))
    assert compose(Sampling(repetition_penalty=2.0))(answer, empty).logits.tolist() == [[1.0] * V]


HALVES = (0.5, 0.25, 0.125, 0.125)  # surprises of 1, 2, 3 and 3 bits, entropy 1.75


def left(law, **sampling):
    """Which tokens of a law are left; their ratios stay."""
    line = [math.log(p) if p else -INFINITY for p in law]
    found = shaped(line, [0], [], Sampling(temperature=1.0, **sampling))
    assert all(x in (y, -INFINITY) for x, y in zip(found, line))
    return [t for t, x in enumerate(found) if x > -INFINITY]


@pytest.mark.parametrize(
    "mass, kept",
    [
        (1e-9, [1]),
        (0.2, [1]),
        (0.25, [1]),
        (0.26, [0, 1]),
        (0.75, [0, 1]),
        (0.76, [0, 1, 2]),
        (1.0, [0, 1, 2, 3]),
    ],
)
def test_typical_tokens_are_those_nearest_to_the_entropy(mass, kept):
    """The order of distances from 1.75 bits is token 1, token 0, tokens 2 and 3."""
    assert left(HALVES, typical_p=mass) == kept


def test_the_likeliest_token_may_not_be_typical():
    """Of ten tokens one has .4 and nine a fifteenth each: entropy 2.87 bits, surprises 1.32 and 3.91."""
    law = [0.4] + [0.6 / 9] * 9
    assert left(law, typical_p=0.3) == [1, 2, 3, 4, 5]
    assert left(law, typical_p=0.61) == list(range(10))
    assert left([0.25, 0.75, 0.0], typical_p=0.9) == [0, 1], "what is impossible is not typical"


@pytest.mark.parametrize(
    "epsilon, kept", [(0.0, [0, 1, 2, 3]), (0.125, [0, 1, 2, 3]), (0.126, [0, 1]), (0.3, [0]), (0.9, [0])]
)
def test_epsilon(epsilon, kept):
    """Tokens at least epsilon likely; where none is, the likeliest."""
    assert left(HALVES, epsilon=epsilon) == kept


@pytest.mark.parametrize(
    "eta, kept",
    [
        (0.04, [0, 1, 2, 3]),  # the least is eta itself: sqrt(.04) 2^-1.75 = .059 is more
        (0.17, [0, 1, 2, 3]),  # sqrt(.17) 2^-1.75 = .1226
        (0.18, [0, 1]),  # .1261, though eta is .18
        (0.70, [0, 1]),  # .2487
        (0.72, [0]),  # .2523
        (1.0, [0]),
    ],
)
def test_eta(eta, kept):
    assert left(HALVES, eta=eta) == kept


def test_eta_of_a_sure_law_is_epsilon():
    """Entropy near 0: the least is eta, not its root."""
    assert left([0.97, 0.02, 0.01], eta=0.015) == left([0.97, 0.02, 0.01], epsilon=0.015) == [0, 1]


@pytest.mark.parametrize("sampling", [{"typical_p": 0.5}, {"epsilon": 0.2}, {"eta": 0.3}])
def test_equals_of_the_likeliest_stay(sampling):
    kept = left([0.25] * 4, **sampling)
    assert kept == ([0, 1] if "typical_p" in sampling else [0, 1, 2, 3])
