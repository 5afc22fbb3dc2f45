"""Texts put together from several hypotheses: the first one with some of the others' differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple


class Change(NamedTuple):
    """Words `start` to `end` of the first hypothesis become these."""

    start: int
    end: int
    words: tuple[str, ...]

    def meets(self, other: Change) -> bool:
        """Whether both cannot be made; two that begin at one place are alternatives."""
        return self.start == other.start or (self.start < other.end and other.start < self.end)


def changes(first: Sequence[str], other: Sequence[str]) -> Iterator[Change]:
    for kind, a, b, c, d in SequenceMatcher(None, first, other, autojunk=False).get_opcodes():
        if kind != "equal":
            yield Change(a, b, tuple(other[c:d]))


def changed(words: Sequence[str], made: Sequence[Change]) -> str:
    """The words with these changes, none of which meet."""
    out = list(words)
    for change in sorted(made, reverse=True):
        out[change.start : change.end] = change.words
    return " ".join(out)


def compositions(texts: Sequence[str], most: int) -> list[str]:
    """The hypotheses, then what their differences from the first make together; `most` in all, or as many as
    there are hypotheses.

    >>> compositions(["the see is blew", "the sea is blew", "the see is blue"], 9)
    ['the see is blew', 'the sea is blew', 'the see is blue', 'the sea is blue']
    """
    first = texts[0].split()
    made: list[tuple[Change, ...]] = [()]
    for change in dict.fromkeys(c for text in texts[1:] for c in changes(first, text.split())):
        free = [some for some in made if not any(change.meets(one) for one in some)]
        made += [(*some, change) for some in free[: max(0, most - len(made))]]
    found = dict.fromkeys([*texts, *filter(None, (changed(first, some) for some in made))])
    return list(found)[: max(most, len(set(texts)))]
