"""A JSON schema as a grammar in Lark's syntax, for what a context-free grammar can say.

llguidance does not give out the grammar it makes of a schema, so this makes its own, with the separators
of `json.dumps`. What it does not know is refused by name. Objects have the names that are listed, in that
order, and no others; an object without a list has any.
"""

from __future__ import annotations

import json
import re
from typing import Any

from anyorder.errors import UserError

KNOWN = {
    "type", "properties", "required", "additionalProperties", "items", "minItems", "maxItems", "enum",
    "const", "minimum", "maximum", "minLength", "maxLength", "anyOf", "$ref", "$defs", "definitions",
}  # fmt: skip
SAID = {"title", "description", "default", "examples", "$schema", "$id", "$comment"}  # they forbid nothing
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
WIDE = 1000  # integers between bounds, written out
CHAR = r'(?:[^"\\\x00-\x1f]|\\(?:["\\\/bfnrt]|u[0-9a-fA-F]{4}))'
SHARED = rf"""
any: any_object | any_array | STRING | NUMBER | "true" | "false" | "null"
any_object: "{{" [any_pair (", " any_pair)*] "}}"
any_pair: STRING ": " any
any_array: "[" [any (", " any)*] "]"
STRING: /"{CHAR}*"/
INTEGER: /-?(0|[1-9][0-9]*)/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/
"""


def lark_of(schema: Any) -> str:
    """The grammar of a schema's texts. Raises UserError for what it does not know."""
    made = Translation(schema)
    return f"start: {made.value(schema, '#')}\n" + "\n".join(made.rules.values()) + SHARED


class Translation:
    """The rules of one schema, by name."""

    def __init__(self, whole: Any):
        self.whole = whole
        self.rules: dict[str, str] = {}
        self.refs: dict[str, str] = {}

    def rule(self, body: str) -> str:
        name = f"r{len(self.rules)}"
        self.rules[name] = f"{name}: {body}"
        return name

    def value(self, schema: Any, where: str) -> str:
        """The right side of a schema's values."""
        if schema is True or schema == {}:
            return "any"
        if not isinstance(schema, dict):
            raise refused(f"{where} is {json.dumps(schema)}", "a schema that allows something")
        unknown = sorted(set(schema) - KNOWN - SAID)
        if unknown:
            raise refused(f"{where} has {unknown[0]}", f"in any order are {', '.join(sorted(KNOWN))}")
        if "$ref" in schema:
            return self.reference(schema["$ref"], where)
        for name in ("const", "enum"):
            if name in schema:
                values = [schema[name]] if name == "const" else schema[name]
                return self.one_of(
                    [literal(json.dumps(value, ensure_ascii=False)) for value in values], where
                )
        if "anyOf" in schema:
            return self.one_of([self.value(part, f"{where}/anyOf") for part in schema["anyOf"]], where)
        kinds = schema.get("type", TYPES)
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        if "type" not in schema and not {"properties", "items"} & set(schema):
            return "any"
        if unknown := [kind for kind in kinds if kind not in TYPES]:
            raise refused(f"{where} has type {unknown[0]!r}", f"are {', '.join(TYPES)}")
        return self.one_of([getattr(self, kind)(schema, where) for kind in kinds], where)

    def one_of(self, bodies: list[str], where: str) -> str:
        if not bodies:
            raise refused(f"{where} has nothing to choose from", "is one value or more")
        return bodies[0] if len(bodies) == 1 else f"({' | '.join(dict.fromkeys(bodies))})"

    def reference(self, target: str, where: str) -> str:
        if target not in self.refs:
            at = self.whole
            for part in target.removeprefix("#").split("/")[1:]:
                at = at.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(at, dict) else None
            if at is None or not target.startswith("#"):
                raise refused(
                    f"{where} points to {target!r}", "is a part of the same schema, as #/$defs/name"
                )
            self.refs[target] = self.rule("")
            name = self.refs[target]
            self.rules[name] = f"{name}: {self.value(at, target)}"
        return self.refs[target]

    def object(self, schema: dict[str, Any], where: str) -> str:
        names: dict[str, Any] = schema.get("properties", {})
        needed = schema.get("required", [])
        if missing := [name for name in needed if name not in names]:
            raise refused(f"{where} requires {missing[0]!r}", "are names listed under properties")
        if not names:
            more = schema.get("additionalProperties", True)
            if more is False:
                return '"{}"'
            pair = self.rule(f'STRING ": " {self.value(more, f"{where}/additionalProperties")}')
            return f'"{{" [{pair} (", " {pair})*] "}}"'
        first, after = ['"}"'], ['"}"']  # what may follow where no name was written yet, and where one was
        for name in reversed(names):
            pair = f"{literal(json.dumps(name, ensure_ascii=False) + ': ')} "
            pair += self.value(names[name], f"{where}/properties/{name}")
            then = self.rule(" | ".join(after))
            skipped = [] if name in needed else [first, after]
            begin, follow = f"{pair} {then}", f'", " {pair} {then}'
            first = [begin, *(skipped[0] if skipped else [])]
            after = [follow, *(skipped[1] if skipped else [])]
        return f'"{{" {self.rule(" | ".join(first))}'

    def array(self, schema: dict[str, Any], where: str) -> str:
        item = self.rule(self.value(schema.get("items", True), f"{where}/items"))
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most is not None and most < least:
            raise refused(f"{where} has maxItems {most} and minItems {least}", "is the least first")
        if most == 0:
            return '"[]"'
        more = f'(", " {item})'
        rest = f"{more}~{max(least - 1, 0)}..{most - 1}" if most is not None else ""
        rest = rest or f"{more}~{least - 1} {more}*" * (least > 1) or f"{more}*"
        rest = "" if most == 1 else rest
        full = f'"[" {item} {rest} "]"'
        return full if least else f'("[]" | {full})'

    def string(self, schema: dict[str, Any], where: str) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if most is None and not least:
            return "STRING"
        return f'/"{CHAR}{{{least},{"" if most is None else most}}}"/'

    def integer(self, schema: dict[str, Any], where: str) -> str:
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is None and high is None:
            return "INTEGER"
        if high is None and low in (0, 1):
            return "/0|[1-9][0-9]*/" if low == 0 else "/[1-9][0-9]*/"
        if low is None or high is None or not 0 <= high - low < WIDE:
            raise refused(
                f"{where} has bounds {low} and {high}", f"is minimum 0 or 1, or both, fewer than {WIDE} apart"
            )
        return f"/{'|'.join(map(str, range(-(-low // 1), int(high // 1) + 1)))}/"

    def number(self, schema: dict[str, Any], where: str) -> str:
        if "minimum" in schema or "maximum" in schema:
            raise refused(f"{where} has bounds of a number", "are bounds of an integer")
        return "NUMBER"

    def boolean(self, schema: dict[str, Any], where: str) -> str:
        return '("true" | "false")'

    def null(self, schema: dict[str, Any], where: str) -> str:
        return '"null"'


def literal(text: str) -> str:
    """A string of Lark's."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def refused(seen: str, allowed: str) -> UserError:
    return UserError(f"json_schema at {seen}; allowed {allowed}; see docs/constraints.md")
