"""JSON schemas: read, checked, and how far one token can put off the end of an object."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anyorder.constraints.grammar import Grammar, backend, compiled, fault
from anyorder.constraints.states import Vocabulary
from anyorder.errors import UserError

STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}  # as json.dumps writes
DATA = ("enum", "const", "default", "examples", "required")  # what under these is no schema
YEAR = "^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
FAR = 4096  # tokens after which no end of a part is looked for
SPARE = 4  # tokens that a name's quotes and colon may need


def read(option: str, value: str, trusted: bool = True) -> str:
    """The text of a json_schema or grammar itself, if it looks like one, or, if who asks is trusted, a
    file's: @file, or its path. Raises UserError."""
    text = value.strip()
    if option == "grammar":
        inline = ":" in value or "\n" in value
    else:
        inline = text.startswith(("{", "[", '"')) or text in ("true", "false")
    if text.startswith("@") or not inline:
        if not trusted:
            raise UserError(
                f"{option} is {value[:40]!r}, which is not the text itself; a server reads none; send it"
            )
        path = Path(text.removeprefix("@")).expanduser()
        try:
            return path.read_text()
        except OSError as error:
            raise UserError(
                f"{option} file {str(path)!r} cannot be read ({error.strerror}); allowed is the text itself, "
                "or a path; check the path"
            ) from None
    return value


def parsed(text: str) -> Any:
    """A schema of JSON text. Raises UserError with line and column."""
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"json_schema is not JSON at line {error.lineno}, column {error.colno}: {error.msg}; "
            "allowed is a schema as an object; correct it"
        ) from None
    if schema is True:
        return {}
    if schema is False:
        raise UserError("json_schema is false, which nothing satisfies; allow something")
    if not isinstance(schema, dict):
        raise UserError(f"json_schema is {text.strip()[:40]}; allowed is an object; write {{...}}")
    return schema


def dated(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, its dates after the year 0, which RFC 3339 has and Python's calendar has not."""
    made: dict[str, Any] = copy.deepcopy(schema)
    for part in _parts(made):
        if part.get("format") in ("date", "date-time"):
            part.setdefault("pattern", YEAR)
    return made


def start(schema: dict[str, Any], vocabulary: Vocabulary) -> Grammar:
    """The schema at its start. Raises UserError for what nothing satisfies and for what is not supported."""
    try:
        grammar = backend().LLMatcher.grammar_from_json_schema(dated(schema), overrides=STYLE)
    except ValueError as error:
        raise UserError(fault("json_schema", str(error))) from error
    return compiled("json_schema", grammar, vocabulary)


def jump(schema: dict[str, Any], vocabulary: Vocabulary) -> int:
    """The most tokens by which one token may put off a text's end: the longest of the shortest values of the
    parts that it may begin, a value of an enumeration that it may choose, and a name before it."""
    shared: dict[str, Any] = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    again = '"$ref": "#"' in json.dumps(schema)  # the whole is a part of itself
    most, names = 0, 0
    for part in _parts(schema):
        names = max([names, *(len(vocabulary.encode(name)) for name in part.get("properties", {}))])
        most = max([most, *(len(vocabulary.encode(json.dumps(value))) for value in part.get("enum", ()))])
        if part is schema and not again:
            continue  # it begins once, and that is not put off
        try:
            way = start({**shared, **part}, vocabulary).finish(FAR)
        except UserError:  # says nothing alone, such as a pointer into the whole
            continue
        most = max(most, len(way or ()))
    return most + names + SPARE


def _parts(schema: Any, data: bool = False) -> Iterator[dict[str, Any]]:
    """The schema and every schema inside it."""
    if isinstance(schema, dict):
        if not data:
            yield schema
        for name, inner in schema.items():
            if data or name not in DATA:
                named = not data and name in ("properties", "$defs", "definitions", "patternProperties")
                yield from _parts(inner, named)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _parts(inner)
