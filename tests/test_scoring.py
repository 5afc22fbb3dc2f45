"""The guard around scorers: whatever a reward does, a request ends with one sentence or gets its numbers."""

from __future__ import annotations

import time

import pytest
import torch

from anyorder import registry
from anyorder.card import SCORER, Setting
from anyorder.errors import UserError
from anyorder.scoring import Prefix, Scorer, of_function

TEXTS = [Prefix((1,), (2, 3)), Prefix((1,), (4,))]


def test_a_function_gets_texts_and_the_prompt():
    seen = []

    def reward(texts, prompt):
        seen.append((texts, prompt))
        return [len(text) for text in texts]

    assert of_function(reward, Setting())(TEXTS) == [3.0, 1.0]
    assert of_function(reward, Setting(prompt="as written", spell=lambda t: "x" * len(t)))(TEXTS) == [
        2.0,
        1.0,
    ]
    assert seen == [(["2 3", "4"], "1"), (["xx", "x"], "as written")]


@pytest.mark.parametrize("numbers", [(1, 2), torch.tensor([1.0, 2.0]), (x for x in (True, 2))])
def test_whatever_holds_numbers_is_taken(numbers):
    assert Scorer(lambda prefixes: numbers)(TEXTS) == [1.0, 2.0]


def test_nothing_is_asked_about_nothing():
    assert Scorer(lambda prefixes: 1 / 0)([]) == []


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda: 1 / 0, "mine raised ZeroDivisionError: division by zero; a reward returns numbers"),
        (lambda: [1.0], "mine returned 1 numbers for 2 texts"),
        (lambda: [1.0, float("nan")], "mine returned NaN"),
        (lambda: 7, "mine returned 7; allowed is a list"),
        (lambda: None, "mine returned None"),
        (lambda: ["good", "bad"], r"mine returned \['good', 'bad'\]"),
        (lambda: [[0] * 10**6, 1], r"mine returned \[\[0, 0, 0.{0,40}\.\.\."),
        (lambda: exit(3), "mine raised SystemExit: 3"),
        (lambda: (_ for _ in "ab" if 1 / 0), "mine raised ZeroDivisionError"),
        (lambda: (_ for _ in ()).throw(OSError("two\nlines")), "mine raised OSError: two lines;"),
    ],
)
@pytest.mark.parametrize("seconds", [60.0, float("inf")])
def test_a_broken_reward_is_one_sentence(answer, said, seconds):
    with pytest.raises(UserError, match=said) as raised:
        Scorer(lambda prefixes: answer(), "mine", seconds=seconds)(TEXTS)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 250


def test_a_reward_that_hangs_is_left_behind():
    start = time.monotonic()
    with pytest.raises(UserError, match=r"mine took more than 0.05 seconds for 2 texts; make it quicker"):
        Scorer(lambda prefixes: time.sleep(3), "mine", seconds=0.05)(TEXTS)
    assert time.monotonic() - start < 2


def test_a_sentence_of_the_scorer_s_own_is_left_as_it_is():
    def score(prefixes):
        raise UserError("seen; allowed; do")

    with pytest.raises(UserError, match=r"^seen; allowed; do$"):
        Scorer(score)(TEXTS)


# by name ----------------------------------------------------------------------------------------------------


def test_scorers_and_methods_have_names_of_their_own():
    assert not set(registry.scorers()) & set(registry.cards())
    assert all(card.family == SCORER for card in registry.scorers().values())


@pytest.mark.parametrize(
    "what, said",
    [
        ("keyword/words=a", "unknown scorer 'keyword'; did you mean 'keywords'"),
        ("", "unknown scorer ''; allowed are classifier, compiles"),
        ("keywords/word=a", "scorer keywords has no option 'word'; its options: words, case, whole"),
        ("weighted/of=(constant", "parentheses come in pairs"),
    ],
)
def test_specs_that_cannot_be(what, said):
    with pytest.raises(ValueError, match=said):
        registry._scorer(what, Setting(vocab=13))


def test_a_scorer_stands_for_itself():
    scorer = Scorer(lambda prefixes: [0.0] * len(prefixes))
    assert registry._scorer(scorer, Setting()) is scorer
    assert registry._scorer("constant/value=2.5", Setting())(TEXTS) == [2.5, 2.5]
