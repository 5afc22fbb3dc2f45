"""Clients of a server: a process of its own on a free port, requests of mixed methods, and what came of them.

A request is written as for `Model.request` and becomes the body of an HTTP request here, so that what a
server writes can be compared with what the library writes alone.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

HOST = "127.0.0.1"
FIELDS = (  # OpenAI's; all other options are method_options
    "model", "max_tokens", "temperature", "seed", "stop", "top_p", "n", "presence_penalty",
    "frequency_penalty", "logit_bias",
)  # fmt: skip
TURNS = ("prompt", "method", "chat")
TRIES, WAIT, LONGEST_WAIT = 200, 0.02, 1.0  # of who was refused for want of a place; seconds
METHODS: tuple[Mapping[str, Any], ...] = (  # what they write depends on their own text and seed only
    {"method": "greedy"}, {"method": "sample", "temperature": 0.9}, {"method": "beam", "width": 3},
    {"method": "prompt_lookup"}, {"method": "token_recycling"}, {"method": "lookahead"},
    {"method": "token_recycling", "temperature": 1.0}, {"method": "suffix", "temperature": 0.8},
    {"method": "contrastive", "k": 3}, {"method": "mirostat"}, {"method": "best_of_n", "texts": 3},
    {"method": "diverse_beam", "width": 4, "groups": 2}, {"method": "auto"},
    {"method": "greedy", "stop": ["."]},
    {"method": "sample", "temperature": 1.0, "top_p": 0.9}, {"method": "adadec", "threshold": 0.5},
)  # fmt: skip
PROMPTS = (
    "Why is the sky blue?", "Name three rivers of Europe.", "Write a haiku about rain.", "12 + 30 = ?",
    "Say this in Spanish: where is the station?", "A person, as JSON with a name and an age.",
    "The cat sat on the mat. The cat sat on the mat. The cat sat", "Once upon a time, in a small village,",
    "Explain what a prime number is to a child.", "def add(a, b):", "What rhymes with orange?",
    "Répète après moi : déjà vu, naïveté, cœur.",
)  # fmt: skip


# a server of its own --------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Served:
    """A server that runs in a process of its own."""

    url: str
    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def served(model: str, *flags: str, seconds: float = 300.0) -> Iterator[Served]:
    """`anyorder serve` on a free port of this machine until the context is left. Raises RuntimeError with
    what it wrote if it does not answer within `seconds`."""
    port = free_port()
    command = [sys.executable, "-m", "anyorder", "serve", "--model", model, "--port", str(port), *flags]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            there = Served(f"http://{HOST}:{port}", port, process)
            if not _answers(there, seconds):
                log.seek(0)
                raise RuntimeError(f"the server did not answer:\n{log.read().decode(errors='replace')}")
            yield there
        finally:
            _ended(process)


def _answers(there: Served, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and there.process.poll() is None:
        try:
            if httpx.get(f"{there.url}/health", timeout=2).status_code == 200:
                return True
        except httpx.TransportError:
            time.sleep(0.1)
    return False


def _ended(process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# one request ----------------------------------------------------------------------------------------------


def body(ask: Mapping[str, Any], stream: bool = False) -> dict[str, Any]:
    """The body of an HTTP request for what `Model.request` would take; `chat` decides how the prompt goes."""
    own = {name: value for name, value in ask.items() if name not in (*FIELDS, *TURNS)}
    prompt = ask["prompt"]
    chat = {"messages": [{"role": "user", "content": prompt}]}
    made = {name: ask[name] for name in FIELDS if name in ask}
    made |= chat if ask.get("chat", True) else {"prompt": prompt}
    return {**made, "method": ask.get("method", "auto"), "method_options": own, "stream": stream}


def path(ask: Mapping[str, Any]) -> str:
    return "/v1/chat/completions" if ask.get("chat", True) else "/v1/completions"


def text_of(choice: Mapping[str, Any]) -> str:
    """What an answer or a chunk says."""
    said = choice.get("message") or choice.get("delta") or {}
    return said.get("content") or choice.get("text") or ""


@dataclass
class Outcome:
    """What came of one request."""

    ask: Mapping[str, Any]
    status: int = 0  # of the last answer; 0: none came
    text: str = ""
    refused: int = 0  # times the server had no place
    cancelled: bool = False
    wrong: str = ""  # what broke, in words
    seconds: float = 0.0  # from the answered attempt's start to its end
    tokens: int = 0


async def tried(
    client: httpx.AsyncClient, ask: Mapping[str, Any], *, stream: bool, leave: int | None = None
) -> Outcome:
    """Ask until there is a place. `leave`: a streaming client goes away after about so many tokens, another
    one after so many hundredths of a second."""
    outcome = Outcome(ask)
    for attempt in range(TRIES):
        start = time.perf_counter()
        try:
            patience = None if leave is None or stream else leave / 100
            work = _streamed(client, outcome, leave) if stream else _whole(client, outcome)
            await asyncio.wait_for(work, patience)
        except TimeoutError:
            outcome.cancelled = True
        except (httpx.HTTPError, ValueError) as error:
            outcome.wrong = f"{type(error).__name__}: {error}"
        outcome.seconds = time.perf_counter() - start
        if outcome.status != 429 or outcome.cancelled or outcome.wrong:
            break
        outcome.refused += 1
        await asyncio.sleep(min(LONGEST_WAIT, WAIT * 2 ** min(attempt, 10)))
    return outcome


async def _whole(client: httpx.AsyncClient, outcome: Outcome) -> None:
    answer = await client.post(path(outcome.ask), json=body(outcome.ask))
    outcome.status = answer.status_code
    if answer.status_code == 200:
        said = answer.json()
        outcome.text, outcome.tokens = text_of(said["choices"][0]), said["usage"]["completion_tokens"]
    elif answer.status_code != 429:
        outcome.wrong = answer.text[:300]


async def _streamed(client: httpx.AsyncClient, outcome: Outcome, leave: int | None) -> None:
    sent, seen, outcome.text = body(outcome.ask, stream=True), 0, ""
    async with client.stream("POST", path(outcome.ask), json=sent) as answer:
        outcome.status = answer.status_code
        if answer.status_code != 200:
            said = (await answer.aread()).decode(errors="replace")
            outcome.wrong = "" if answer.status_code == 429 else said[:300]
            return
        async for event in events(answer):
            seen += 1
            if leave is not None and seen > leave // 8:  # an event has several tokens
                outcome.cancelled = True
                return
            if "error" in event:
                outcome.wrong = json.dumps(event["error"])[:300]
                return
            outcome.text += "".join(text_of(choice) for choice in event["choices"])


async def events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each event of a stream. Raises ValueError if the stream breaks off before its end."""
    async for line in answer.aiter_lines():
        if line == "data: [DONE]":
            return
        if line.startswith("data:"):
            yield json.loads(line[5:])
    raise ValueError("the stream ended without [DONE]")


# many of them ---------------------------------------------------------------------------------------------


@dataclass
class Plan:
    """Random requests of one seed; `most` tokens each, `leaving` of them go away before the end."""

    seed: int = 0
    most: int = 24
    leaving: float = 0.15
    methods: Sequence[Mapping[str, Any]] = METHODS
    prompts: Sequence[str] = PROMPTS
    seeds: int = 2  # different ones for each method and prompt: the fewer, the less to compute alone
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def ask(self) -> dict[str, Any]:
        draw = self.random
        which, size = draw.randrange(len(self.prompts)), draw.choice((self.most // 3, self.most))
        made = {"prompt": self.prompts[which], "max_tokens": max(1, size), **draw.choice(self.methods)}
        return {**made, "seed": draw.randrange(self.seeds), "chat": which % 3 > 0}

    def leave(self) -> int | None:
        return self.random.randint(0, self.most // 2) if self.random.random() < self.leaving else None


async def crowd(url: str, clients: int, each: int, plan: Plan) -> list[Outcome]:
    """`clients` at once, each with `each` requests one after the other; streamed or not by chance."""
    asked = [
        [(plan.ask(), plan.random.random() < 0.6, plan.leave()) for _ in range(each)] for _ in range(clients)
    ]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:

        async def one(turns: list[tuple[dict[str, Any], bool, int | None]]) -> list[Outcome]:
            return [await tried(client, ask, stream=stream, leave=leave) for ask, stream, leave in turns]

        return [outcome for done in await asyncio.gather(*map(one, asked)) for outcome in done]


def key(ask: Mapping[str, Any]) -> str:
    """Equal for equal requests."""
    return json.dumps(ask, sort_keys=True)


def unequal(model: Any, outcomes: Sequence[Outcome], known: dict[str, str]) -> list[dict[str, Any]]:
    """Finished requests whose text is not what the library writes alone. `model`: an `anyorder.Model`;
    `known`: texts written alone so far, kept by `key`."""
    wrong = []
    for outcome in outcomes:
        if outcome.status != 200 or outcome.cancelled or outcome.wrong:
            continue
        if (name := key(outcome.ask)) not in known:
            known[name] = model.generate(**outcome.ask).text
        if outcome.text != known[name]:
            wrong.append({**outcome.ask, "got": outcome.text, "alone": known[name]})
    return wrong


def counted(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Outcomes by kind; `refused`: 429s on the way, each tried again."""
    kinds = Counter("other" if o.wrong else "cancelled" if o.cancelled else str(o.status) for o in outcomes)
    return {**kinds, "refused": sum(o.refused for o in outcomes)}


def load(url: str) -> dict[str, Any]:
    """What the server says of itself."""
    return dict(httpx.get(f"{url}/health", timeout=10).json())
