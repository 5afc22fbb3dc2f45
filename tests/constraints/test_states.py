"""States: sets of tokens, two at once, words that must occur, functions of one's own."""

import pytest

from anyorder.constraints.states import Banned, Both, ByFunction, Keywords, Least, has
from anyorder.errors import UserError

from .toys import after_one, vocabulary

WORDS = ["end", "the", " cat", "alog", "CAT", ".", " dog"]


def spelled(eos=(0,)):
    from anyorder.constraints.states import Vocabulary

    return Vocabulary(
        len(WORDS), eos, None, lambda text: [WORDS.index(f" {w}") for w in text.split()],
        lambda tokens: "".join(WORDS[t] for t in tokens),
    )  # fmt: skip


def open_(state, size):
    bits = state.allowed()
    return [t for t in range(size) if bits is None or has(bits, t)]


def test_sets_are_packed_and_unknown_tokens_named():
    words = vocabulary(40, [3])
    bits = words.pack([0, 9, 39])
    assert len(bits) == words.width == 8
    assert [t for t in range(40) if has(bits, t)] == [0, 9, 39]
    assert not has(words.going_on, 3)
    assert has(words.all, 3)
    with pytest.raises(UserError, match="names token 40; allowed is 0 to 39"):
        words.pack([40])


@pytest.mark.parametrize(
    "text, all_, done",
    [
        ("2", True, False),
        ("2 6", True, True),
        ("2", False, True),
        ("2 3", False, False),  # catalog is not cat
        ("4 5", False, True),  # capital letters
        ("1 4", False, False),  # theCAT is one word
        ("2 5 6", True, True),
    ],
)
def test_keywords_are_whole_words(text, all_, done):
    state = Keywords(("cat", "dog"), all_, spelled())
    for token in map(int, text.split()):
        state = state.after([token])
    assert state.complete == done
    assert (0 in open_(state, 7)) == done
    way = state.finish(9)
    assert state.after(way).complete
    assert (way == []) == done


def test_a_word_that_was_seen_stays_seen():
    state = Keywords(("cat",), True, spelled()).after([2])
    assert not state.after([3]).complete
    state = state.after([5])
    for _ in range(60):
        state = state.after([1])
    assert state.complete


def test_least_counts():
    state = Least(2, vocabulary(4, [0]).going_on)
    assert open_(state, 4) == [1, 2, 3]
    assert not state.after([1]).complete
    assert open_(state.after([1, 1]), 4) == [0, 1, 2, 3]


def test_functions_of_ones_own():
    words = vocabulary(4, [3])
    state = ByFunction(after_one, words)
    assert open_(state, 4) == [0, 1, 2, 3]
    assert state.after([1]).forced() == [2]
    assert state.after([1, 3]) is None
    assert open_(state.after([1, 2]), 4) == [0]
    banned = ByFunction(lambda tokens: Banned([1, 3]), words)
    assert open_(banned, 4) == [0, 2]
    assert not banned.complete
    assert banned.finish(5) is None


def test_two_at_once():
    words = vocabulary(4, [3])
    state = Both(ByFunction(after_one, words), Least(3, words.going_on))
    assert open_(state, 4) == [0, 1, 2]
    assert open_(state.after([1]), 4) == [2]
    assert state.after([1, 1]) is None
    assert state.after([1]).forced() == [2]
    assert not state.after([1, 2]).complete
    assert state.after([0, 0, 0]).complete
