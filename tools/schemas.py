"""Valid objects for random schemas: `python tools/schemas.py [--schemas 200] [--methods greedy,beam]`.

Every schema is asked for in words and held to by `json_schema`; what each method writes is judged by the
library `jsonschema`, formats included. Prints for each method how many are valid, what the constraint took
for each token (its shaper timed at every run) and how many tokens a run gave, with and without guessing
what is forced; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import jsonschema

import anyorder
from anyorder import registry
from anyorder.constraints import Follow
from anyorder.core.decode import Request, decode
from anyorder.errors import UserError

METHODS = "greedy,sample,beam,prompt_lookup,token_recycling"
THINGS = ("person", "book", "city", "recipe", "order", "flight", "film", "animal", "tool", "concert")
NAMES = (
    "name", "title", "age", "price", "tags", "color", "size", "city", "owner", "items", "note", "code",
    "date", "email", "rating", "active", "parts", "weight", "kind", "address",
)  # fmt: skip
STRINGS: tuple[dict[str, Any], ...] = (
    {}, {}, {"maxLength": 12}, {"minLength": 2, "maxLength": 20}, {"pattern": "^[A-Z]{2}-[0-9]{3}$"},
    {"pattern": "^[a-z]+$"}, {"format": "date"}, {"format": "date-time"}, {"format": "email"},
    {"format": "uuid"},
)  # fmt: skip


class Generator:
    """Random schemas of one seed."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def schema(self) -> dict[str, Any]:
        """An object; one in four with a shared part that it refers to."""
        shared = self.random.random() < 0.25
        made = self.object(2, "#/$defs/part" if shared else "")
        return {**made, "$defs": {"part": self.object(1, "")}} if shared else made

    def object(self, depth: int, ref: str) -> dict[str, Any]:
        names = self.random.sample(NAMES, self.random.randint(1, 5))
        needed = [name for name in names if self.random.random() < 0.7]
        parts = {name: self.value(depth - 1, ref) for name in names}
        if ref:
            parts[names[0]] = {"$ref": ref}
        return {"type": "object", "properties": parts, "required": needed, "additionalProperties": False}

    def value(self, depth: int, ref: str) -> dict[str, Any]:
        kinds: list[Callable[[], dict[str, Any]]] = [self.string, self.string, self.number, self.one_of]
        if depth > 0:
            kinds += [
                lambda: self.object(depth, ""),
                lambda: self.array(depth, ref),
                lambda: {"anyOf": [self.value(0, ""), self.value(depth - 1, ref), {"type": "null"}]},
            ]
        return self.random.choice(kinds)()

    def string(self) -> dict[str, Any]:
        return {"type": "string", **self.random.choice(STRINGS)}

    def number(self) -> dict[str, Any]:
        low = self.random.randint(-50, 50)
        bounds: dict[str, Any] = {"minimum": low, "maximum": low + self.random.randint(1, 100)}
        kind = self.random.choice(["integer", "number"])
        return {"type": kind, **self.random.choice([{}, bounds, {"minimum": low}, {"multipleOf": 5}])}

    def one_of(self) -> dict[str, Any]:
        colors: list[dict[str, Any]] = [
            {"enum": ["red", "green", "blue"]}, {"enum": [1, 2, 3, None]}, {"const": "fixed"},
            {"type": "boolean"}, {"type": ["string", "null"]},
        ]  # fmt: skip
        return self.random.choice(colors)

    def array(self, depth: int, ref: str) -> dict[str, Any]:
        items = {"$ref": ref} if ref and self.random.random() < 0.3 else self.value(depth - 1, "")
        least = self.random.randint(0, 2)
        return {"type": "array", "items": items, "minItems": least, "maxItems": least + 3}


class Watched:
    """A shaper that tells how long it took."""

    def __init__(self, request: Request):
        self.shape, self.seconds = request.shape, 0.0

    def __call__(self, answer: Any, canvas: Any) -> Any:
        start = time.perf_counter()
        shaped = self.shape(answer, canvas)
        self.seconds += time.perf_counter() - start
        return shaped


def asked(model: anyorder.Model, schema: dict[str, Any], at: int, method: str, most: int) -> Request:
    what = THINGS[at % len(THINGS)]
    prompt = f"Describe a {what} as one JSON object that obeys this schema:\n{json.dumps(schema)}"
    heat = {"temperature": 1.0} if method == "sample" else {}
    return model.request(prompt, method, json_schema=schema, max_tokens=most, seed=at, **heat)


def judged(text: str, schema: dict[str, Any]) -> str:
    """What is wrong with a text, or nothing."""
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    try:
        wrong = next(checker.iter_errors(json.loads(text)), None)
    except json.JSONDecodeError as error:
        return f"not JSON: {error}"
    return "" if wrong is None else wrong.message


def run(
    model: anyorder.Model, schemas: list[dict[str, Any]], method: str, most: int, batch: int
) -> dict[str, Any]:
    """One method over all schemas, `batch` requests side by side."""
    count: Counter[str] = Counter()
    seconds, wrong = 0.0, []
    for first in range(0, len(schemas), batch):
        part = range(first, min(first + batch, len(schemas)))
        requests = [asked(model, schemas[i], i, method, most) for i in part]
        watched = [Watched(request) for request in requests]
        for request, watch in zip(requests, watched, strict=True):
            request.shape = watch
        for _ in decode(requests):
            pass
        for i, request, watch in zip(part, requests, watched, strict=True):
            result = model.result(request, method, 0.0)
            why = judged(result.text, schemas[i])
            if why:
                wrong.append({"schema": i, "why": why, "text": result.text})
            seconds += watch.seconds
            count.update(valid=not why, tokens=result.tokens, runs=result.runs, lines=result.cells)
    return {
        "method": method, "valid": count["valid"], "of": len(schemas), "tokens": count["tokens"],
        "runs": count["runs"], "tokens_per_run": round(count["tokens"] / count["runs"], 3),
        "shaping_ms_per_token": round(1000 * seconds / count["tokens"], 3), "wrong": wrong,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schemas", type=int, default=200)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--max-tokens", type=int, default=192)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="bf16")
    given = parser.parse_args()
    model = anyorder.load(precision=given.precision)
    maker, schemas, refused = Generator(given.seed), [], 0
    while len(schemas) < given.schemas:
        schema = maker.schema()
        try:
            asked(model, schema, 0, "greedy", given.max_tokens)
            schemas.append(schema)
        except UserError:  # its shortest value is longer than the budget
            refused += 1
    rows = []
    for method in given.methods.split(","):
        rows.append(run(model, schemas, method, given.max_tokens, given.batch))
        if registry.card(method).kind:
            with patch.object(Follow, "forced", lambda follow, canvas, row: []):
                bare = run(model, schemas, method, given.max_tokens, given.batch)
            rows[-1]["tokens_per_run_without_forced"] = bare["tokens_per_run"]
        shown = {name: value for name, value in rows[-1].items() if name != "wrong"}
        print(json.dumps(shown), *rows[-1]["wrong"], sep="\n", flush=True)
    about = {"schemas": given.schemas, "refused": refused, "max_tokens": given.max_tokens}
    print(json.dumps({**about, "batch": given.batch, "rows": rows}))


if __name__ == "__main__":
    main()
