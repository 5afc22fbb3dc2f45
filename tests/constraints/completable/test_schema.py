"""JSON schemas as grammars: what is written obeys, what obeys can be written, what is not known is named."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from anyorder.constraints.completable import Fillable, Language
from anyorder.constraints.completable.schema import lark_of
from anyorder.errors import UserError

from .toys import HOLE, fill, search, spelling, text_of

PERSON = {
    "title": "person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["a", "b/"]}, "maxItems": 3},
        "ok": {"type": ["boolean", "null"]},
        'x"\\': {"const": {"a": [1, "}"]}},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
NODE = {
    "$defs": {
        "n": {"type": "object", "properties": {"v": {}, "n": {"$ref": "#/$defs/n"}}, "required": ["v"]}
    },
    "$ref": "#/$defs/n",
}
WORDS = [chr(i) for i in range(32, 127)] + [
    '": ',
    '", "',
    '{"name": "',
    '"age": ',
    '"ok": ',
    "true",
    '"tags": ["a"',
]


@pytest.mark.parametrize(
    "schema, yes, no",
    [
        (
            PERSON,
            [{"name": "x", "age": 12}, {"name": "", "age": 0, "ok": None, 'x"\\': {"a": [1, "}"]}},
             {"name": "é", "age": 120, "tags": ["a", "b/"]}],
            [{"name": "x"}, {"age": 1, "name": "x"}, {"name": "1234567", "age": 1}, {"name": "", "age": 121}],
        ),
        (NODE, [{"v": 1}, {"v": [], "n": {"v": {"a": 1}}}], [{}, {"n": {"v": 1}}, {"v": 1, "n": {}}]),
        ({"type": "array", "minItems": 2, "items": {"type": "integer"}}, [[1, -2], [0, 0]], [[1], [1, .5]]),
        ({"type": "array", "minItems": 1, "maxItems": 2}, [[1], [[], {}]], [[], [1, 2, 3]]),
        ({"type": "array", "maxItems": 1}, [[], [None]], [[1, 2]]),
        ({"type": "array", "maxItems": 0}, [[]], [[1]]),
        ({"anyOf": [{"type": "null"}, {"type": "string", "minLength": 2}]}, [None, "ab", "a\n"], ["a", 1]),
        ({"type": "object", "additionalProperties": {"type": "number"}}, [{}, {"a": 1.5, "b": -1e9}],
         [{"a": ""}]),
        ({"properties": {"a": {"type": "null"}, "b": True}}, [{}, {"a": None}, {"b": 1}, {"a": None, "b": 2}],
         [{"a": 1}, {"b": 1, "a": None}]),
        ({"type": "object", "additionalProperties": False}, [{}], [{"a": 1}]),
        ({"type": "integer", "minimum": 1}, [1, 20], [0, -1]),
        ({}, [1, "x", [{"a": None}]], []),
    ],
    ids=str,
)  # fmt: skip
def test_texts_of_a_schema(schema: Any, yes: list[Any], no: list[Any]) -> None:
    language = Language.of_lark(lark_of(schema))
    said = [
        value
        for value in [*yes, *no]
        if search(language, json.dumps(value, ensure_ascii=False), []).possible()
    ]
    assert said == yes
    for value in yes:
        jsonschema.validate(value, schema)


@pytest.mark.parametrize("schema", [PERSON, NODE], ids=["person", "node"])
def test_what_is_written_obeys(schema: Any) -> None:
    language = Language.of_lark(lark_of(schema))
    for seed in range(4):
        held = Fillable(language, spelling(WORDS), [HOLE] * 40, HOLE)
        jsonschema.validate(json.loads(text_of(held, fill(held, 40, seed, tries=10))), schema)


@pytest.mark.parametrize(
    "schema, says",
    [
        ({"type": "string", "pattern": "a"}, "at # has pattern; allowed in any order are"),
        ({"properties": {"a": {"format": "date"}}}, "at #/properties/a has format"),
        ({"type": "object", "required": ["a"]}, "requires 'a'"),
        ({"type": "frob"}, "type 'frob'"),
        ({"enum": []}, "nothing to choose"),
        ({"type": "integer", "minimum": 5}, "bounds 5 and None"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "bounds 5 and 3"),
        ({"type": "number", "minimum": 5}, "bounds of a number"),
        ({"$ref": "#/$defs/x"}, "points to '#/[$]defs/x'"),
        (False, "is false"),
        ({"type": "array", "minItems": 3, "maxItems": 1}, "maxItems 1 and minItems 3"),
    ],
    ids=str,
)
def test_what_is_not_known_is_named(schema: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        lark_of(schema)
