"""What a request's body may hold: OpenAI's fields, and three of ours: `method`, `method_options`, `steps`.

Everything is strict: an unknown field, or a wrong type, is named in the answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anyorder.registry import SHAPING
from anyorder.server.problems import Problem

CHOICES, STOPS, TOP = 32, 4, 20  # OpenAI's bounds, but for `n`
OPTION = {option.name: option for option in SHAPING}


def bounded(name: str) -> Any:
    """A number with the bounds of a shaping option."""
    option = OPTION[name]
    return Annotated[float, Field(ge=option.low, le=option.high, description=option.help)]


Token = Annotated[int, Field(ge=0, le=1 << 31)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]
TokenName = Annotated[str, Field(pattern="^[0-9]{1,9}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class TextPart(Strict):
    type: Literal["text"]
    text: str


class Message(Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class StreamOptions(Strict):
    include_usage: bool = False


class JsonSchema(Strict):
    name: Annotated[str, Field(max_length=64)] = ""
    description: str | None = None
    strict: bool | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class ResponseFormat(Strict):
    """`text`, any JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Decoding(Strict):
    """What both endpoints take."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=CHOICES)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=STOPS)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), le=(1 << 63) - 1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1 << 31)] | None = None
    temperature: bounded("temperature") | None = None  # type: ignore[valid-type]
    top_p: bounded("top_p") | None = None  # type: ignore[valid-type]
    presence_penalty: bounded("presence_penalty") | None = None  # type: ignore[valid-type]
    frequency_penalty: bounded("frequency_penalty") | None = None  # type: ignore[valid-type]
    logit_bias: dict[TokenName, Annotated[float, Field(ge=-100, le=100)]] | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    method: Annotated[str, Field(description="how to decode; see GET /v1/methods")] | None = None
    method_options: (
        Annotated[dict[str, Any], Field(description="the method's own options, and shaping")] | None
    ) = None
    steps: Annotated[bool, Field(description="streams carry what each step asked and committed")] | None = (
        None
    )

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class ChatBody(Decoding):
    """Of `POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=1 << 31)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=TOP)] | None = None


class CompletionBody(Decoding):
    """Of `POST /v1/completions`."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[list[Token], Field(min_length=1)]
        | Annotated[list[Annotated[list[Token], Field(min_length=1)]], Field(min_length=1)]
    )
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None


Body = TypeVar("Body", bound=Decoding)


def parsed(kind: type[Body], raw: bytes) -> Body:
    """A body, checked. Raises Problem that names the field."""
    try:
        body = kind.model_validate_json(raw)
    except ValidationError as error:
        raise _problem(kind, error, raw) from None
    if any(isinstance(x, float) and not math.isfinite(x) for x in _leaves(body.method_options)):
        raise Problem(400, "method_options holds a number that is not finite; give another", "method_options")
    return body


def _leaves(value: Any) -> Iterator[Any]:
    """The numbers, strings and such of nested lists and objects."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list):
            stack += value
        else:
            yield value


def _problem(kind: type[Decoding], error: ValidationError, raw: bytes) -> Problem:
    """One sentence about the first field that is wrong, or about every unknown one."""
    errors = error.errors(include_url=False, include_context=False)
    if errors[0]["type"] == "json_invalid":
        return Problem(400, f"the body is no JSON in UTF-8: {errors[0]['msg']}; send one JSON object")
    whole = json.loads(raw)
    unknown = [x for x in errors if x["type"] == "extra_forbidden"]
    if unknown:
        names = list(dict.fromkeys(_path(x["loc"], whole) for x in unknown))
        inside = all("." in name for name in names)
        known = "" if inside else f"allowed are {', '.join(sorted(kind.model_fields))}; "
        said = f"unknown field{'s' if len(names) > 1 else ''} {', '.join(names)[:400]}; {known}drop it"
        return Problem(400, said, names[0][:400])
    paths = [_path(x["loc"], whole) for x in errors]
    path = max(
        paths, key=lambda path: path.count(".") + path.count("[")
    )  # of a union the branch that fits best
    first = errors[paths.index(path)]
    said = " or ".join(
        dict.fromkeys(x["msg"][:1].lower() + x["msg"][1:] for x, p in zip(errors, paths) if p == path)
    )
    seen = "" if first["type"] == "missing" else f" is {_brief(first['input'])}"
    return Problem(400, f"{path or 'the body'}{seen}: {said}; see docs/server.md", path or None)


def _brief(value: Any) -> str:
    said = json.dumps(value, ensure_ascii=False)
    return said if len(said) <= 60 else said[:57] + "..."


def _path(where: tuple[int | str, ...], whole: Any) -> str:
    """A field's path, without what pydantic calls the branches of a union.

    >>> _path(("stop", "list[str]", 0), {"stop": [1]})
    'stop[0]'
    """
    path = ""
    for i, part in enumerate(where):
        if isinstance(whole, list) and isinstance(part, int) and part < len(whole):
            path, whole = f"{path}[{part}]", whole[part]
        elif isinstance(whole, dict) and (part in whole or i == len(where) - 1):
            if part == "[key]":
                continue
            path, whole = f"{path}.{part}" if path else str(part), whole.get(part)
    return path
