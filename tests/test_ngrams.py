"""The 3-gram law, and the path search over what several cells may hold."""

import math
from itertools import product

import pytest

from anyorder import ngrams
from anyorder.ngrams import IMPOSSIBLE, Ngrams, Spot, path

EOS = (4,)


def counted(text=(1, 2, 3, 1, 2, 3, 1, 2, 0), vocab=5):
    grams = Ngrams(vocab)
    grams.learn(list(text))
    return grams


def score(tokens, spots, before, grams, weight):
    """The objective of a path that does not end, written out."""
    text, total = list(before), 0.0
    for token, spot in zip(tokens, spots, strict=True):
        log = spot.log[spot.token.index(token)]
        total += weight * log + (1 - weight) * math.log(grams(token, tuple(text[-2:])))
        text.append(token)
    return total


def spots(laws, end=IMPOSSIBLE):
    return [Spot(tuple(law), tuple(math.log(p) for p in law.values()), end) for law in laws]


@pytest.mark.parametrize("before", [(), (2,), (1, 2), (4, 4), (0, 1, 2)])
def test_it_is_a_law(before):
    assert sum(counted()(t, before) for t in range(5)) == pytest.approx(1)
    assert sum(Ngrams(7)(t, before) for t in range(7)) == pytest.approx(1)


def test_closed_form():
    """(1, 2) was followed by 3, 3 and 0: one place is left for the shorter contexts."""
    grams = counted()
    unigram = (2 + 1 / 5) / (9 + 1)  # of 3
    bigram = (2 + unigram) / (3 + 1)
    assert grams(3, (1, 2)) == pytest.approx((2 + bigram) / (3 + 1))
    assert grams(3, (4, 2)) == pytest.approx(bigram)  # a context never seen says what the shorter one says
    assert Ngrams(8)(3, (1, 2)) == 1 / 8


def test_a_growing_text_is_counted_once():
    whole, parts, text = counted(), Ngrams(5), [1, 2, 3, 1, 2, 3, 1, 2, 0]
    for start, stop in ((0, 4), (4, 4), (4, 9)):
        parts.learn(text[:stop], start)
    assert (parts.pairs, parts.whole) == (whole.pairs, whole.whole)


def test_what_is_counted_is_bounded(monkeypatch):
    monkeypatch.setattr(ngrams, "LARGEST", 20)
    grams = Ngrams(5)
    for _ in range(9):
        grams.learn([1, 2, 3, 1, 2, 3, 1, 2])
    assert grams.learned <= 20
    assert sum(grams.whole.values()) <= 3 * 20


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_wide_beam_finds_the_best_path(weight):
    grams = counted()
    laws = [{0: 0.4, 1: 0.35, 3: 0.2}, {2: 0.5, 3: 0.3}, {3: 0.6, 0: 0.3, 1: 0.1}]
    lattice = spots(laws)
    found = path(lattice, [3, 1, 2], grams, 99, weight, EOS)
    worths = {p: score(p, lattice, (3, 1, 2), grams, weight) for p in product(*laws)}
    assert worths[tuple(found)] == pytest.approx(max(worths.values()))
    if weight == 1.0:
        assert found == [max(law, key=law.get) for law in laws]  # the net alone: each likeliest token


def test_the_text_before_tells_likely_tokens_that_fit_from_those_that_do_not():
    """Holes that are told apart mix two continuations; three tokens in a row do not."""
    grams = counted((1, 2, 1, 2, 1, 2, 3, 0, 3, 0, 3, 0))
    lattice = spots([{1: 0.5, 3: 0.48}, {0: 0.5, 2: 0.48}])
    assert path(lattice, [4], grams, 3, 1.0, EOS) == [1, 0]
    assert path(lattice, [4], grams, 3, 0.5, EOS) in ([1, 2], [3, 0])


def test_a_beam_of_one_is_greedy():
    lattice = spots([{0: 0.6, 1: 0.4}, {2: 0.5, 3: 0.5}])
    grams = counted((0, 3, 1, 2, 1, 2, 1, 2, 1, 2))
    narrow, wide = (path(lattice, [4], grams, beam, 0.9, EOS) for beam in (1, 9))
    assert narrow[0] == 0
    assert score(wide, lattice, (4,), grams, 0.9) >= score(narrow, lattice, (4,), grams, 0.9)


def test_a_path_that_ends_is_cut_there_and_pays_for_the_cells_behind():
    laws = [{1: 0.7, 4: 0.3}, {2: 0.9, 4: 0.1}, {3: 0.9, 4: 0.1}]
    sure = [Spot(s.token, s.log, math.log(p)) for s, p in zip(spots(laws), (0.3, 0.97, 0.97), strict=True)]
    unsure = [Spot(s.token, s.log, math.log(p)) for s, p in zip(spots(laws), (0.3, 0.1, 0.1), strict=True)]
    flat = Ngrams(5)
    assert path(sure, [0], flat, 9, 0.5, EOS) == [4]
    assert path(unsure, [0], flat, 9, 1.0, EOS) == [1, 2, 3]


def test_no_holes_no_path():
    assert path([], [1, 2], counted(), 3, 0.5, EOS) == []
