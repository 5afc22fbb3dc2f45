"""Requests that nobody would send, from a server's own published OpenAPI; needs the packages schemathesis
and hypothesis.

Three sources: data that the schema allows, led to what is there; data that it does not allow; and the bytes
of good requests with one thing broken in them. No answer may be a 5xx, and every answer must be one that the
schema publishes.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from requests.adapters import HTTPAdapter
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from urllib3.util.retry import Retry

from anyorder.testing.clients import Plan, body, path

CHECKED = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance",
)  # fmt: skip
BATCH = 50  # requests drawn between two looks at the clock
GET_SHARE = 0.05  # of a schema's requests that go to each operation without a body
MUTATED, NEGATIVE = 0.3, 0.4  # of all requests; of those from the schema
PATIENCE = 120.0  # seconds until an answer must be there
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 1.5, -0.0, 1e308, 2**31, 2**63, -(2**63), 10**400, "", " ", "\x00", "\ud800",
    "\udfff\ud800", "\u202e", "\U0001f600", "NaN", "1", "x" * 5000, [], [[]], {}, {"": None}, ["x"] * 500,
    [None], {"0": 1e9}, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
GOOD: tuple[Mapping[str, Any], ...] = (  # what a good request may carry besides
    {}, {"stream_options": {"include_usage": True}, "stream": True}, {"stream": True, "steps": True},
    {"logprobs": True, "top_logprobs": 2}, {"logit_bias": {"5": -100}}, {"presence_penalty": 0.5}, {"n": 2},
    {"stop": ["a", "b"]}, {"response_format": {"type": "text"}}, {"user": "somebody"}, {"seed": 7},
    {"method": "beam", "method_options": {"width": 2}}, {"method_options": {"regex": "[a-z]+"}},
    {"method_options": {"choices": ["a", "b"], "top_k": 5}}, {"method_options": {"banned": [5]}},
    {"method_options": {"json_schema": {"type": "array", "items": {"type": "integer"}}}},
    {"method": "merged", "method_options": {"drafters": "prompt_lookup/nodes=3+suffix"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}},
)  # fmt: skip


@dataclass
class Findings:
    """What a server answered."""

    statuses: Counter[str] = field(default_factory=Counter)  # "source status" -> how often
    broken: list[str] = field(default_factory=list)  # answers that may not be, each with its request
    allowed: int = 0  # bodies outside the schema that were answered all the same

    @property
    def requests(self) -> int:
        return self.statuses.total()

    @property
    def failures(self) -> int:
        """5xx."""
        return sum(count for name, count in self.statuses.items() if name.split()[1].startswith("5"))

    def figures(self) -> dict[str, Any]:
        return {
            "requests": self.requests, "5xx": self.failures, "nonconforming": len(self.broken),
            "statuses": dict(sorted(self.statuses.items())), "outside_schema_answered": self.allowed,
        }  # fmt: skip


class Fuzzer:
    """`most`: tokens that the good requests ask for."""

    def __init__(self, url: str, first: int = 0, most: int = 4):
        """Reads the server's schema from `url`/openapi.json; `first`: the seed."""
        load_all_checks()
        self.url, self.seed, self.found = url, first, Findings()
        self.random, self.plan = random.Random(first), Plan(first, most)
        self.client, self.session = httpx.Client(base_url=url, timeout=PATIENCE), requests.Session()
        again = HTTPAdapter(max_retries=Retry(1, allowed_methods=None))  # a kept connection may be closed
        self.session.mount("http://", again)
        published: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
        found: list[Any] = list(published.get_all_operations())
        self.operations = [result.ok() for result in found]
        self.checks = CHECKS.get_by_names(list(CHECKED))

    def run(self, count: int, seconds: float) -> Findings:
        """At most so many requests, for at most so long; then a last batch may still be going on."""
        end, bodies = time.monotonic() + seconds, [o for o in self.operations if o.body]
        others = [o for o in self.operations if not o.body]
        while self.found.requests < count and time.monotonic() < end:
            left = min(BATCH, count - self.found.requests)
            if self.random.random() < MUTATED:
                for _ in range(left):
                    self.mutated()
            elif others and self.random.random() < GET_SHARE * len(others):
                self.drawn(self.random.choice(others), left)
            else:
                self.drawn(self.random.choice(bodies), left)
        return self.found

    def drawn(self, operation: Any, count: int) -> None:
        """Requests from the schema: it allows them, or it does not."""
        negative = self.random.random() < NEGATIVE
        mode = GenerationMode.NEGATIVE if negative else GenerationMode.POSITIVE
        self.seed += 1

        @seed(self.seed)
        @settings(
            max_examples=count, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(mode))
        def each(case: Any) -> None:
            if not negative and isinstance(case.body, dict):
                self.tame(case.body)
            try:
                answer = case.call(base_url=self.url, session=self.session, timeout=PATIENCE)
            except requests.RequestException as error:
                self.none(mode.value, f"{error!r} to {case.as_curl_command()}")
                return
            self.judge(case, answer, mode.value)
            self.found.allowed += negative and answer.status_code < 400

        with suppress(Unsatisfiable):  # nothing is outside a schema without parameters
            each()

    def tame(self, made: dict[str, Any]) -> None:
        """Most of what a schema allows names no model or option that is there; make some of it come true."""
        draw = self.random
        if draw.random() < 0.85:
            for name in ("model", "method_options"):
                made.pop(name, None)
        if draw.random() < 0.3:
            made.pop("method", None)
        if draw.random() < 0.5:
            for name in ("logit_bias", "response_format", "top_logprobs", "max_completion_tokens"):
                made.pop(name, None)
        if draw.random() < 0.5 and not made.get("stream"):
            for name in ("steps", "stream_options"):
                made.pop(name, None)
        if draw.random() < 0.7:
            made["max_tokens"] = draw.randint(1, self.plan.most)
        if "messages" in made and draw.random() < 0.7:
            made["messages"].append({"role": "user", "content": draw.choice(self.plan.prompts)})
        elif "prompt" in made and draw.random() < 0.5:
            made["prompt"] = draw.choice(self.plan.prompts)

    def mutated(self) -> None:
        """A good request with one thing broken."""
        ask = self.plan.ask()
        good = {**body(ask, self.random.random() < 0.3), **self.random.choice(GOOD)}
        content, headers = broken(good, self.random)
        answer = self.sent(path(ask), content, headers)
        if answer is None:
            return
        operation = next(o for o in self.operations if (o.method.lower(), o.path) == ("post", path(ask)))
        self.judge(operation.Case(body=content, media_type="application/json"), answer, "mutated")

    def sent(self, where: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response | None:
        """The answer, or None, which is noted. Tried twice: a kept connection may have been closed."""
        for last in (False, True):
            try:
                return self.client.post(where, content=content, headers=headers)
            except httpx.TransportError as error:
                if last:
                    self.none("mutated", f"{error!r} to {content[:500]!r} with {headers}")
        return None

    def none(self, source: str, what: str) -> None:
        """No answer came."""
        self.found.statuses[f"{source} none"] += 1
        self.found.broken.append(f"no answer: {what[:2000]}")

    def judge(self, case: Any, answer: Any, source: str) -> None:
        self.found.statuses[f"{source} {answer.status_code}"] += 1
        try:
            case.validate_response(answer, checks=self.checks)
        except FailureGroup as wrong:
            self.found.broken.append(str(wrong)[:2000])


def broken(good: dict[str, Any], draw: random.Random) -> tuple[bytes, dict[str, str]]:
    """The bytes and the headers of a request with one thing broken."""
    headers = {"content-type": "application/json"}
    way = draw.choice((changed, changed, changed, cut, flipped, spelled, wrapped, declared))
    return way(good, draw, headers), headers


def changed(good: dict[str, Any], draw: random.Random, _: dict[str, str]) -> bytes:
    """Another value, no value, or one more name, anywhere."""
    made = json.loads(json.dumps(good))
    owner, name = draw.choice(list(places(made)))
    choice = draw.random()
    if choice < 0.7:
        owner[name] = draw.choice(ODD)
    elif choice < 0.85:
        del owner[name]
    elif isinstance(owner, dict):
        owner[draw.choice(("", "x", "Method", "__proto__", "\x00"))] = draw.choice(ODD)
    return json.dumps(made).encode()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where a value stands inside: its owner, and its name or number there."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, name
        if isinstance(inner, (dict, list)):
            yield from places(inner)


def cut(good: dict[str, Any], draw: random.Random, _: dict[str, str]) -> bytes:
    """Only its first bytes."""
    whole = json.dumps(good).encode()
    return whole[: draw.randrange(len(whole))]


def flipped(good: dict[str, Any], draw: random.Random, _: dict[str, str]) -> bytes:
    """Some other bytes."""
    whole = bytearray(json.dumps(good, ensure_ascii=False).encode())
    for _i in range(draw.randint(1, 4)):
        whole[draw.randrange(len(whole))] = draw.randrange(256)
    return bytes(whole)


def spelled(good: dict[str, Any], draw: random.Random, _: dict[str, str]) -> bytes:
    """JSON of another spelling: other code, a mark in front, a name twice, something behind."""
    text = json.dumps(good)
    return draw.choice((
        text.encode("utf-16"), text.encode("utf-32"), b"\xef\xbb\xbf" + text.encode(), text.encode() + b"}",
        b"{" + b'"method": "greedy",' + text.encode()[1:], b"\xff" + text.encode(), text.encode() + b"\x00",
        text.replace('"', "'").encode(), text.encode("utf-8")[:-1] + b',"seed": 1e999}',
    ))  # fmt: skip


def wrapped(good: dict[str, Any], draw: random.Random, _: dict[str, str]) -> bytes:
    """Inside something else, perhaps deeply."""
    text = json.dumps(good)
    deep = draw.choice((1, 50, 5000))
    return draw.choice((
        "[" * deep + text + "]" * deep, '{"a":' * deep + text + "}" * deep,
        text[:-1] + ',"method_options":' + "[" * deep + "]" * deep + "}", json.dumps(text),
    )).encode()  # fmt: skip


def declared(good: dict[str, Any], draw: random.Random, headers: dict[str, str]) -> bytes:
    """Headers that tell something else."""
    headers |= draw.choice((
        {"content-type": "text/plain"}, {"content-type": "multipart/form-data"}, {"content-encoding": "gzip"},
        {"content-type": "application/json; charset=utf-16"}, {"content-type": "application/xml"},
        {"content-type": "application/x-www-form-urlencoded"}, {"content-type": ""}, {"accept": "image/png"},
        {"content-type": "application/json; charset=none"}, {"authorization": "Bearer x"}, {"origin": "null"},
        {"accept-encoding": "x"},
    ))  # fmt: skip
    return json.dumps(good).encode()
