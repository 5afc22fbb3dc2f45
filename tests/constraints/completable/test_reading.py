"""Grammars that are read, and those that are refused, with line and column."""

from __future__ import annotations

import re

import pytest

from anyorder.constraints.completable import Language
from anyorder.constraints.completable.lexer import machine
from anyorder.errors import UserError

from .toys import search


@pytest.mark.parametrize(
    "grammar, says",
    [
        ('start: "a" (\nb: "x"', "not usable at line 1, column 13"),
        ('start: "a" b\nb: c\n', "at line 2, column 4: Rule 'c' used but not defined"),
        ('start: a\na: "x"\na: "y"', "line 3, column 1: Rule 'a' defined more than once"),
        ('start: "a" %json {}', "has %json at line 1, column 12"),
        ('start: A{2,3}\nA: "a"', r"has \{m,n\} outside an expression .* line 1, column 8"),
        ('start: <|im|> "a"', "a special token at line 1, column 8"),
        ("start[lazy]: /a/", "options of a rule"),
        ('start: A\nA: /x/ & "y"', "& and ~ between expressions at line 2, column 8"),
        ('start: "<a>" @other', "a reference to another grammar at line 1, column 14"),
        ('start: "x"\n  | /a*?b/', r"line 2, column 5: a lazy or possessive repetition in /a\*\?b/"),
        ("start: /(?=a)b/", "a look ahead or behind"),
        ("start: /^a/", "an anchor"),
        (r"start: /(a)\1/", "a reference to a group"),
        (r"start: /\p{L}/", "a Unicode property"),
        ("start: /(a/", "line 1, column 8: the expression /.a/ .*unterminated"),
        ('x: "a"', "has no rule start"),
        ("start: A\n%declare A", "declares A"),
        ('start: "a" start', "its rules never end"),
        ("%import nope.X\nstart: X", "No such file"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_with_its_place(grammar: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        Language.of_lark(grammar)
    assert str(error.value).count(";") >= 1


@pytest.mark.parametrize(
    "grammar, yes, no",
    [
        ("%import common.ESCAPED_STRING\nstart: ESCAPED_STRING", [r'"a\"b"', '""'], ['"a', r'"\"', '"a"b"']),
        ("%import common.C_COMMENT\nstart: C_COMMENT", ["/* a **/", "/**/"], ["/* */ */", "/*/"]),
        ("%import common.SIGNED_NUMBER -> N\nstart: N", ["-1.5e3", "7"], ["-", "1e"]),
        ('# a comment\nstart: "abc"i // another', ["aBc"], ["ab"]),
        ("start: /(?i:x)y/", ["Xy", "xy"], ["XY"]),
        (r"start: /\u00e9[\u00e0-\u00e5]/", ["éå"], ["ée", "é"]),
        ('start: "a"~2..3 ["b"]', ["aa", "aaab"], ["a", "aaaa"]),
        ('start: pair{"a", "b"}\npair{x, y}: x y x', ["aba"], ["ab"]),
        ('!start.2: "a" -> first | _b\n_b: "b"+', ["a", "bb"], ["ab", ""]),
        ("start: /[^a\\]]/ /x/s", ["bx", "\nx", "éx"], ["ax", "]x"]),
    ],
    ids=str,
)
def test_what_is_read(grammar: str, yes: list[str], no: list[str]) -> None:
    language = Language.of_lark(grammar)
    assert [text for text in [*yes, *no] if search(language, text, []).possible()] == yes


@pytest.mark.parametrize("pattern", ["(ab|a)*", "a{2,3}b?", "[^a]b*", "a|ba|bba", "(a|b)*abb", ""])
def test_machines_say_what_expressions_say(pattern: str) -> None:
    import itertools

    made = machine(pattern)
    for count in range(6):
        for text in map("".join, itertools.product("abc", repeat=count)):
            state: int | None = 0
            for letter in text:
                state = None if state is None else made.step[state].get(made.kinds.get(letter, made.other))
            assert (state in made.final) == bool(re.fullmatch(pattern, text))


def test_machines_are_small() -> None:
    assert len(machine("(?:[ab]|[ba])+").step) == 2
    assert len(machine("(a|b)*abb").step) == 4
