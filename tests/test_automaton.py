"""Suffix automata against slow searches: phrases, counts, places, the longest match."""

from hypothesis import given
from hypothesis import strategies as st

from anyorder.automaton import FULL, GAP, LINKS, REACH, Automaton, Kept, Reader

TEXT = st.lists(st.integers(0, 2), max_size=40)


def grown(text):
    held = Automaton()
    for token in text:
        held.add(token)
    return held


def ends(text, phrase):
    """Where a phrase ends in a text."""
    m = len(phrase)
    return [i + m for i in range(len(text) - m + 1) if text[i : i + m] == phrase]


def longest(text, other=None):
    """The longest suffix of `text` in `other`, or earlier in itself, and where it ended last."""
    for m in range(len(text), 0, -1):
        phrase = text[len(text) - m :]
        places = ends(text, phrase)[:-1] if other is None else ends(other, phrase)
        if places:
            return m, places[-1]
    return 0, 0


@given(TEXT, st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_phrases_counts_and_places(text, phrase):
    held, state = grown(text), 0
    for token in phrase:
        state = held.next[state].get(token, -1)
        if state < 0:
            break
    places = ends(text, phrase)
    assert (state >= 0) == bool(places)
    if places and len(text) < LINKS:
        assert (held.count[state], held.end[state]) == (len(places), places[-1])
    assert len(held.link) <= max(2, 2 * len(text))


@given(TEXT)
def test_the_longest_repeated_suffix(text):
    reader = Reader(Kept())
    for n in range(1, len(text) + 1):
        match = reader.match(text[:n])
        assert (match.length, match.end if match.length else 0) == longest(text[:n])
        after = [text[e] for e in ends(text[:n], text[n - match.length : n]) if e < n]
        shares = {t: share for t, _, share in match.held.following(match.state)}
        if match.length:
            assert shares == {t: after.count(t) / len(after) for t in after}


@given(TEXT, TEXT, TEXT)
def test_texts_of_earlier_requests(one, two, text):
    """The longest match anywhere; a kept text may come while another one is read."""
    kept = Kept()
    kept.keep(one)
    reader, held = Reader(kept), [*one, GAP]
    for n in range(1, len(text) + 1):
        if n == 5:
            kept.keep(two)
            held += [*two, GAP]
        match = reader.match(text[:n])
        own, other = longest(text[:n])[0], longest(text[:n], held)
        assert match.length == max(own, other[0])
        if other[0] > own:
            assert (match.held, match.end) == (kept.young, other[1])


def test_one_token_again_and_again():
    """Counting stops after LINKS links: the text stays cheap and its longest match right."""
    reader, text = Reader(Kept()), [7] * 400
    match = reader.match(text)
    assert (match.length, match.end) == (399, 399)
    assert sum(match.held.count) <= 400 * LINKS


def test_two_generations():
    kept = Kept()
    kept.keep([1] * FULL)
    kept.keep([2, 3])
    assert (len(kept.young.text), len(kept.old.text)) == (3, FULL + 1)
    assert Reader(kept).match([9, 2]).held is kept.young
    assert Reader(kept).match([9, 1]).held is kept.old
    kept.keep([4] * FULL)
    kept.keep([5])
    assert Reader(kept).match([9, 1]).length == 0  # the oldest went
    assert kept.old.text[:4] == [2, 3, GAP, 4]


def test_matches_are_found_anew_when_texts_come():
    kept, text = Kept(), [*range(100)]
    reader = Reader(kept)
    assert reader.match(text).length == 0
    kept.keep(range(100))
    assert reader.match([*text, 100]).length == 0
    assert reader.match([*text, 100, 1, 2]).length == 2
    kept.keep([*text, 100, 1, 2, 5])
    assert reader.match([*text, 100, 1, 2, 5]).length == REACH  # no further back
