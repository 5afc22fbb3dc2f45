"""Where a text stands in a constraint, as values: a state tells what may follow and what comes of it.

A set of tokens is packed, one bit for each, lowest first. End-of-text tokens are tokens like others: where
one is allowed the text may end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from anyorder.errors import UserError

Bits = np.ndarray  # [4 ceil(V / 32)] uint8, packed
REACH = 48  # last tokens among which a word is looked for


@dataclass(frozen=True)
class Vocabulary:
    """What constraints must know of a model."""

    size: int  # V: logits of a line
    eos: tuple[int, ...]
    tokenizer: Any  # of transformers, a fast one
    encode: Callable[[str], list[int]]
    spell: Callable[[Sequence[int]], str]
    memory: dict[str, Any] = field(default_factory=dict)  # kept between requests
    trusted: bool = True  # grammars may lie in files

    @property
    def width(self) -> int:
        """Bytes of a packed set."""
        return -(-self.size // 32) * 4

    def pack(self, tokens: Iterable[int]) -> Bits:
        """The set of these tokens. Raises UserError for unknown ones."""
        bits = np.zeros(self.width * 8, dtype=np.uint8)
        index = np.fromiter(tokens, dtype=np.int64)
        unknown = index[(index < 0) | (index >= self.size)]
        if len(unknown):
            raise UserError(
                f"a constraint names token {unknown[0]}; allowed is 0 to {self.size - 1}; correct it"
            )
        bits[index] = 1
        return np.packbits(bits, bitorder="little")

    @cached_property
    def all(self) -> Bits:
        return self.pack(range(self.size))

    @cached_property
    def going_on(self) -> Bits:
        """Every token that does not end the text."""
        return self.all & ~self.pack(self.eos)


def has(bits: Bits, token: int) -> bool:
    return bool(bits[token >> 3] >> (token & 7) & 1)


class State(Protocol):
    """Where a text stands. It never changes; what a token makes of it is another state."""

    def allowed(self) -> Bits | None:
        """What may follow; None: anything."""
        ...

    def after(self, tokens: Sequence[int]) -> State | None:
        """The state some tokens later, none of them an end of text; None if they may not follow."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the text may end here."""
        ...

    def forced(self) -> list[int]:
        """What must follow, as far as that is known."""
        ...

    def finish(self, most: int) -> list[int] | None:
        """At most so many tokens after which the text may end; None if none are known."""
        ...


def reaches(state: State, tokens: Sequence[int]) -> bool:
    """Whether the text may end after these tokens."""
    later = state.after(tokens)
    return later is not None and later.complete


@dataclass(frozen=True)
class Both:
    """Two constraints at once."""

    one: State
    other: State

    def allowed(self) -> Bits | None:
        mine, theirs = self.one.allowed(), self.other.allowed()
        if mine is None or theirs is None:
            return theirs if mine is None else mine
        return mine & theirs

    def after(self, tokens: Sequence[int]) -> State | None:
        mine, theirs = self.one.after(tokens), self.other.after(tokens)
        return None if mine is None or theirs is None else Both(mine, theirs)

    @property
    def complete(self) -> bool:
        return self.one.complete and self.other.complete

    def forced(self) -> list[int]:
        return self.one.forced() or self.other.forced()

    def finish(self, most: int) -> list[int] | None:
        """What ends one of them, if it ends both, or the one's way and then the other's."""
        ways = [way for part in (self.one, self.other) if (way := part.finish(most)) is not None]
        ways.append([token for way in ways for token in way])
        return min((way for way in ways if len(way) <= most and reaches(self, way)), key=len, default=None)


@dataclass(frozen=True)
class Least:
    """At least so many tokens more before the text may end."""

    left: int
    going_on: Bits

    def allowed(self) -> Bits | None:
        return self.going_on if self.left > 0 else None

    def after(self, tokens: Sequence[int]) -> State:
        return self if self.left <= 0 else replace(self, left=self.left - len(tokens))

    @property
    def complete(self) -> bool:
        return self.left <= 0

    def forced(self) -> list[int]:
        return []

    def finish(self, most: int) -> list[int] | None:
        return [] if self.complete else None


@dataclass(frozen=True)
class Keywords:
    """The text does not end before it holds all of these words (or one of them, `all` false), whole words in
    capital or small letters."""

    words: tuple[str, ...]  # that were not seen yet
    all: bool
    vocabulary: Vocabulary
    token: tuple[int, ...] = ()  # the last ones

    def lacking(self, after: str = "") -> tuple[str, ...]:
        """Words that the last tokens do not hold with this pattern behind them."""
        text = self.vocabulary.spell(self.token)
        before = (
            r"(?<!\w)" if len(self.token) < REACH else r"(?<=\W)"
        )  # a text that is cut may begin in a word
        lacks = [w for w in self.words if not re.search(before + re.escape(w) + after, text, re.IGNORECASE)]
        return tuple(lacks) if self.all or len(lacks) == len(self.words) else ()

    def allowed(self) -> Bits | None:
        return None if self.complete else self.vocabulary.going_on

    def after(self, tokens: Sequence[int]) -> State:
        if not self.words:
            return self
        longer = replace(self, token=(*self.token, *tokens)[-REACH:])
        return replace(longer, words=longer.lacking(r"(?=\W)"))  # at the very end it may yet be another word

    @property
    def complete(self) -> bool:
        return not self.words or not self.lacking(r"(?!\w)")

    def forced(self) -> list[int]:
        return []

    def finish(self, most: int) -> list[int] | None:
        lacks = self.lacking(r"(?!\w)") if self.words else ()
        words = lacks if self.all else lacks[:1]
        tokens = self.vocabulary.encode("".join(f" {word}" for word in words)) if words else []
        return tokens if len(tokens) <= most else None


Allow = Callable[[list[int]], "Collection[int] | Banned | None"]


@dataclass(frozen=True)
class Banned:
    """What a constraint of one's own may return: everything but these tokens."""

    tokens: Collection[int]


@dataclass(frozen=True)
class ByFunction:
    """A constraint of one's own: a function of the tokens so far that returns the tokens that may follow,
    `Banned` ones, or None for anything. End-of-text tokens among them say that the text may end. It may have
    a method `finish(tokens)` that returns tokens after which the text may end."""

    allow: Allow
    vocabulary: Vocabulary
    token: tuple[int, ...] = ()

    def allowed(self) -> Bits | None:
        said = self.allow(list(self.token))
        if said is None:
            return None
        if isinstance(said, Banned):
            return self.vocabulary.all & ~self.vocabulary.pack(said.tokens)
        return self.vocabulary.pack(said)

    def after(self, tokens: Sequence[int]) -> State | None:
        state = self
        for token in tokens:
            bits = state.allowed()
            if bits is not None and not has(bits, token):
                return None
            state = replace(state, token=(*state.token, token))
        return state

    @property
    def complete(self) -> bool:
        bits = self.allowed()
        return bits is None or any(has(bits, token) for token in self.vocabulary.eos)

    def forced(self) -> list[int]:
        said = self.allow(list(self.token))
        one = [] if said is None or isinstance(said, Banned) or len(said) != 1 else list(said)
        return [token for token in one if token not in self.vocabulary.eos]

    def finish(self, most: int) -> list[int] | None:
        known = getattr(self.allow, "finish", None)
        way = known(list(self.token)) if known is not None else [] if self.complete else None
        return way if way is not None and len(way) <= most else None
