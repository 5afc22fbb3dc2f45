"""What the server publishes about itself: the OpenAPI document, cards of methods, facts of the model."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from anyorder import api, registry
from anyorder.card import Card, Option
from anyorder.server.fields import ChatBody, CompletionBody, Decoding

REF = "#/components/schemas/{model}"
EVENT = {  # of a stream: `data` is a chunk as JSON, and of the last one [DONE]
    "type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"],
}  # fmt: skip
CODES = {
    400: "a field is unknown, wrong or impossible", 401: "the API key is missing or unknown",
    404: "the model is not here", 408: "the request, or its body, took too long", 413: "the body is too long",
    415: "the body is not of type application/json", 429: "the queue is full; try again",
    500: "decoding failed", 503: "the server is shutting down",
}  # fmt: skip


class Said(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    error: Said


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Figures(BaseModel):
    """How a text came about."""

    method: str
    exact: bool
    model: str
    runs: int
    cells: int
    seconds: float
    tokens_per_second: float
    tokens_per_run: float
    ended: Literal["eos", "stop", "length"] | None
    texts: list[str] | None = None
    scores: list[float] | None = None


class AllFigures(Figures):
    choices: list[Figures] | None = Field(None, description="of every text, where there are several")


class Top(BaseModel):
    token: str
    logprob: float
    bytes: list[int] | None


class Token(Top):
    top_logprobs: list[Top]


class TokenList(BaseModel):
    content: list[Token]
    refusal: None


class ChatMessage(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(BaseModel):
    index: int
    message: ChatMessage
    logprobs: TokenList | None
    finish_reason: Literal["stop", "length"]


class Answer(BaseModel):
    id: str
    created: int
    model: str
    usage: Usage
    anyorder: AllFigures


class ChatAnswer(Answer):
    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class TextLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length"]


class TextAnswer(Answer):
    object: Literal["text_completion"]
    choices: list[TextChoice]


class ModelFacts(BaseModel):
    canvas: Literal["row", "cells"]
    default_method: str
    context: int
    precision: str


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    anyorder: ModelFacts


class Models(BaseModel):
    object: Literal["list"]
    data: list[Model]


class MethodOption(BaseModel):
    name: str
    type: str
    default: Any
    help: str
    low: float | None
    high: float | None
    choices: list[Any]
    allowed: str


class Method(BaseModel):
    name: str
    family: str
    paper: str
    exact: bool
    summary: str
    canvas: Literal["row", "cells"]
    nets: list[str]
    options: list[MethodOption]
    runs_here: bool
    why_not: str | None


class Methods(BaseModel):
    object: Literal["list"]
    data: list[Method]
    shaping: list[MethodOption]


class Health(BaseModel):
    status: Literal["ok", "closing"]
    running: int
    inside: int


BODIES: dict[str, type[BaseModel]] = {"chat": ChatAnswer, "text": TextAnswer}


def answers(kind: type[BaseModel], *codes: int) -> dict[str, Any]:
    """How a route of facts is described."""
    told: dict[int, Any] = {code: {"model": Error, "description": CODES[code]} for code in (401, *codes)}
    if kind is Health:
        told = {503: {"model": Health, "description": CODES[503]}}
    return {"responses": {200: {"model": kind, "description": "as asked"}, **told}}


def plain() -> dict[str, Any]:
    text = {
        "content": {"text/plain": {"schema": {"type": "string"}}},
        "description": "Prometheus' text format",
    }
    return {"responses": {200: text, 401: {"model": Error, "description": CODES[401]}}}


def decoding(body: type[Decoding], kind: str) -> dict[str, Any]:
    """How a decoding route is described; its body is read by the route itself."""
    content = {
        "application/json": {"schema": {"$ref": REF.format(model=BODIES[kind].__name__)}},
        "text/event-stream": {"schema": EVENT},
    }
    told: dict[int, Any] = {code: {"model": Error, "description": said} for code, said in CODES.items()}
    told[200] = {"description": "the answer, or with `stream` its chunks", "content": content}
    taken = {"application/json": {"schema": {"$ref": REF.format(model=body.__name__)}}}
    return {"responses": told, "openapi_extra": {"requestBody": {"required": True, "content": taken}}}


def _named(document: dict[str, Any]) -> None:
    """Tell the names of methods."""
    for body in ("ChatBody", "CompletionBody"):
        fields = document["components"]["schemas"][body]["properties"]
        fields["method"]["anyOf"][0]["enum"] = [*registry.cards()]


def describe(app: FastAPI) -> None:
    """Have the document name bodies that the routes read themselves, and the key."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            told = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            parts = told.setdefault("components", {})
            mine: list[type[BaseModel]] = [ChatBody, CompletionBody, *BODIES.values()]
            _, schemas = models_json_schema([(kind, "validation") for kind in mine], ref_template=REF)
            parts.setdefault("schemas", {}).update(schemas["$defs"])
            for unused in ("HTTPValidationError", "ValidationError"):
                parts["schemas"].pop(unused, None)
            for route in told["paths"].values():
                for operation in route.values():
                    operation["responses"].pop("422", None)
            parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            _named(told)
            app.openapi_schema = told
        return app.openapi_schema

    app.openapi = made  # type: ignore[method-assign]


def about(model: api.Model, loaded: int) -> dict[str, Any]:
    """A model in OpenAI's list. `loaded`: seconds since 1970."""
    canvas = "cells" if model.target is model.filler else "row"
    facts = {
        "canvas": canvas, "default_method": model.chosen("auto", None), "context": model.target.context,
        "precision": model.precision,
    }  # fmt: skip
    return {"id": model.name, "object": "model", "created": loaded, "owned_by": "anyorder", "anyorder": facts}


def cards(model: api.Model) -> dict[str, Any]:
    """Every method as plain data."""
    data = []
    for card in registry.cards().values():
        why = why_not(model, card)
        data.append({
            "name": card.name, "family": card.family, "paper": card.paper, "exact": card.exact,
            "summary": card.summary, "canvas": card.canvas, "nets": list(card.nets),
            "options": [_option(o) for o in registry.options(card.name)],
            "runs_here": why is None, "why_not": why,
        })  # fmt: skip
    return {
        "object": "list",
        "data": data,
        "shaping": [_option(o) for o in registry.SHAPING if not o.function],
    }


def why_not(model: api.Model, card: Card) -> str | None:
    """Why this model does not run a method for a client; None if it does, as far as its card tells."""
    if card.local:
        return "runs code on this machine"
    if any(o.needed and o.local and not o.within for o in card.options):
        return "needs a file or a model of this machine"
    if card.canvas != "row" and model.filler is None:
        return "fills cells in any order, and this model writes from left to right"
    if card.canvas == "row" and model.target is model.filler:
        return "writes from left to right, and this model fills cells in any order"
    attention = model.adapter.attention if model.adapter else ""
    if card.attention and attention not in card.attention:
        return f"needs a model whose attention is {' or '.join(card.attention)}"
    if "tree" not in model.target.can and card.canvas == "row" and card.family != "autoregressive":
        return "needs guesses or several rows, which this model misreads"
    return None


def _option(option: Option) -> dict[str, Any]:
    return {
        "name": option.name, "type": option.type.__name__, "default": option.default, "help": option.help,
        "low": option.low, "high": option.high, "choices": list(option.choices), "allowed": option.allowed,
    }  # fmt: skip
