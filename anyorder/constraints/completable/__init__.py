"""Grammars in any order: whether a row with holes can still become a text of a context-free grammar.

>>> language = Language.of_lark(JSON)
>>> fillable = Fillable(language, Spelling.of(model.vocabulary), [hole] * 64, hole)
>>> fillable.allowed(row, cell, token)     # may this token stand in this cell?
>>> fillable.complete(row)                 # cell -> token for what is left

Text is read as characters: terminals are expressions over Unicode, tokens are bytes of UTF-8. A piece of a
character next to a gap counts as some character that no terminal names.

Source: arXiv:2508.10111 (constrained decoding of diffusion language models with context-free grammars).
"""

from anyorder.constraints.completable.fillable import Fillable
from anyorder.constraints.completable.language import Language
from anyorder.constraints.completable.spelling import Spelling

__all__ = ["JSON", "Fillable", "Language", "Spelling"]

JSON = r"""
start: value
value: object | array | STRING | NUMBER | "true" | "false" | "null"
object: "{" [pair ("," pair)*] "}"
pair: STRING ":" value
array: "[" [value ("," value)*] "]"
STRING: /"(?:[^"\\\x00-\x1f]|\\(?:["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/
%ignore /[ \t\n\r]+/
"""
