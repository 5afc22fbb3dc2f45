"""Rhyme word first: round trip, endings, the trie before the separator, and a line held to its word."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anyorder
from anyorder.constraints.rhyme import Rhyme, ending, format_line, last_word, line_ends, parse_line, rhyming
from anyorder.constraints.states import Banned
from anyorder.errors import UserError


def encode(text):
    return [ord(c) for c in text]


def spell(tokens):
    return "".join(map(chr, tokens))


@given(
    st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=6), st.sampled_from(".!?,")
)
def test_round_trip(words, mark):
    line = " ".join(words) + mark
    assert parse_line(format_line(line)) == (words[-1], line)


@pytest.mark.parametrize("line, word", [("The moon.", "moon"), ("Don’t!", "don’t"), ("… 7 --", ""), ("", "")])
def test_last_words(line, word):
    assert last_word(line) == word


def test_spelling_tells_rhymes():
    assert [ending(w) for w in ("night", "time", "banana", "see", "sky")] == ["ight", "ime", "na", "ee", "ky"]
    assert rhyming("night", ["Light", "night", "kit", "bright", "x9ight"]) == ["bright", "light"]


def test_the_trie_allows_beginnings_of_candidates_only():
    rhyme = Rhyme("night", ["light", "like", "NIGHT"], encode, spell)
    assert rhyme([]) == {ord("l")}
    assert rhyme(encode("li")) == {ord("g"), ord("k")}
    assert rhyme(encode("like")) == {ord(":")}
    assert rhyme(encode("like:")) is None
    assert rhyme(encode("n")) == set()


def test_a_line_is_held_to_its_word():
    rhyme = Rhyme("night", ["light"], encode, spell, ends=[0], hold=True)
    for text, ends in (
        ("light: a", False),
        ("light: a light", True),
        ("light: light a", False),
        ("light:", False),
    ):
        said = rhyme(encode(text))
        assert isinstance(said, Banned) != ends
        assert rhyme(encode(text + spell(rhyme.finish(encode(text))))) is None
    assert spell(rhyme.finish([])) == "light: light"


def test_nothing_rhymes():
    with pytest.raises(UserError, match="no word is known that rhymes with 'night'"):
        Rhyme("night", ["night"], encode, spell)


def test_on_a_model(tiny_model_folder: Path):
    model = anyorder.load(str(tiny_model_folder), precision="fp32")
    words = model.vocabulary
    for method in ("greedy", "beam", "prompt_lookup"):
        rhyme = Rhyme("night", ["light", "bright"], words.encode, words.spell, line_ends(words), hold=True)
        result = model.generate("a line", method, max_tokens=40, constraint=rhyme)
        word, line = parse_line(result.text)
        assert word in ("light", "bright")
        assert last_word(line) == word
