"""The decode hook: agreement with llguidance left to right, outputs that parse, fixed parts, room."""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import lark
import llguidance
import numpy as np
import pytest
import transformers

from anyorder.constraints import Vocabulary
from anyorder.constraints.completable import JSON, Fillable, Language, Spelling
from anyorder.errors import UserError

from .toys import C_WORDS, EOS, HOLE, JSON_WORDS, C, fill, spelling, text_of


class Toy:
    """A tokenizer as llguidance wants it."""

    eos_token_id, bos_token_id, special_token_ids = EOS, None, [EOS]

    def __init__(self, words: list[str]):
        self.tokens = [b"<eos>", *(word.encode() for word in words)]

    def __call__(self, text: bytes) -> list[int]:
        tokens = []
        while text:
            fitting = [i for i, word in enumerate(self.tokens) if i != EOS and text.startswith(word)]
            tokens.append(max(fitting, key=lambda i: len(self.tokens[i]), default=EOS))
            text = text[len(self.tokens[tokens[-1]]) :] if fitting else b""
        return tokens


def mask(matcher: Any, size: int) -> set[int]:
    bits = np.zeros(4 * -(-size // 32), dtype=np.uint8)
    matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
    return {t for t in range(size) if bits[t >> 3] >> (t & 7) & 1} if not matcher.is_error() else set()


AGREE = {
    "brackets": (
        'start: "(" start ")" start | "[" start "]" start | ',
        ["(", ")", "[", "]", "()", "([", ")]"],
    ),
    "json": (JSON, JSON_WORDS),
    "c": (C, C_WORDS),
    "sums": (
        'start: start "+" t | t\nt: t "*" f | f\nf: "(" start ")" | N\nN: /[0-9]+/',
        ["1", "23", "+", "*", "(", ")", "+1", ")*(", "1+", "+("],
    ),
    "anything": (r"start: /(.|\n)*/", ["a", "\n", " bc"]),
    "two words": (
        'start: "ab" ("cd" | "c" X) | "xb" X\nX: /x+/',
        ["a", "b", "c", "d", "abc", "bc", "cd", "x", "bcd", "cx"],
    ),
}


@pytest.mark.parametrize("name", AGREE)
def test_left_to_right_it_allows_what_llguidance_allows(name: str) -> None:
    """Token by token, each prefix of random texts; but where a text is over llguidance allows no blanks."""
    grammar, words = AGREE[name]
    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Toy(words)))
    language, spelled, steps = Language.of_lark(grammar), spelling(words), 0
    for seed in range(4):
        rng, row = random.Random(seed), [HOLE] * 16
        held = Fillable(language, spelled, row, HOLE, room=False)
        matcher = llguidance.LLMatcher(
            tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0
        )
        for cell in range(15):
            theirs = mask(matcher, len(words) + 1)
            ours = {token for token in range(len(words) + 1) if held.allowed(row, cell, token)}
            blank = {token for token in ours if token and not words[token - 1].strip()}
            assert ours == theirs or (ours - theirs <= blank and ours >= theirs and EOS in ours)
            if not theirs - {EOS}:
                break
            row[cell] = rng.choice(sorted(theirs - {EOS}))
            matcher.consume_token(row[cell])
            steps += 1
    assert steps >= 15


@pytest.mark.parametrize("seed", range(12))
def test_random_json_parses(seed: int) -> None:
    held = Fillable(Language.of_lark(JSON), spelling(JSON_WORDS), [HOLE] * 20, HOLE)
    json.loads(text_of(held, fill(held, 20, seed)))


@pytest.fixture(scope="module")
def c() -> tuple[Language, lark.Lark]:
    return Language.of_lark(C), lark.Lark(C, parser="earley")


@pytest.mark.parametrize("seed", range(5))
def test_random_programs_parse(c: tuple[Language, lark.Lark], seed: int) -> None:
    held = Fillable(c[0], spelling(C_WORDS), [HOLE] * 24, HOLE)
    c[1].parse(text_of(held, fill(held, 24, seed)))


def cells_of(*parts: str | int) -> dict[int, int]:
    """Fixed cells: pieces of C, and numbers of holes between them."""
    fixed, at = {}, 0
    for part in parts:
        if isinstance(part, int):
            at += part
            continue
        for word in re.findall(r"[a-z]+|\s+|[^\sa-z]", part):
            for piece in [word] if word in C_WORDS else word:
                fixed[at], at = C_WORDS.index(piece) + 1, at + 1
    return fixed


@pytest.mark.parametrize("seed", range(2))
def test_between_fixed_parts(c: tuple[Language, lark.Lark], seed: int) -> None:
    """Several regions are filled, each cell with one token, and what was fixed stays."""
    fixed = cells_of("int main(", 2, "){", 4, "return x;", 3, "while", 5)
    row = [fixed.get(i, HOLE) for i in range(max(fixed) + 6)]
    held = Fillable(c[0], spelling(C_WORDS), row, HOLE)
    done = fill(held, len(row), seed, fixed, tries=12)
    assert all(done[i] == token for i, token in fixed.items())
    c[1].parse(text_of(held, done))


def test_a_way_is_written_with_letters_that_tokens_have(c: tuple[Language, lark.Lark]) -> None:
    held = Fillable(c[0], spelling(["int", " ", "q", ";"]), [HOLE] * 5, HOLE)
    assert held.allowed([HOLE] * 5, 0, 1)
    plan = held.complete([1, *[HOLE] * 4])
    assert plan is not None
    assert set(plan.values()) - {2} == {3, 4, EOS}


def test_an_end_of_text_closes_what_is_right_of_it() -> None:
    words = ["(", ")", "()"]
    held = Fillable(Language.of_lark('start: ("(" start ")")*'), spelling(words), [HOLE] * 4, HOLE)
    row = [1, HOLE, EOS, HOLE]
    assert held.allowed(row, 3, EOS)
    assert not held.allowed(row, 3, 1)
    assert held.allowed(row, 1, 2)
    assert not held.allowed(row, 1, 1)
    assert not held.allowed(row, 1, EOS)
    assert held.complete(row) == {1: 2}
    assert held.allowed([1, HOLE, 2, HOLE], 1, 3)
    assert not held.allowed([HOLE] * 4, 0, 99)


def test_no_end_before_a_fixed_part() -> None:
    held = Fillable(Language.of_lark('start: "a"*'), spelling(["a"]), [HOLE, HOLE, 1, HOLE], HOLE)
    assert not held.allowed([HOLE, HOLE, 1, HOLE], 0, EOS)
    assert held.allowed([HOLE, HOLE, 1, HOLE], 3, EOS)
    assert held.complete([HOLE, HOLE, 1, HOLE]) == {0: 1, 1: 1, 3: EOS}


@pytest.mark.parametrize("cells", [1, 2, 3, 4, 5])
def test_with_room_exactly_what_can_end_in_the_cells_is_allowed(cells: int) -> None:
    """Left to right, against all texts of so many tokens."""
    words = ["(", ")", "()"]
    held = Fillable(Language.of_lark('start: ("(" start ")")*'), spelling(words), [HOLE] * cells, HOLE)
    ends = set()
    for count in range(cells + 1):
        for tokens in itertools.product((1, 2, 3), repeat=count):
            depths = list(itertools.accumulate((1, -1, 0)[t - 1] for t in tokens))
            if min(depths, default=0) >= 0 and (not depths or depths[-1] == 0):
                ends.add((*tokens, *[EOS] * (cells - count)))
    for count in range(cells):
        for tokens in itertools.product((1, 2, 3), repeat=count):
            if any(end[:count] == tokens for end in ends):
                row = [*tokens, *[HOLE] * (cells - count)]
                ours = {t for t in range(4) if held.allowed(row, count, t)}
                assert ours == {end[count] for end in ends if end[:count] == tokens}


@pytest.mark.parametrize(
    "row, gap",
    [("[?????]", ""), ("{???????}", ""), ('["??????"]', ""), ("[1????2]", ","), ("[???]", "")],
)
def test_a_gap_takes_as_many_tokens_as_it_has_cells(row: str, gap: str) -> None:
    letters = [chr(i) for i in range(32, 127)]
    cells = [HOLE if letter == "?" else letters.index(letter) + 1 for letter in row]
    held = Fillable(Language.of_lark(JSON), spelling(letters), cells, HOLE)
    plan = held.complete(cells)
    assert plan is not None
    assert set(plan) == {i for i, cell in enumerate(cells) if cell == HOLE}
    text = "".join(letters[plan.get(i, cell) - 1] for i, cell in enumerate(cells))
    json.loads(text)
    assert gap in text


def test_characters_in_pieces() -> None:
    """A token may hold half a character; the other half must come."""
    first, last = "é".encode()[:1], "é".encode()[1:]
    words = ['"', first, last, "é", "a"]
    held = Fillable(Language.of_lark(JSON), spelling(words), [HOLE] * 6, HOLE, room=False)
    row = [1, 2, *[HOLE] * 4]
    assert held.allowed([1, *[HOLE] * 5], 1, 2)
    assert not held.allowed([1, *[HOLE] * 5], 1, 3)
    assert {t for t in range(6) if held.allowed(row, 2, t)} == {3}
    assert held.allowed([1, HOLE, 3, *[HOLE] * 3], 1, 2)
    assert not held.allowed([1, HOLE, 3, *[HOLE] * 3], 1, 4)


@pytest.mark.parametrize(
    "grammar, words, row, says",
    [
        (JSON, list("{}[]:1,"), "1??]]", r"fixed part '\]\]' breaks grammar at '\]' \(cell 3\)"),
        (JSON, list('{}[]":1,'), "[1,,??", r"fixed part '\[1,,' breaks grammar at ',' \(cell 3\)"),
        ('start: "a"+ "b"', ["a", "b"], "??ba", r"fixed part 'ba' breaks grammar at 'a' \(cell 3\)"),
        ('start: "a"+ "b"', ["a", "b"], "?a", r"no text of grammar ends with the fixed part 'a'"),
        ('start: "a" "b" "c" "d"', ["a", "b", "c", "d"], "a?d", "fits the holes of 3 cells"),
        ('start: "aaaa"', ["a"], "???", "fits the holes of 3 cells"),
    ],
)
def test_what_is_fixed_is_judged_at_once(grammar: str, words: list[str], row: str, says: str) -> None:
    cells = [HOLE if letter == "?" else words.index(letter) + 1 for letter in row]
    with pytest.raises(UserError, match=says):
        Fillable(Language.of_lark(grammar), spelling(words), cells, HOLE)


def test_a_tokenizer_is_spelled_byte_for_byte(tiny_model_folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model_folder)
    eos = tokenizer.eos_token_id
    words = Vocabulary(tokenizer.vocab_size, (eos,), tokenizer, tokenizer.encode, tokenizer.decode)
    spelled = Spelling.of(words)
    assert spelled.word[eos] is None
    assert {word for word in spelled.word if word and len(word) == 1} >= {bytes([i]) for i in range(255)}
    assert spelled.cut("é[1]".encode(), 0, 9) == tokenizer.encode("é[1]")


def test_texts_are_cut_into_a_wanted_number_of_tokens() -> None:
    spelled = Spelling(lambda t: ["a", "b", "ab", "bab", None][t], 5, [])
    assert spelled.cut(b"abab", 0, 9) == [2, 2]
    assert spelled.cut(b"abab", 3, 3) in ([2, 0, 1], [0, 1, 2])
    assert spelled.cut(b"abab", 4, 9) == [0, 1, 0, 1]
    assert spelled.cut(b"abab", 5, 9) is None
    assert spelled.cut(b"ac", 0, 9) is None
    assert spelled.cut(b"", 0, 0) == []
