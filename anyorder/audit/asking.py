"""Asking an OpenAI-compatible endpoint, and saying in one sentence why it did not answer.

The plain HTTP of `/v1/completions` and `/v1/chat/completions`. A busy endpoint (429, 503) is asked again,
later each time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from anyorder.errors import UserError

TRIES = 6  # of one request at a busy endpoint
WAIT = 0.5  # seconds before the second try; doubled each time
LONGEST = 20.0  # seconds between two tries, whatever the endpoint says


class Step(NamedTuple):
    """One generated token as an endpoint shows it."""

    token: str
    logprob: float
    top: dict[str, float]  # log probabilities of the likeliest tokens; some endpoints add this one to them


class Answer(NamedTuple):
    """What an endpoint wrote."""

    text: str
    steps: list[Step] | None  # None: it shows no log probabilities
    finish: str | None  # "stop", "length", ...


@dataclass
class Endpoint:
    """One side. `body`: fields added to every request. `chat`: None asks for a completion first, and for a
    chat if there is none. `sleep` and `transport` are for tests."""

    url: str
    model: str | None = None
    key: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    chat: bool | None = None
    timeout: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    transport: Any = None
    logprobs: int | None = None  # how many it shows; None: not known yet

    def __post_init__(self) -> None:
        try:
            import httpx
        except ImportError:
            raise UserError(
                "asking an endpoint needs httpx, which is not installed; pip install 'anyorder[audit]'"
            ) from None
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                f"{self.url!r} is no address of an endpoint; allowed is http or https; give one like "
                "http://127.0.0.1:8000/v1"
            )
        base = self.url.rstrip("/")
        self.url = base if base.endswith("/v1") else f"{base}/v1"
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        self.client = httpx.Client(headers=headers, timeout=self.timeout, transport=self.transport)
        if self.model is None:
            self.model = self._first_model()

    def close(self) -> None:
        self.client.close()

    def _first_model(self) -> str:
        listed = self._send("GET", "/models")
        try:
            return str(listed["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise self._foreign("its list of models is none") from None

    def ask(self, prompt: str, tokens: int, **given: Any) -> Answer:
        """What it writes after a prompt, with log probabilities if it shows any. Raises UserError."""
        if self.logprobs is None:
            self.logprobs = self._offered(prompt)
        return self._asked(prompt, tokens, self.logprobs, given)

    def _offered(self, prompt: str) -> int:
        """How many log probabilities it shows: 20, 5 or none. Finds out whether it chats."""
        if self.chat is None:
            try:
                self._asked(prompt, 1, 0, {"chat": False, "temperature": 0})
                self.chat = False
            except Refused as refusal:
                if refusal.status not in (400, 404, 405, 422):
                    raise
                self.chat = True
        for many in (20, 5):
            try:
                steps = self._asked(prompt, 1, many, {"temperature": 0}).steps
                if steps is not None and (not steps or steps[0].top):  # no step: the text ended at once
                    return many
            except Refused as refusal:
                if refusal.status not in (400, 422):
                    raise
        return 0

    def _asked(self, prompt: str, tokens: int, logprobs: int, given: Mapping[str, Any]) -> Answer:
        given = dict(given)
        chat = given.pop("chat", self.chat)
        body: dict[str, Any] = {"model": self.model, "max_tokens": tokens, **given, **self.body}
        if chat:
            body["messages"] = [{"role": "user", "content": prompt}]
            shown = {"logprobs": True, "top_logprobs": logprobs}
        else:
            body["prompt"] = prompt
            shown = {"logprobs": logprobs}
        if logprobs:
            body.update(shown)
        answer = self._send("POST", "/chat/completions" if chat else "/completions", body)
        try:
            return read(answer["choices"][0])
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            raise self._foreign("its answer has no choice with a text") from None

    def _send(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON. Raises UserError; Refused for a status that says no."""
        import httpx

        wait = WAIT
        for attempt in range(TRIES):
            try:
                answer = self.client.request(verb, self.url + path, json=body)
            except httpx.TimeoutException:
                raise UserError(
                    f"{self.url} gave no answer within {self.timeout:g} seconds; allowed is a server that "
                    "answers; give it more time, or shorter texts"
                ) from None
            except httpx.HTTPError as error:
                raise UserError(
                    f"{self.url} cannot be reached ({error}); allowed is an OpenAI-compatible endpoint; "
                    "start the server or correct the address"
                ) from None
            if answer.status_code not in (429, 503):
                return self._checked(answer)
            if attempt < TRIES - 1:
                self.sleep(min(LONGEST, _seconds(answer.headers.get("retry-after"), wait)))
                wait *= 2
        raise UserError(
            f"{self.url} said {TRIES} times that it is busy ({answer.status_code}); allowed is one request "
            "at a time; ask again when it has less to do"
        )

    def _checked(self, answer: Any) -> Any:
        if answer.status_code in (401, 403):
            raise UserError(
                f"{self.url} did not accept the key ({answer.status_code}); allowed is a key of that "
                "endpoint; give it one"
            )
        if answer.status_code >= 400:
            raise Refused(self.url, answer.status_code, _message(answer))
        try:
            return answer.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise self._foreign("its answer is no JSON") from None

    def _foreign(self, why: str) -> UserError:
        return UserError(
            f"{self.url} does not speak OpenAI's protocol: {why}; allowed is an endpoint with "
            "/v1/completions or /v1/chat/completions; correct the address"
        )


class Refused(UserError):
    """A status that says no."""

    def __init__(self, url: str, status: int, message: str):
        self.status = status
        super().__init__(
            f"{url} refused a request ({status}: {message}); allowed is what the endpoint documents; correct "
            "the address, the model's name or the added fields"
        )


def _seconds(said: str | None, otherwise: float) -> float:
    """A Retry-After in seconds; dates are not worth reading."""
    try:
        return max(0.0, float(said)) if said else otherwise
    except ValueError:
        return otherwise


def _message(answer: Any) -> str:
    try:
        told = answer.json()
        told = told.get("error", told)
        told = told.get("message", told) if isinstance(told, dict) else told
    except (ValueError, AttributeError):
        told = answer.text
    return " ".join(str(told).split())[:200]


def read(choice: Mapping[str, Any]) -> Answer:
    """A choice of either protocol. Raises KeyError, TypeError or AttributeError for anything else."""
    text = choice["text"] if "text" in choice else (choice["message"].get("content") or "")
    return Answer(str(text), _steps(choice.get("logprobs")), choice.get("finish_reason"))


def _steps(shown: Any) -> list[Step] | None:
    """Both forms: completions' parallel lists, and chats' list of entries."""
    if not shown:
        return None
    if shown.get("content") is not None:
        return [
            Step(
                entry["token"],
                float(entry["logprob"]),
                {t["token"]: float(t["logprob"]) for t in entry.get("top_logprobs") or ()},
            )
            for entry in shown["content"]
        ]
    if shown.get("tokens") is None:
        return None
    tops = shown.get("top_logprobs") or [None] * len(shown["tokens"])
    lines = zip(shown["tokens"], shown["token_logprobs"], tops)
    return [Step(token, float(p), dict(top or {})) for token, p, top in lines]
