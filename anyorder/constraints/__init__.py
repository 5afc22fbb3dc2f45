"""Constraints: what a text may be. Grammars and JSON schemas, words it must hold, functions of one's own.

>>> model.generate("A person, as JSON.", json_schema={"type": "object", "properties": {...}})
>>> model.generate("Yes or no?", choices="yes|no")

A constraint is a shaper, so it holds in every method; what it leaves no choice about is guessed for free.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from anyorder.constraints import grammar, rhyme, schema
from anyorder.constraints.follow import Follow
from anyorder.constraints.rhyme import Rhyme
from anyorder.constraints.states import Banned, Both, ByFunction, Keywords, Least, State, Vocabulary
from anyorder.errors import UserError

__all__ = ["OPTIONS", "Banned", "Follow", "Rhyme", "State", "Vocabulary", "made", "written"]
SHAPES = ("json_schema", "grammar", "regex", "choices")  # of the whole text: one at a time
OPTIONS = (*SHAPES, "keywords", "any_keyword", "min_tokens", "rhyme", "constraint")
JUMP = 32  # tokens by which one token puts off the end, where nothing tells


class Part(NamedTuple):
    start: State
    jump: int


def written(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as text, where Python gives a schema as a dict or choices as a list."""
    given = dict(options)
    if isinstance(given.get("json_schema"), (dict, bool)):
        given["json_schema"] = json.dumps(given["json_schema"])
    for name, mark in (("choices", "|"), ("keywords", ",")):
        if isinstance(given.get(name), (list, tuple)):
            given[name] = mark.join(given[name])
    return given


def taken(shaping: dict[str, Any], vocabulary: Vocabulary, budget: int) -> Follow | None:
    """`made` of the constraints among shaping options, which are taken out. Raises UserError."""
    return made({name: shaping.pop(name) for name in OPTIONS if name in shaping}, vocabulary, budget)


def made(given: Mapping[str, Any], vocabulary: Vocabulary, budget: int) -> Follow | None:
    """The shaper of a request's constraints, or None if it has none. Raises UserError."""
    asked = {name: given[name] for name in OPTIONS if given.get(name)}
    shapes = [name for name in SHAPES if name in asked]
    if len(shapes) > 1:
        raise UserError(f"{' and '.join(shapes)} were given; allowed is one of them; drop the others")
    if not set(asked) - {"any_keyword"}:
        return None
    if not vocabulary.eos:
        raise UserError("the model has no end-of-text token; a constraint needs one; choose another model")
    parts = [_part(name, value, asked, vocabulary) for name, value in asked.items() if name != "any_keyword"]
    start = parts[0].start
    for part in parts[1:]:
        start = Both(start, part.start)
    if (bits := start.allowed()) is not None and not bits.any():
        raise UserError(f"nothing satisfies {' and '.join(asked)}; allow something")
    name = " and ".join(name for name in asked if name != "any_keyword")
    _ends_within(budget, asked, parts, vocabulary)
    return Follow(start, vocabulary, budget, max(part.jump for part in parts), name)


def _ends_within(budget: int, asked: Mapping[str, Any], parts: list[Part], vocabulary: Vocabulary) -> None:
    """Raises UserError for what no text of so many tokens satisfies, as far as that can be told at once: of a
    grammar or an expression the shortest text is not known."""
    shortest: dict[str, int | None] = {}
    if "json_schema" in asked and len(parts) == 1 and parts[0].start.finish(budget) is None:
        way = parts[0].start.finish(schema.FAR)
        shortest["json_schema"] = None if way is None else len(way)
    if "keywords" in asked:
        words = [word for word in asked["keywords"].split(",") if word.strip()]
        each = [len(vocabulary.encode(word.strip())) for word in words]
        shortest["keywords"] = min(each) if asked.get("any_keyword") else max(each)
    if "choices" in asked:
        texts = [text for text in asked["choices"].split("|") if text]
        shortest["choices"] = min(len(vocabulary.encode(text)) for text in texts)
    shortest["min_tokens"] = asked.get("min_tokens", 0)
    for name, least in shortest.items():
        if least is None or least > budget:
            found = "no end was found" if least is None else f"the shortest found has {least} tokens"
            raise UserError(
                f"{name} has no text that ends within {budget} tokens ({found}); allow more with max_tokens"
            )


def _part(name: str, value: Any, asked: Mapping[str, Any], vocabulary: Vocabulary) -> Part:
    if name == "json_schema":
        wanted = schema.parsed(schema.read(name, value, vocabulary.trusted))
        key = ("constraints.jump", json.dumps(wanted, sort_keys=True))
        start = schema.start(wanted, vocabulary)
        jump = vocabulary.memory.get(key) or schema.jump(wanted, vocabulary)  # type: ignore[call-overload]
        vocabulary.memory[key] = jump  # type: ignore[index]
        return Part(start, jump)
    if name == "grammar":
        text = schema.read(name, value, vocabulary.trusted)
        return Part(grammar.of_lark(name, text, vocabulary), JUMP)
    if name == "regex":
        return Part(grammar.of_regex(value, vocabulary), JUMP)
    if name == "choices":
        texts = [text for text in value.split("|") if text]
        if not texts:
            raise UserError(f"choices is {value!r}; allowed are texts separated by |; give one or more")
        lark = "start: " + " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)
        return Part(grammar.of_lark(name, lark, vocabulary), max(map(len, texts)))
    if name == "min_tokens":
        return Part(Least(value, vocabulary.going_on), 0)
    if name == "keywords":
        words = tuple(word.strip() for word in value.split(",") if word.strip())
        if not words:
            raise UserError(f"keywords is {value!r}; allowed are words separated by commas; give one or more")
        return Part(Keywords(words, not asked.get("any_keyword"), vocabulary), 1)
    if name == "rhyme":
        return Part(ByFunction(rhyme.of_option(value, vocabulary), vocabulary), JUMP)
    if not callable(value):
        raise UserError(
            f"constraint is {value!r}; allowed is a function, from Python; see docs/constraints.md"
        )
    return Part(ByFunction(value, vocabulary), JUMP)
