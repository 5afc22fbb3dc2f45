"""Grammars and schemas through llguidance, on a byte-level tokenizer and a model with random weights."""

import importlib
import json
import sys
from pathlib import Path

import jsonschema
import pytest

import anyorder
from anyorder.constraints import Vocabulary, made, schema
from anyorder.errors import UserError

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> anyorder.Model:
    return anyorder.load(str(tiny_model_folder), precision="fp32")


@pytest.fixture(scope="module")
def words(model: anyorder.Model) -> Vocabulary:
    return model.vocabulary


@pytest.mark.parametrize("method", ["greedy", "sample", "beam", "prompt_lookup", "token_recycling", "auto"])
@pytest.mark.parametrize("room", [24, 40, 90])
def test_every_text_is_valid_however_little_room_there_is(model, method: str, room: int) -> None:
    """Random weights never end a text by themselves; the shortest person has 23 letters."""
    result = model.generate("a person", method, json_schema=PERSON, max_tokens=room, seed=room)
    jsonschema.validate(json.loads(result.text), PERSON)
    assert result.tokens <= room


def test_dates_begin_with_the_year_one(words) -> None:
    """A date of the year 0 is right by RFC 3339, and Python's validators refuse it."""
    start = schema.start(
        {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}}, words
    )
    for year, may in (("2024", True), ("0001", True), ("0000", False)):
        text = words.encode(f'{{"day": "{year}-02-03"}}')
        assert (start.after(text) is not None) == may


@pytest.mark.parametrize("heat", [0.0, 1.0])
def test_one_text_with_and_without_speculation(model, heat: float) -> None:
    shape = {"json_schema": PERSON, "max_tokens": 60, "temperature": heat, "seed": 3}
    plain = model.generate("a person", "sample" if heat else "greedy", **shape)
    for method in ("prompt_lookup", "token_recycling", "forced", "jacobi"):
        result = model.generate("a person", method, **shape)
        assert result.text == plain.text
        assert result.runs < plain.runs


def test_requests_with_constraints_side_by_side(model) -> None:
    asked = [
        {"prompt": "a", "json_schema": PERSON},
        {"prompt": "b", "choices": "yes|no"},
        {"prompt": "c", "regex": "[xyz]{3}[0-9]+", "method": "beam"},
        {"prompt": "d", "method": "sample"},
    ]
    together = model.batch(asked, "greedy", max_tokens=30)
    assert [r.text for r in together] == [model.generate(**{"method": "greedy", "max_tokens": 30, **a}).text
                                          for a in asked]  # fmt: skip
    assert together[1].text in ("yes", "no")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "string", "minLength": 12},
        {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}(x|y)+$"},
        {"type": "string", "pattern": "a*b"},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "email"},
        {"type": "array", "minItems": 2, "items": PERSON},
        {"anyOf": [{"type": "null"}, PERSON]},
        {"enum": ["red", 3, None]},
        {"const": {"a": [1, "}"]}},
        {"$defs": {"n": {"type": "object", "properties": {"v": {}, "n": {"$ref": "#/$defs/n"}},
                         "required": ["v"]}}, "$ref": "#/$defs/n"},
    ],
    ids=str,
)  # fmt: skip
def test_a_way_to_an_end_is_known(schema, words) -> None:
    held = made({"json_schema": json.dumps(schema)}, words, 300)
    assert held is not None
    way = held.start.finish(90)
    assert way is not None
    checker = jsonschema.FormatChecker()
    jsonschema.validate(json.loads(words.spell(way)), schema, format_checker=checker)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"json_schema": '{"a":\n 1,}'}, "not JSON at line 2, column 4"),
        ({"json_schema": "false"}, "which nothing satisfies"),
        ({"json_schema": "[1]"}, "allowed is an object"),
        ({"json_schema": "/no/such.json"}, "cannot be read .No such file"),
        ({"json_schema": "@none.json"}, "file 'none.json' cannot be read"),
        ({"json_schema": '{"enum": []}'}, "Unsatisfiable schema: anyOf is empty"),
        ({"json_schema": '{"type": "integer", "minimum": 5, "maximum": 3}'}, r"\(5\) is greater than"),
        ({"json_schema": '{"type": "array", "uniqueItems": true}'}, 'Unimplemented keys: ."uniqueItems"'),
        ({"json_schema": '{"type": "string", "format": "frob"}'}, "Unknown format: frob"),
        ({"json_schema": '{"type": "string", "minLength": 50}'}, "no text that ends within 20 tokens"),
        ({"grammar": 'start: "a" (\nb: "x"'}, "line 1, column 13: Expected token"),
        ({"grammar": 'start: "a" b\nb: c\n'}, 'line 2, column 4: unknown name: "c"'),
        ({"grammar": "none.lark"}, "cannot be read"),
        ({"regex": "ab[a-z"}, "regex is not usable at column 3: unclosed character class"),
        ({"regex": r"[^\s\S]"}, "nothing satisfies regex"),
        ({"choices": "|"}, "allowed are texts separated by"),
        ({"keywords": ","}, "words separated by commas"),
        ({"regex": "a", "choices": "b"}, "regex and choices were given; allowed is one"),
        ({"constraint": "f"}, "allowed is a function"),
        ({"rhyme": "9"}, "allowed is one word"),
        ({"min_tokens": -1}, "option min_tokens is -1"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_done_is_said_when_it_is_asked_for(model, options, says) -> None:
    with pytest.raises(UserError, match=says):
        model.request("x", "greedy", max_tokens=20, **options)


def test_what_contradicts_is_said_at_the_first_text_that_shows_it(model) -> None:
    with pytest.raises(UserError, match="no token is allowed after 'no' by choices and min_tokens"):
        model.generate("x", "greedy", max_tokens=20, choices="no", min_tokens=5)


def test_banned_tokens_and_a_grammar_together(model) -> None:
    (a,) = model.vocabulary.encode("a")
    assert model.generate("x", "greedy", max_tokens=9, choices="a|b", banned=(a,)).text == "b"
    with pytest.raises(UserError, match="no token is allowed after ''"):
        model.generate("x", "greedy", max_tokens=9, choices="a", banned=(a,))


def test_files_lists_and_dicts(model, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"const": 7}')
    (tmp_path / "g.lark").write_text('start: "x" "y"')
    for given in (str(tmp_path / "s.json"), f"@{tmp_path / 's.json'}", {"const": 7}, '{"const": 7}'):
        assert model.generate("x", "greedy", max_tokens=5, json_schema=given).text == "7"
    assert model.generate("x", "greedy", max_tokens=5, grammar=str(tmp_path / "g.lark")).text == "xy"
    assert model.generate("x", "greedy", max_tokens=5, choices=["yes"]).text == "yes"


def test_keywords_come_before_the_end(model) -> None:
    result = model.generate("x", "sample", max_tokens=30, keywords=["moon", "sun"], seed=1)
    assert {"moon", "sun"} <= set(result.text.lower().replace(".", " ").split())


def test_without_llguidance_the_error_tells_what_to_install(model, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(UserError, match=r"pip install 'anyorder\[constraints\]'"):
        model.request("x", "greedy", json_schema={"const": 1})
    assert model.generate("x", "greedy", max_tokens=5, min_tokens=2).tokens == 5


def test_schemas_of_the_tool_are_accepted_and_can_end(words) -> None:
    tool = importlib.import_module("tools.schemas")
    maker = tool.Generator(0)
    for _ in range(40):
        schema = maker.schema()
        held = made({"json_schema": json.dumps(schema)}, words, 600)
        way = held.start.finish(600)
        assert tool.judged(words.spell(way), schema) == ""
    assert tool.judged("{", {}).startswith("not JSON")
