"""The test itself, against brute force over all canvases of tiny grammars."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

import pytest

from anyorder.constraints.completable import Language

from .toys import search


def canvases(alphabet: str, most: int) -> Iterator[list[str]]:
    """Texts between gaps, of every canvas of at most so many cells; holes side by side are one gap."""
    seen = {
        re.sub(r"\?+", "?", "".join(cells))
        for count in range(1, most + 1)
        for cells in itertools.product(alphabet + "?", repeat=count)
    }
    return (text.split("?") for text in sorted(seen))


def balanced(text: str) -> bool:
    depth = 0
    for letter in text:
        depth += 1 if letter == "(" else -1
        if depth < 0:
            return False
    return depth == 0


def prefix(text: str, opens: str, closes: str) -> bool:
    depth = list(itertools.accumulate((1 if c == opens else -1 for c in text), initial=0))
    return min(depth) >= 0


def test_brackets_on_every_canvas_of_eight_cells() -> None:
    """With a gap: what is left of the first never closes too much, what is right of the last never opens too
    much, and everything else can be mended."""
    language = Language.of_lark('start: ("(" start ")")*')
    count = 0
    for runs in canvases("()", 8):
        if len(runs) == 1:
            true = balanced(runs[0])
        else:
            true = prefix(runs[0], "(", ")") and prefix(runs[-1][::-1], ")", "(")
        parts = [(0, run) for run in runs[1:]]
        assert search(language, runs[0], parts, ordered=False).possible() == true, runs
        count += 1
    assert count == 5273


GRAMMARS: dict[str, tuple[str, str, str | Callable[[str], bool]]] = {
    "one terminal in pieces": ("start: A\nA: /a*b/", "abc", "a*b"),
    "a terminal that may be empty": ('start: B "c" | "a" B "a"\nB: /b*/', "abc", "b*c|ab*a"),
    "ignored blanks": ('start: (A|B)+\nA: "ab"\nB: "b"\n%ignore " "', "ab ", "((ab|b) *)+"),
    "words are long": ('start: N ("+" N)*\nN: /1+/\n%ignore " "', "1+ ", r"1+ *(\+ *1+ *)*"),
    "two words side by side": ('start: N N\nN: /1+/\n%ignore "+"', "1+", r"1+\++1+\+*"),
    "palindromes": (
        'start: "a" start "a" | "b" start "b" |', "abc",
        lambda t: "c" not in t and len(t) % 2 == 0 and t == t[::-1],
    ),
    "left and right recursion": ('start: l "b" r\nl: l "a" | "c"\nr: "a" r | ', "abc", "ca*ba*"),
    "one word begins another": ('start: (X "c" | Y)+\nX: "a"\nY: "ab"', "abc", "(ac|ab)+"),
    "no text but one": ('start: "ab" "c"', "abc", "abc"),
    "ambiguity": ('start: start start | "a" | "b" "c"', "abc", "(a|bc)+"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAMMARS)
@pytest.mark.parametrize("least", [0, 1])
def test_every_canvas_against_all_words(name: str, least: int) -> None:
    """The verdict, and the length of a shortest way; with blanks it may have some more."""
    grammar, alphabet, rule = GRAMMARS[name]
    member = rule if callable(rule) else lambda t: bool(re.fullmatch(rule, t))
    language = Language.of_lark(grammar)
    words = [
        word for n in range(9) for word in map("".join, itertools.product(alphabet, repeat=n)) if member(word)
    ]
    found = 0
    for runs in canvases(alphabet, 4):
        gap = ".+" if least else ".*"
        pattern = re.compile(gap.join(map(re.escape, runs)), re.DOTALL)
        fitting = [len(word) for word in words if pattern.fullmatch(word)]
        parts = [(least, run) for run in runs[1:]]
        way = search(language, runs[0], parts).way()
        assert (way is not None) == bool(fitting), runs
        assert search(language, runs[0], parts, ordered=False).possible() == bool(fitting), runs
        if way is not None:
            filled = runs[0] + "".join(
                way.get(len(parts) - 1 - i, "") + run for i, (_, run) in enumerate(parts)
            )
            assert len(filled) == min(fitting) or (language.blank is not None and len(filled) > min(fitting))
            assert search(language, filled, []).way() == {}
            found += 1
    assert found >= 5


def test_anything_at_all() -> None:
    language = Language.of_lark(r"start: /(.|\n)*/")
    for before, parts in (("", []), ("a\n(", [(0, "")]), ("x", [(1, "\ny"), (0, "é")])):
        assert search(language, before, parts, ordered=False).possible()
        assert search(language, before, parts).way() is not None


def test_text_from_the_left_is_read_once() -> None:
    """What a start knows after reading on is what it knows after reading at once."""
    language = Language.of_lark('start: "(" start ")" | N\nN: /[0-9]+/\n%ignore " "')
    from anyorder.constraints.completable.search import Start

    text = "(( 12"
    grown, once = Start(language), Start(language)
    once.read(language.lexer.kinds(text))
    for letter in text:
        grown.read(language.lexer.kinds(letter))
        assert grown.facts.queue == once.facts.queue
    assert grown.facts.ends == once.facts.ends
    assert grown.facts.waits == once.facts.waits
    assert grown.open == once.open
