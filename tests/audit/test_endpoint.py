"""The audit of endpoints, held against small ones: honest, wrong, undecided, silent, busy, strange."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from math import exp, log
from random import Random
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse

from anyorder.audit.asking import TRIES, Endpoint, Step, read
from anyorder.audit.draws import compare, law_of_texts, mean_deviation
from anyorder.audit.endpoint import audit, examine, first_law, place
from anyorder.audit.sampling import p_value
from anyorder.audit.verdict import EXACT, NOT_EXACT, UNCHECKED, UP_TO_TIES
from anyorder.errors import UserError

WORDS = ("the ", "cat ", "sat ", "on ", "mat ", "and ", "<eos>")
JITTER = 0.01  # how far the undecided endpoint's log probabilities move
CLOSE = 6  # tokens after which two words are as good as equal
PROMPTS = ("one", "two", "three")


def law(text: list[str], prompt: str, jitter: float = 0.0) -> dict[str, float]:
    """Log probabilities of the next word."""
    chance, moved = Random(f"{prompt}|{text}"), Random(f"{text}")
    logits = {word: chance.gauss(0, 1.5) - 4 * (word == "<eos>") for word in WORDS}
    if len(text) == CLOSE:  # the two best are nearer than jitter moves them
        best, second = sorted(WORDS, key=lambda w: -logits[w])[:2]
        logits[second] = logits[best] - JITTER / 4
        logits[best] -= jitter
    logits = {w: x + jitter * moved.uniform(-1, 1) for w, x in logits.items()}
    total = log(sum(exp(x) for x in logits.values()))
    return {w: x - total for w, x in logits.items()}


def write(mode: str, body: dict[str, Any], prompt: str) -> tuple[list[tuple[str, dict[str, float]]], str]:
    """Words with the laws shown for them, and why they end."""
    chance, words = Random(f"{prompt} {body.get('seed')}"), []
    while len(words) < body["max_tokens"]:
        text = [w for w, _ in words]
        shown = law(text, prompt, JITTER if mode == "undecided" else 0.0)
        ranked = sorted(shown, key=lambda w: -shown[w])
        if body.get("temperature", 1) == 0:
            word = ranked[mode in ("wrong", "wrong-silent") and len(text) == 5]
        elif mode == "wrong" and len(text) and chance.random() < 0.6:
            word = ranked[0]  # a drafted token that is taken whatever its probability
        else:
            word = chance.choices(ranked, [exp(shown[w]) for w in ranked])[0]
        if word == "<eos>":
            return words, "stop"
        words.append((word, shown))
    return words, "length"


def app() -> FastAPI:
    made, seen = FastAPI(), {"busy": 0}

    @made.get("/{mode}/v1/models")
    def models(mode: str) -> Any:
        return HTMLResponse("<p>hello</p>") if mode == "page" else {"data": [{"id": "toy"}]}

    @made.post("/{mode}/v1/completions")
    async def completions(mode: str, request: Request) -> Any:
        body = await request.json()
        if mode == "locked" and request.headers.get("authorization") != "Bearer open sesame":
            return JSONResponse({"error": {"message": "no"}}, 401)
        if mode == "chats":
            return JSONResponse({"error": {"message": "no such path"}}, 404)
        if mode == "down" or (mode == "busy" and (seen.update(busy=seen["busy"] + 1) or seen["busy"] % 3)):
            return JSONResponse({"error": {"message": "later"}}, 429, {"Retry-After": "0.25"})
        if mode == "strange":
            return {"answer": 42}
        words, end = write(mode, body, body["prompt"])
        if body.get("logprobs", 0) > 5:
            return JSONResponse({"error": {"message": "at most 5"}}, 400)
        choice: dict[str, Any] = {"text": "".join(w for w, _ in words), "finish_reason": end}
        if body.get("logprobs") and "silent" not in mode:
            top = [dict(sorted(p.items(), key=lambda x: -x[1])[: body["logprobs"]]) for _, p in words]
            shown = {"tokens": [w for w, _ in words], "token_logprobs": [p[w] for w, p in words]}
            choice["logprobs"] = {**shown, "top_logprobs": top}
        return {"choices": [choice]}

    @made.post("/{mode}/v1/chat/completions")
    async def chat(mode: str, request: Request) -> Any:
        body = await request.json()
        words, end = write("honest", body, body["messages"][0]["content"])
        shown = None
        if body.get("logprobs"):
            shown = {"content": [
                {"token": w, "logprob": p[w], "top_logprobs": [{"token": t, "logprob": p[t]} for t in p]}
                for w, p in words
            ]}  # fmt: skip
        message = {"role": "assistant", "content": "".join(w for w, _ in words)}
        return {"choices": [{"message": message, "finish_reason": end, "logprobs": shown}]}

    return made


@pytest.fixture(scope="module")
def at() -> Iterator[str]:
    """The address that all of them live under."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app(), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(5)


def judged(at: str, mode: str, plain: str = "honest", **how: Any) -> Any:
    given = {"prompts": PROMPTS, "max_tokens": 12, "draws": 120, **how}
    (verdict,) = audit(f"{at}/{mode}", f"{at}/{plain}", **given)
    return verdict


def test_an_honest_endpoint_is_exact(at: str) -> None:
    found = judged(at, "honest", seeded=True)
    assert (found.verdict, found.of, found.alarm) == (EXACT, "endpoint", False)
    assert found.greedy.equal == found.greedy.prompts == len(PROMPTS) + 1
    assert found.sampling.same_seed
    assert found.sampling.p_value > 1e-3
    assert "honest draws" in found.why


def test_an_endpoint_that_only_chats_is_asked_in_chats(at: str) -> None:
    assert judged(at, "chats", "chats").verdict == EXACT


def test_a_wrong_acceptance_rule_is_found_at_temperature_0_and_in_draws(at: str) -> None:
    found = judged(at, "wrong")
    assert found.verdict == NOT_EXACT
    assert found.alarm
    assert found.greedy.bugs == len(PROMPTS)
    first = found.greedy.divergences[0]
    assert first.position == 5
    assert first.margin > 2 * first.noise
    assert found.sampling.p_value < 1e-4
    assert "draws do not follow the target" in found.why


def test_wrong_draws_are_found_without_a_wrong_text(at: str) -> None:
    """The wrong one against itself: its texts are equal, and its draws do not follow what it shows."""
    found = judged(at, "wrong", "wrong")
    assert found.greedy.bugs == 0
    assert found.verdict == NOT_EXACT


def test_a_tie_is_no_bug(at: str) -> None:
    found = judged(at, "undecided")
    assert found.greedy.ties > 0
    assert found.greedy.bugs == 0
    assert found.verdict == UP_TO_TIES
    assert {f.position for f in found.greedy.divergences} == {CLOSE}


def test_without_log_probabilities_a_tie_cannot_be_told_from_a_bug(at: str) -> None:
    found = judged(at, "wrong-silent", "silent")
    assert found.verdict == UNCHECKED
    assert "cannot be told" in found.why
    assert found.sampling is None
    assert judged(at, "silent", "silent").verdict == EXACT  # equal texts need no telling


def test_a_busy_endpoint_is_asked_again(at: str) -> None:
    waits: list[float] = []
    side = Endpoint(f"{at}/busy", sleep=waits.append)
    assert side.ask("one", 3, temperature=0).text
    assert set(waits) == {0.25}  # what it said, not what we would wait
    with pytest.raises(UserError, match=f"{TRIES} times that it is busy"):
        Endpoint(f"{at}/down", sleep=waits.append).ask("one", 3)


@pytest.mark.parametrize(
    "mode, message",
    [
        ("page", "does not speak OpenAI's protocol: its answer is no JSON"),
        ("strange", "has no choice with a text"),
        ("locked", "did not accept the key"),
    ],
)
def test_bad_endpoints_get_one_clear_sentence(at: str, mode: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        judged(at, mode)
    assert "\n" not in str(caught.value)


def test_a_key_opens_and_stays_with_its_own_side(at: str) -> None:
    assert judged(at, "locked", "locked", key="open sesame", draws=40).verdict == EXACT
    with pytest.raises(UserError, match="did not accept the key"):  # another address does not get the key
        judged(at, "honest", "locked", key="open sesame")


@pytest.mark.parametrize(
    "url, message",
    [
        ("http://127.0.0.1:9", "cannot be reached"),
        ("ftp://here", "is no address of an endpoint"),
        ("smollm2", "is no address of an endpoint"),
    ],
)
def test_what_is_not_there(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        audit(url)


def test_an_endpoint_that_does_not_answer_is_given_up() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with pytest.raises(UserError, match=r"no answer within 0\.2 seconds"):
            audit(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout=0.2)


def test_the_law_of_the_first_token_is_the_one_shown(at: str) -> None:
    found = first_law(Endpoint(f"{at}/honest"), "one")
    assert found is not None
    assert sum(found.values()) == pytest.approx(1)
    true = law([], "one")
    best = max(true, key=lambda w: true[w])
    assert found[best] == pytest.approx(exp(true[best]))
    assert "<eos>" not in found
    assert len(found) <= 6  # five are shown at most, and the rest


def test_both_protocols_are_read_alike() -> None:
    shown = {"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "b", "logprob": -0.5}]}
    chat = read({"message": {"content": "a"}, "logprobs": {"content": [shown]}, "finish_reason": "stop"})
    lists = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"b": -0.5}]}
    assert chat == read({"text": "a", "logprobs": lists, "finish_reason": "stop"})


@pytest.mark.parametrize("adds_the_drawn_one", [False, True])
def test_places_of_drawn_tokens_are_uniform_though_few_are_shown(adds_the_drawn_one: bool) -> None:
    chance, places = Random(1), []
    true = {"a": 0.4, "b": 0.2, "c": 0.2, "d": 0.1, "e": 0.1}
    for _ in range(4000):
        (token,) = chance.choices(list(true), list(true.values()))
        shown = {t: log(true[t]) for t in ("a", "b", token if adds_the_drawn_one else "a")}
        places.append(place(Step(token, log(true[token]), shown), 2, chance))
    assert p_value(places) > 1e-3
    assert p_value([place(Step("b", log(0.2), shown), 2, chance) for _ in range(400)]) < 1e-6


def test_ends_that_are_not_shown_leave_places_uniform() -> None:
    chance, true = Random(2), {"<eos>": 0.5, "a": 0.3, "b": 0.2}
    shown = {t: log(p) for t, p in true.items()}
    drawn = [t for t in chance.choices(list(true), list(true.values()), k=4000) if t != "<eos>"]
    assert p_value([place(Step(t, shown[t], shown), 5, chance) for t in drawn]) > 1e-3


def test_the_distance_of_honest_draws_is_what_they_have() -> None:
    chance, true = Random(0), {"a": 0.5, "b": 0.3, "c": 0.15, "d": 0.05}
    found = []
    for _ in range(300):
        drawn = chance.choices(list(true), list(true.values()), k=80)
        found.append(compare({x: drawn.count(x) for x in true}, true))
    assert sum(f.tv for f in found) / 300 == pytest.approx(found[0].honest, rel=0.05)
    assert sum(f.p_value < 0.1 for f in found) / 300 == pytest.approx(0.1, abs=0.05)
    assert compare({"a": 79, "e": 1}, true).p_value == 0
    assert mean_deviation(1, 0.5) == pytest.approx(0.5)  # one toss of a coin is half a head away


def test_a_law_of_texts_ends_where_texts_end() -> None:
    found = law_of_texts(lambda text: (0.5, 0.25, 0.25), 2, eos=[2])
    assert sum(found.values()) == pytest.approx(1)
    assert found[(2,)] == 0.25
    assert found[(0, 1)] == 0.125
    assert len(found) == 1 + 2 * 3


@pytest.mark.slow
def test_our_own_server_is_exact() -> None:
    """One address; the request's body says which method decodes."""
    import anyorder
    from tests.server.conftest import running

    with running(anyorder.load(precision="fp32")) as server:
        (found,) = audit(
            server.url,
            body={"method": "prompt_lookup"},
            plain_body={"method": "greedy"},
            max_tokens=32,
            draws=60,
            seeded=True,
        )
    assert found.verdict in (EXACT, UP_TO_TIES), found.why


def test_one_side_of_one_address_can_be_told_apart_by_the_body(at: str) -> None:
    """As with an anyorder server: the same address, another method."""
    sides = [Endpoint(f"{at}/honest", body={"max_tokens": n}) for n in (9, 12)]
    found = examine(*sides, PROMPTS, 12, 0)
    assert found.verdict == NOT_EXACT  # it broke off at nine tokens and says that they were twelve
