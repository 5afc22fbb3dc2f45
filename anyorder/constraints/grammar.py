"""Grammars, expressions and JSON schemas, matched token by token by llguidance (an optional extra).

Its matcher reads bytes, so every tokenisation of an allowed text is allowed; a copy of one costs a
microsecond, so that a state is a value.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anyorder.constraints.states import Bits, Vocabulary
from anyorder.errors import UserError

KEY = "constraints.words"  # where a model's memory keeps the tokenizer as llguidance wants it
CLOSERS = ("}]", '"', ",:")  # what ends a text sooner than other letters do, best first
OTHERS = "1@a.23456789 0ABCDEFGHIJKLMNOPQRSTUVWXYZbcdefghijklmnopqrstuvwxyz_-+/=;()[{<>\n\t'!?#$%&*|^`~"
WIDE = 24  # letters of which one may follow: most likely inside a string, which a quote ends
STRIDE = 50  # uses after which a letter of a worse kind is tried
OTHER = len(CLOSERS) * STRIDE
STUCK = ("NoExtension", "NoExtensionBias")  # what a matcher calls it that nothing may follow


def backend() -> Any:
    """llguidance. Raises UserError where it is not installed."""
    try:
        return importlib.import_module("llguidance")
    except ImportError:
        raise UserError(
            "json_schema, grammar, regex and choices need llguidance, which is not installed; "
            "install it with: pip install 'anyorder[constraints]'"
        ) from None


@dataclass(frozen=True)
class Words:
    """A tokenizer as llguidance wants it, and single letters in the order in which they are likely to end a
    text."""

    tokenizer: Any
    width: int
    letter: np.ndarray  # [L] tokens of one letter each
    rank: np.ndarray  # [L] lower ends sooner
    quote: int  # which of them is a quotation mark; -1: none


def words(vocabulary: Vocabulary) -> Words:
    """Made once for a model, in a quarter of a second."""
    key = (KEY, vocabulary.eos)
    if key not in vocabulary.memory:
        vocabulary.memory[key] = _words(vocabulary)  # type: ignore[index]
    return vocabulary.memory[key]  # type: ignore[index]


def _words(vocabulary: Vocabulary) -> Words:
    backend()
    made = importlib.import_module("llguidance.hf").from_tokenizer
    try:
        known = made(vocabulary.tokenizer, n_vocab=vocabulary.size, eos_token=list(vocabulary.eos))
    except ValueError as error:
        raise UserError(
            f"the tokenizer cannot be matched ({error}); allowed are fast tokenizers; choose another model"
        ) from error
    found = [
        (tokens[0], kind * STRIDE, letter == '"')
        for kind, group in enumerate((*CLOSERS, OTHERS))
        for letter in group
        if len(tokens := known.greedy_tokenize(letter)) == 1
    ]
    quote = next((i for i, one in enumerate(found) if one[2]), -1)
    table = np.array([one[:2] for one in found], dtype=np.int64).reshape(-1, 2)
    return Words(known, vocabulary.width, table[:, 0], table[:, 1], quote)


@dataclass(frozen=True)
class Grammar:
    """Where a text stands in a grammar."""

    matcher: Any
    words: Words

    def allowed(self) -> Bits:
        bits = np.zeros(self.words.width, dtype=np.uint8)
        self.matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        if self.matcher.is_error() and self.matcher.get_error().startswith(STUCK):
            bits.fill(0)
        elif self.matcher.is_error():
            raise UserError(
                f"the constraint is too complex: {line_of(self.matcher.get_error())}; allowed is what "
                "llguidance can match; make it simpler"
            )
        return bits

    def after(self, tokens: Sequence[int]) -> Grammar | None:
        later = self.matcher.deep_copy()
        done = later.try_consume_tokens(list(tokens))
        return Grammar(later, self.words) if done == len(tokens) else None

    @property
    def complete(self) -> bool:
        return bool(self.matcher.is_accepting())

    def forced(self) -> list[int]:
        return list(self.matcher.compute_ff_tokens())

    def finish(self, most: int) -> list[int] | None:
        """A short way to an end: what is forced, else a letter that closes something, else the letter used
        least so far, which leaves every loop after a while."""
        later, used = self.matcher.deep_copy(), Counter[int]()
        way: list[int] = []
        while not later.is_accepting():
            tokens = list(later.compute_ff_tokens()) or Grammar(later, self.words)._closer(used)
            if not tokens or len(way) + len(tokens) > most or not later.consume_tokens(tokens):
                return None
            way += tokens
        return way

    def _closer(self, used: Counter[int]) -> list[int]:
        bits, letter, quote = self.allowed(), self.words.letter, self.words.quote
        there = np.flatnonzero(bits[letter >> 3] >> (letter & 7) & 1)
        if not len(there):  # no plain letter: the first token that is allowed
            return np.flatnonzero(np.unpackbits(bits, bitorder="little"))[:1].tolist()
        spent = np.array([used[i] for i in there.tolist()])
        if len(there) <= WIDE:
            best = int(there[(self.words.rank[there] + spent).argmin()])
        elif quote in there:
            best = quote
        else:
            best = self._towards_quote(there, spent)
        used[best] += 1
        return [int(letter[best])]

    def _towards_quote(self, there: np.ndarray, spent: np.ndarray) -> int:
        """Inside a string that may not end yet: a letter after which it may, if there is one. That is looked
        for seldom, a long string having many letters."""
        letter, steps = self.words.letter, int(spent.sum()) + 1
        if steps & (steps - 1) == 0:
            quote = int(letter[self.words.quote])
            for i in there[self.words.rank[there].argsort(kind="stable")].tolist():
                if self.matcher.validate_tokens([int(letter[i]), quote]) == 2:
                    return i
        return int(there[(spent + STRIDE * (self.words.rank[there] < OTHER)).argmin()])


def compiled(option: str, grammar: str, vocabulary: Vocabulary) -> Grammar:
    """A grammar in llguidance's own form, at its start. Raises UserError."""
    known = words(vocabulary)
    matcher = backend().LLMatcher(known.tokenizer, grammar, log_level=0)
    if matcher.is_error():
        raise UserError(fault(option, matcher.get_error()))
    return Grammar(matcher, known)


def of_lark(option: str, text: str, vocabulary: Vocabulary) -> Grammar:
    return compiled(option, backend().LLMatcher.grammar_from_lark(text), vocabulary)


def of_regex(text: str, vocabulary: Vocabulary) -> Grammar:
    return compiled("regex", backend().LLMatcher.grammar_from_regex(text), vocabulary)


def fault(option: str, said: str) -> str:
    """One sentence of what llguidance said, with line and column."""
    place = re.match(r"(?:at )?(\d+)\((\d+)\): ", said)
    column = re.search(r"^( +)\^+$", said, re.MULTILINE)  # of an expression: where the mark stands
    if option == "regex":
        place = None
    where = f" at line {place[1]}, column {place[2]}" if place else ""
    if not place and column and "regex" in said:
        where = f" at column {len(column[1]) - 3}"
    said = said[place.end() :] if place else re.sub(r"^at \d+\(\d+\): ", "", said)
    return f"{option} is not usable{where}: {line_of(said)}; correct it; see docs/constraints.md"


def line_of(said: str) -> str:
    """The line that tells what is wrong."""
    error = re.search(r"^error: (.*)$", said, re.MULTILINE)
    lines = said.strip().splitlines()
    return error[1] if error else lines[0] if lines else "unknown"
