"""Word error rates and their oracles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.errors import UserError
from anyorder.nbest import EXAMPLE, NBest, built, correct, figures, read
from anyorder.nbest.noise import distance
from anyorder.nbest.numbers import spelled
from anyorder.nbest.ways import Corrected
from anyorder.nbest.wer import NORMAL, character_error_rate, normaliser, word_errors

SENTENCE = st.lists(st.sampled_from("abcd"), max_size=6).map(" ".join)
LISTS = st.lists(st.tuples(st.lists(SENTENCE, min_size=1, max_size=5), SENTENCE), min_size=1, max_size=4)


@given(LISTS, st.sampled_from(sorted(NORMAL)))
def test_oracles_are_ordered(pairs: list, normalize: str) -> None:
    lists = [built(NBest.of(texts, reference)) for texts, reference in pairs]
    said = figures(lists, correct(None, lists, "first"), normalize)
    if said["words"]:
        assert 0 <= said["wer_o_cp"] <= said["wer_o_nb"] <= said["wer_first"] == said["wer_result"]
    else:
        assert said["wer_first"] is None
    best = [min(word_errors(one.reference, h if h != "<UNK>" else "") for h in one.texts) for one in lists]
    if said["words"] and normalize == "none":
        assert said["wer_o_nb"] == pytest.approx(sum(best) / said["words"], abs=1e-6)


@given(SENTENCE, SENTENCE)
def test_errors_are_the_distance_of_words(reference: str, hypothesis: str) -> None:
    assert word_errors(reference, hypothesis) == distance(reference.split(), hypothesis.split())


def test_figures_by_hand() -> None:
    lists = [
        built(NBest.of(["the cat sad", "a cat sat", "the hat"], "the cat sat")),
        built(NBest.of(["on the mat", "on a mat"], "on the red mat")),
        built(NBest.of(["nobody knows"])),  # no reference: nothing is counted
    ]
    made = [Corrected(1, "The cat sat!", None), Corrected(2, "red", None, "refused"), Corrected(3, "x", None)]
    said = figures(lists, made)
    assert said["words"] == 7
    assert said["wer_first"] == pytest.approx(2 / 7, abs=1e-6)
    assert said["wer_o_nb"] == pytest.approx(2 / 7, abs=1e-6)  # "a cat sat", "on the mat"
    assert said["wer_o_cp"] == pytest.approx(1 / 7, abs=1e-6)  # only "red" is nowhere
    assert said["wer_result"] == pytest.approx(3 / 7, abs=1e-6)
    assert (said["lists"], said["references"], said["better"], said["worse"]) == (3, 2, 1, 1)
    assert (said["changed"], said["gated"]) == (3, 1)


def test_the_oracles_of_the_shipped_example_leave_room() -> None:
    lists = read(EXAMPLE)
    said = figures(lists, correct(None, lists, "first"))
    assert said["wer_o_cp"] < said["wer_o_nb"] < said["wer_first"]


def test_an_empty_hypothesis_counts_as_nothing_said() -> None:
    lists = [built(NBest.of([""], "a b"))]
    made = correct(None, lists, "first")
    assert made[0].text == ""
    assert figures(lists, made)["wer_first"] == 1


@pytest.mark.parametrize(
    "name, text, plain",
    [
        ("none", " A  b, C! ", "A b, C!"),
        ("basic", "It’s a 'well-known' -- Thing!", "it's a well-known thing"),
        ("english", "It's Mr. Smith's, um, 21st [noise]", "it is mister smith is twenty first"),
    ],
)
def test_normalisers(name: str, text: str, plain: str) -> None:
    normal = normaliser(name)
    assert normal(text) == plain
    assert normal(normal(text)) == plain


def test_an_unknown_normaliser_is_refused() -> None:
    with pytest.raises(UserError, match=r"allowed is none \| basic \| english"):
        normaliser("german")


@pytest.mark.parametrize(
    "text, words",
    [
        ("0 7 13 20 42", "zero seven thirteen twenty forty two"),
        ("100 305 1999", "one hundred three hundred five one thousand nine hundred ninety nine"),
        ("2000001", "two million one"),
        ("1st 2nd 3rd 12th 20th 21st", "first second third twelfth twentieth twenty first"),
        ("$20 5% 3.05", "twenty dollars five percent three point zero five"),
        ("1000000000000", "one" + " zero" * 12),
        ("no digits", "no digits"),
    ],
)
def test_digits_as_words(text: str, words: str) -> None:
    assert spelled(text) == words


@given(st.text("ab 0123456789.%$", max_size=12))
def test_no_digit_is_left(text: str) -> None:
    assert not any(letter.isdigit() for letter in spelled(text))


def test_character_error_rate() -> None:
    assert character_error_rate("abcd", "abed") == 0.25
