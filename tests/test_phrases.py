"""Phrases: what followed before."""

from hypothesis import given
from hypothesis import strategies as st

from anyorder.phrases import ALWAYS, EARLIER, FAR, LATEST, ORDER, Phrases

texts = st.lists(st.integers(0, 3), max_size=40)


def read(text):
    phrases = Phrases()
    phrases.follow(text)
    return phrases


@given(texts, texts)
def test_read_in_parts_or_at_once(first, second):
    parts = read(first)
    parts.follow(first + second)
    assert parts.next == read(first + second).next


@given(texts.filter(bool), st.lists(st.integers(0, 3), max_size=3))
def test_what_is_guessed_followed_before(text, path):
    """Every guess followed the last token before; the longest phrase's come first, the latest first."""
    whole = (*text, *path)
    ranked = read(text).after(tuple(path))
    tokens = [token for token, _ in ranked]
    assert len(set(tokens)) == len(tokens)
    assert all(any(text[i : i + 2] == [whole[-1], token] for i in range(len(text) - 1)) for token in tokens)
    assert bool(tokens) == (whole[-1] in text[:-1])
    if tokens:
        longest = max(
            n for n in range(1, ORDER + 1)
            if any(tuple(text[i : i + n]) == whole[-n:] for i in range(len(text) - n))
        )  # fmt: skip
        ends = [
            i + longest
            for i in range(len(text) - longest)
            if tuple(text[i : i + longest]) == whole[-longest:]
        ]
        assert tokens[0] == text[ends[-1]]


def test_chances_by_the_length_of_the_match():
    assert read([7, 1, 8, 9, 1]).after(()) == [(8, ALWAYS[0])]
    assert read([1, 2, 3, 4, 5, 6, 9, 1, 2, 3, 4, 5, 6]).after(()) == [(9, ALWAYS[5])]  # further than ORDER
    assert read([1, 8, 1, 9, 1]).after(()) == [(9, LATEST[0]), (8, EARLIER[0])]
    long = list(range(FAR + 4))
    assert read([*long, 99, *long]).after(()) == [(99, ALWAYS[-1])]
    assert read(long).after(()) == []


def test_another_text_starts_afresh():
    phrases = read([1, 2, 3, 1])
    phrases.follow([5, 6, 5])
    assert phrases.after(()) == [(6, ALWAYS[0])]
