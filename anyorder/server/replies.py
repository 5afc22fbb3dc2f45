"""What a client gets: whole answers, and streams in chunks, in OpenAI's forms with a block `anyorder`."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from anyorder import registry
from anyorder.api import Model, Result, ranked
from anyorder.deltas import Delta
from anyorder.server.jobs import Job, Line, News
from anyorder.server.laws import Chance
from anyorder.server.problems import Problem
from anyorder.trace import header

PACE = 0.05  # seconds between two looks at what became true, but for the first and the last
SILENCE = 15.0  # seconds after which a stream says that it is alive
PING, DONE = b": still here\n\n", b"data: [DONE]\n\n"


def figures(result: Result) -> dict[str, Any]:
    """The block `anyorder` of a finished text."""
    told = result.figures()
    del told["text"], told["tokens"]
    return told


def finish_reason(result: Result) -> str:
    return "length" if result.ended == "length" else "stop"


def usage(job: Job, results: Sequence[Result]) -> dict[str, int]:
    """A prompt of which several texts were asked for counts once for each."""
    prompt = sum(line.request.canvas.prompt for line in job.lines if line.request is not None)
    written = sum(result.tokens for result in results)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


class Form:
    """How one endpoint writes texts."""

    whole, part, prefix = "", "", ""

    def __init__(self, model: str):
        self.head = {"id": f"{self.prefix}-{uuid.uuid4().hex}", "object": self.whole}
        self.head |= {"created": int(time.time()), "model": model}  # type: ignore[dict-item]

    def choice(self, index: int, result: Result, chances: list[Chance] | None) -> dict[str, Any]:
        raise NotImplementedError

    def piece(self, text: str, chances: Sequence[Chance], first: bool, offset: int) -> str:
        """Inside of a chunk's choice, as JSON: what comes before `finish_reason`.
        `offset`: characters of the tokens before these."""
        raise NotImplementedError


class Chat(Form):
    whole, part, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def choice(self, index: int, result: Result, chances: list[Chance] | None) -> dict[str, Any]:
        message = {"role": "assistant", "content": result.text, "refusal": None}
        laws = None if chances is None else {"content": [_token(x) for x in chances], "refusal": None}
        return {"index": index, "message": message, "logprobs": laws, "finish_reason": finish_reason(result)}

    def piece(self, text: str, chances: Sequence[Chance], first: bool, offset: int) -> str:
        role = '"role":"assistant",' if first else ""
        content = f'"content":{json.dumps(text)}' if text or first else ""
        laws = json.dumps({"content": [_token(x) for x in chances], "refusal": None}) if chances else "null"
        return f'"delta":{{{role}{content}}},"logprobs":{laws}'


class Completion(Form):
    whole, part, prefix = "text_completion", "text_completion", "cmpl"

    def choice(self, index: int, result: Result, chances: list[Chance] | None) -> dict[str, Any]:
        laws = None if chances is None else _lists(chances, 0)
        return {"index": index, "text": result.text, "logprobs": laws, "finish_reason": finish_reason(result)}

    def piece(self, text: str, chances: Sequence[Chance], first: bool, offset: int) -> str:
        laws = json.dumps(_lists(chances, offset)) if chances else "null"
        return f'"text":{json.dumps(text)},"logprobs":{laws}'


def _token(chance: Chance) -> dict[str, Any]:
    """A token's log-probability as the chat endpoint tells it."""
    top = [{"token": t, "logprob": p, "bytes": _bytes(t)} for t, p in chance.top]
    return {
        "token": chance.text, "logprob": chance.logprob, "bytes": _bytes(chance.text), "top_logprobs": top
    }  # fmt: skip


def _bytes(text: str) -> list[int] | None:
    """None for a token that is a part of a character."""
    return None if "\ufffd" in text else list(text.encode())


def _lists(chances: Sequence[Chance], offset: int) -> dict[str, Any]:
    """The same as the other endpoint tells it."""
    offsets = []
    for chance in chances:
        offsets.append(offset)
        offset += len(chance.text)
    return {
        "tokens": [x.text for x in chances], "token_logprobs": [x.logprob for x in chances],
        "top_logprobs": [dict(x.top) for x in chances], "text_offset": offsets,
    }  # fmt: skip


def whole(form: Form, job: Job, model: Model) -> dict[str, Any]:
    """The answer of a job whose lines are all over. Raises Problem."""
    results = [line.result(model) for line in job.lines]
    choices = [
        form.choice(line.index, result, None if line.laws is None else line.laws.of(_best(line)))
        for line, result in zip(job.lines, results)
    ]
    told = figures(results[0])
    if len(results) > 1:
        told["choices"] = [figures(result) for result in results]
    return {**form.head, "choices": choices, "usage": usage(job, results), "anyorder": told}


def _best(line: Line) -> int:
    """The row that is the answer."""
    assert line.request is not None
    return ranked(line.request.canvas)[0]


def together(heard: Sequence[tuple[Line, News | None]]) -> Iterator[tuple[Line, News | None]]:
    """News of one text that follow each other as one, where they add nothing but text."""
    held: tuple[Line, News] | None = None
    for line, news in heard:
        plain = news is not None and news.step is None and not news.delta.cells
        if held is not None and plain and held[0] is line:
            assert news is not None
            text = Delta(held[1].delta.text + news.delta.text)
            held = line, News(text, [*held[1].chances, *news.chances], None)
            continue
        if held is not None:
            yield held
        held = (line, news) if plain and news is not None else None
        if held is None:
            yield line, news
    if held is not None:
        yield held


class Stream:
    """A job's events as chunks."""

    def __init__(self, form: Form, job: Job, model: Model, with_usage: bool):
        self.form, self.job, self.model, self.with_usage = form, job, model, with_usage
        head = json.dumps({**form.head, "object": form.part})[:-1]
        self.before = f'data: {head}, "choices":[{{"index":'
        self.after = ',"usage":null}\n\n' if with_usage else "}\n\n"
        self.begun: set[int] = set()
        self.results: dict[int, Result] = {}
        self.offsets: dict[int, int] = {}  # line -> characters of the tokens whose chances were told

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body, from the first event on. Problems that come later are an event. Raises Problem if there
        is one before the first event."""
        steps = any(line.wanted.steps for line in self.job.lines)
        try:
            while len(self.results) < len(self.job.lines):
                if self.begun and not steps:
                    await self.job.rest(PACE)
                heard = await self.job.hears(SILENCE if self.begun else None)
                if not heard and self.begun:
                    yield PING
                try:
                    made = "".join([self._chunk(line, news) for line, news in together(heard)])
                except Problem as problem:
                    self.job.fail(problem)
                    raise
                if made:
                    yield made.encode()
            if self.with_usage:
                told = usage(self.job, list(self.results.values()))
                last = {**self.form.head, "object": self.form.part, "choices": [], "usage": told}
                yield b"data: " + json.dumps(last).encode() + b"\n\n"
            yield DONE
        except Problem as problem:
            if not self.begun:
                raise
            yield problem.event
        finally:
            self.job.cancel()

    def _chunk(self, line: Line, news: News | None) -> str:
        """Raises Problem."""
        if news is None:
            return self._last(line)
        delta, chances, step = news
        told: dict[str, Any] = {"cells": delta.cells, "texts": delta.texts} if delta.cells else {}
        if step is not None:
            told["step"] = step
        if not (delta.text or told or chances) and line.index in self.begun:
            return ""
        return self._written(line, delta.text, chances, "null", told)

    def _last(self, line: Line) -> str:
        result = line.result(self.model)
        self.results[line.index] = result
        text = result.text if line.deltas is None else line.deltas.end(result.text)
        chances = () if line.laws is None else line.laws.late(_best(line))
        return self._written(line, text, chances, f'"{finish_reason(result)}"', figures(result))

    def _written(
        self, line: Line, text: str, chances: Sequence[Chance], reason: str, told: dict[str, Any]
    ) -> str:
        first = line.index not in self.begun
        if first and line.wanted.steps and line.request is not None:
            card = registry.card(self.model.chosen(line.wanted.method, None))
            told = {"trace": header(self.model.name, card, line.request, line.prompt), **told}
        self.begun.add(line.index)
        offset = self.offsets.get(line.index, 0)
        self.offsets[line.index] = offset + sum(len(x.text) for x in chances)
        inside = self.form.piece(text, chances, first, offset)
        block = f',"anyorder":{json.dumps(told)}' if told else ""
        return f'{self.before}{line.index},{inside},"finish_reason":{reason}}}]{block}{self.after}'
