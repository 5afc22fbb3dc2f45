"""Grammars, a vocabulary of pieces of text, and rows filled at random under a grammar."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from anyorder.constraints.completable import Fillable, Language, Spelling
from anyorder.constraints.completable.search import Search, Start
from anyorder.constraints.completable.texts import Rests

HOLE = -1
EOS = 0
C = r"""
start: item*
item: decl | fun
decl: TYPE NAME ["=" expr] ";"
fun: TYPE NAME "(" [TYPE NAME ("," TYPE NAME)*] ")" block
block: "{" stmt* "}"
stmt: decl | block | NAME "=" expr ";" | expr ";" | "return" [expr] ";"
    | "if" "(" expr ")" stmt ["else" stmt] | "while" "(" expr ")" stmt
expr: cmp ("&&" cmp | "||" cmp)*
cmp: sum [("<" | "<=" | "==" | "!=") sum]
sum: term (("+" | "-") term)*
term: atom (("*" | "/") atom)*
atom: NUMBER | NAME | "-" atom | "!" atom | "(" expr ")" | NAME "(" [expr ("," expr)*] ")"
TYPE: "int" | "float" | "void"
NAME: /[a-zA-Z_][a-zA-Z_0-9]*/
NUMBER: /[0-9]+(\.[0-9]+)?/
%ignore /[ \t\n]+/
%ignore /\/\/[^\n]*/
"""
C_WORDS = [
    *(
        "int ",
        "int",
        "float ",
        "void",
        "if (",
        "while",
        "else",
        "return",
        " ",
        "\n",
        "x",
        "y",
        "foo",
        "main",
        "m",
    ),
    *(
        " = ",
        "=",
        "==",
        "<",
        "<=",
        "(",
        ")",
        ") {",
        "{",
        "}",
        "}\n",
        ";",
        ";\n",
        ",",
        ", ",
        "+",
        "-",
        "*",
        "/",
    ),
    *("//", "!", "&&", "||", "1", "2", ".", "3.5", "!=", "i", "n", "t", "f"),
]  # pieces of words, and tokens that span two
JSON_WORDS = [
    *"{}[]\":, a1-.e0xu\\n\n", '": ', '", "', '{"', '"}', "true", "rue", "t", "null", "\\n", "[1, ", "}, {",
]  # fmt: skip


def spelling(words: Sequence[str | bytes]) -> Spelling:
    """Token 0 ends the text, token i + 1 writes words[i]."""
    return Spelling(lambda token: words[token - 1], len(words) + 1, [EOS])


def search(
    language: Language, before: str, parts: Sequence[tuple[int | None, str]], ordered: bool = True
) -> Search:
    """A text, then (least letters of a gap, or None for a border; the text behind it)."""
    start, kinds = Start(language), language.lexer.kinds
    start.read(kinds(before))
    chain = [(least, tuple(kinds(text))) for least, text in parts or [(None, "")]]
    rest = Rests(language.lexer, language.blank is not None, language.lexer.order).of(chain)
    return Search(start, rest, ordered)


def text_of(fillable: Fillable, row: Sequence[int]) -> str:
    end = next((i for i, token in enumerate(row) if token == EOS), len(row))
    assert HOLE not in row[:end]
    return b"".join(fillable.spelling.word[token] or b"?" for token in row[:end]).decode()


def fill(
    fillable: Fillable, cells: int, seed: int, fixed: Mapping[int, int] = {}, window: int = 6, tries: int = 30
) -> list[int]:
    """Cells and tokens at random, as a careless net would; where most are refused, `complete` ends it."""
    rng, size = random.Random(seed), len(fillable.spelling.word)
    row = [fixed.get(cell, HOLE) for cell in range(cells)]
    while holes := [i for i in range(row.index(EOS) if EOS in row else cells) if row[i] == HOLE]:
        cell = rng.choice(holes[:window])
        for _ in range(tries):
            token = rng.randrange(size)
            if fillable.allowed(row, cell, token):
                row[cell] = token
                break
        else:
            plan = fillable.complete(row)
            assert plan is not None, "what is left can always be filled"
            for cell, token in plan.items():
                row[cell] = token
    return row
