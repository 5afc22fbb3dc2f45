"""From a body to the texts that it asks for. What the library does not refuse itself is refused here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from anyorder.api import Model
from anyorder.constraints import SHAPES
from anyorder.server.fields import ChatBody, CompletionBody, Decoding
from anyorder.server.jobs import Wanted
from anyorder.server.problems import Problem
from anyorder.server.settings import Settings

NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
ELSEWHERE = {*NUMBERS, "logit_bias", "max_tokens", "seed", "stop", "prompt", "method"}  # fields of the body
INNER = ("chat", "trusted", "constraint")  # the library's own
LISTS: dict[str, type] = {"choices": str, "keywords": str, "banned": int}  # options that may be lists
LARGE = 1 << 31  # of a whole number among method_options


def of_chat(body: ChatBody, model: Model, settings: Settings) -> list[Wanted]:
    """Raises Problem."""
    if body.top_logprobs is not None and not body.logprobs:
        raise Problem(
            400, "top_logprobs is given without logprobs; set logprobs to true, too", "top_logprobs"
        )
    limits = {body.max_tokens, body.max_completion_tokens} - {None}
    if len(limits) > 1:
        raise Problem(400, "max_tokens and max_completion_tokens differ; give one of them", "max_tokens")
    messages = [
        {"role": "system" if m.role == "developer" else m.role, "content": m.text} for m in body.messages
    ]
    first = _common(body, model, settings, limits.pop() if limits else None)
    first = replace(first, prompt=messages, logprobs=(body.top_logprobs or 0) if body.logprobs else None)
    return _each([first], body.n or 1, settings)


def of_completion(body: CompletionBody, model: Model, settings: Settings) -> list[Wanted]:
    """Raises Problem."""
    many = isinstance(body.prompt, list) and not isinstance(body.prompt[0], int)
    prompts: Sequence[Any] = body.prompt if many else [body.prompt]
    for i, prompt in enumerate(prompts):
        _known([] if isinstance(prompt, str) else prompt, model, f"prompt[{i}]" if many else "prompt")
    first = replace(_common(body, model, settings, body.max_tokens), logprobs=body.logprobs)
    return _each([replace(first, prompt=prompt) for prompt in prompts], body.n or 1, settings)


def _each(prompts: Sequence[Wanted], n: int, settings: Settings) -> list[Wanted]:
    """n texts of each prompt, with seeds that follow each other."""
    if len(prompts) * n > settings.texts:
        raise Problem(
            400, f"n times prompts is {len(prompts) * n} texts; allowed are {settings.texts}; ask for fewer",
            "n" if n > 1 else "prompt",
        )  # fmt: skip
    return [replace(prompt, seed=prompt.seed + i) for prompt in prompts for i in range(n)]


def _common(body: Decoding, model: Model, settings: Settings, tokens: int | None) -> Wanted:
    if body.model is not None and body.model != model.name:
        raise Problem(
            404, f"model {body.model[:80]!r} is not here; this server has {model.name!r}; name that or none",
            "model", "model_not_found",
        )  # fmt: skip
    if tokens is not None and tokens > settings.max_tokens:
        raise Problem(
            400, f"max_tokens is {tokens}; allowed are {settings.max_tokens}; ask for fewer", "max_tokens"
        )
    if (body.steps or body.stream_options is not None) and not body.stream:
        name = "steps" if body.steps else "stream_options"
        raise Problem(400, f"{name} is given without stream; set stream to true, too", name)
    given: dict[str, Any] = {name: getattr(body, name) for name in NUMBERS if getattr(body, name) is not None}
    given |= _options(body.method_options or {}, model, settings)
    if body.logit_bias:
        bias = {int(token): value for token, value in body.logit_bias.items()}
        _known(list(bias), model, "logit_bias")
        given["logit_bias"] = bias
    given |= _format(body, given, settings)
    return Wanted(
        "", body.method or "auto", body.seed or 0, body.stops, max_tokens=tokens, steps=bool(body.steps),
        streams=bool(body.stream), options=given,
    )  # fmt: skip


def _known(tokens: Sequence[int], model: Model, param: str) -> None:
    most = model.target.vocab
    for token in tokens:
        if not 0 <= token < most:
            raise Problem(400, f"{param} holds token {token}; allowed are 0 to {most - 1}; correct it", param)


def _options(given: dict[str, Any], model: Model, settings: Settings) -> dict[str, Any]:
    for name, value in given.items():
        param = f"method_options.{name}"[:80]
        if name in ELSEWHERE:
            raise Problem(400, f"{param} is a field of the request; give it there", param)
        if name in INNER:
            raise Problem(400, f"{param} cannot come from a client; leave it out", param)
        if name == "json_schema" and isinstance(value, (dict, bool)):
            value = json.dumps(value)
        if name in LISTS and isinstance(value, list) and all(type(x) is LISTS[name] for x in value):
            if name == "banned":
                _known(value, model, param)
        elif not isinstance(value, (str, int, float)):
            allowed = "a string, a number, true or false" + (" or a list" if name in LISTS else "")
            raise Problem(400, f"{param} is {json.dumps(value)[:60]}; allowed is {allowed}; change it", param)
        if name == "template":
            _holes(str(value), param, settings)
        if isinstance(value, int) and abs(value) > LARGE:
            raise Problem(400, f"{param} is a number beyond {LARGE}; give less", param)
        if (size := len(value if isinstance(value, str) else json.dumps(value))) > settings.grammar:
            raise _long(param, size, settings)
    return given


def _holes(template: str, param: str, settings: Settings) -> None:
    """Refuse a template of more cells than a text may have, before they are made."""
    counts = re.findall(r"<(\d+)>", template)
    if any(len(n) > 9 for n in counts) or sum(map(int, counts)) > settings.max_tokens:
        raise Problem(400, f"{param} has more holes than {settings.max_tokens}; ask for fewer", param)


def _format(body: Decoding, given: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The response format as an option."""
    asked = body.response_format
    if asked is None or asked.type == "text":
        return {}
    if shapes := [name for name in SHAPES if name in given]:
        raise Problem(
            400, f"response_format and method_options.{shapes[0]} both say what the text is; drop one",
            "response_format",
        )  # fmt: skip
    if asked.type == "json_object":
        return {"json_schema": '{"type": "object"}'}
    if asked.json_schema is None:
        raise Problem(
            400,
            "response_format is of type json_schema and has no json_schema; add it",
            "response_format.json_schema",
        )
    text = json.dumps(asked.json_schema.schema_)
    if len(text) > settings.grammar:
        raise _long("response_format.json_schema.schema", len(text), settings)
    return {"json_schema": text}


def _long(param: str, size: int, settings: Settings) -> Problem:
    return Problem(400, f"{param} has {size} characters; allowed are {settings.grammar}; shorten it", param)
