"""The noise model, and texts put together from hypotheses."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.nbest import EXAMPLE
from anyorder.nbest.noise import Rates, channel, distance, lists, misheard, neighbours, noisy
from anyorder.nbest.parts import compositions

LETTERS = "the quick brown fox jumps over the lazy dog " * 200


@given(st.text(max_size=30), st.integers())
def test_without_rates_the_channel_is_the_identity(text: str, seed: int) -> None:
    assert noisy(text, Rates(), random.Random(seed)) == text
    words = " ".join(text.split())
    assert misheard(words, 0.0, random.Random(seed)) == words


@pytest.mark.parametrize("kind", ["insertion", "deletion", "substitution", "transposition"])
def test_edits_come_at_their_rate(kind: str) -> None:
    count, rate = len(LETTERS), 0.1
    text = noisy(LETTERS, Rates(**{kind: rate}), random.Random(3))
    if kind in ("insertion", "deletion"):
        edits = abs(len(text) - count)
    else:
        edits = sum(a != b for a, b in zip(text, LETTERS, strict=True))
        letters = sum(letter != " " for letter in LETTERS)
        count = letters if kind == "substitution" else 2 * count  # a space has no neighbour; two letters move
    noise = 4 * math.sqrt(rate * (1 - rate) / len(LETTERS))  # four standard errors
    # equal letters beside each other do not show a transposition; after one the next letter is written
    low = rate * 0.85 if kind == "transposition" else rate
    assert low - noise < edits / count < rate + noise


def test_rates_are_chances() -> None:
    with pytest.raises(ValueError, match="sum to at most 1"):
        Rates(0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="rates from 0"):
        Rates(-0.1)


def test_neighbours_are_mutual() -> None:
    letters = "qwertyuiopasdfghjklzxcvbnm"
    assert all(a in neighbours(b) for a in letters for b in neighbours(a))
    assert neighbours("?") == "?"


@given(st.text("abc", max_size=8), st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    assert abs(len(a) - len(b)) <= distance(a, b) <= max(len(a), len(b))


def test_the_channel_likes_what_is_near() -> None:
    assert channel("abcd", "abcd", 0.1) == pytest.approx(4 * math.log(0.9))
    assert channel("abed", "abcd", 0.1) == pytest.approx(3 * math.log(0.9) + math.log(0.1))
    assert channel("abed", "abcd", 0.1) > channel("axed", "abcd", 0.1)


def test_the_shipped_example_is_what_the_model_makes() -> None:
    assert [json.loads(line) for line in EXAMPLE.read_text().splitlines()] == lists()


def test_compositions_hold_the_sentence_that_no_hypothesis_is() -> None:
    texts = ["the see is blew", "the sea is blew", "the see is blue and deep"]
    made = compositions(texts, 9)
    assert made[:3] == texts
    assert "the sea is blue and deep" in made
    assert len(made) == len(set(made)) == 4


WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=6).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(1, 20))
def test_compositions_begin_with_the_hypotheses_and_are_bounded(texts: list[str], most: int) -> None:
    made = compositions(texts, most)
    assert made[: len(set(texts))] == list(dict.fromkeys(texts))
    assert len(made) <= max(most, len(set(texts)))
    assert all(made)
