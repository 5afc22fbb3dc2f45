"""The server by itself: errors, limits, keys, time-outs, clients that go away, shutting down."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest

from anyorder.api import NETS
from anyorder.errors import UserError
from anyorder.server import Settings
from anyorder.server.fields import ChatBody, parsed
from anyorder.server.guard import Events, known
from anyorder.server.jobs import Line, Wanted
from anyorder.server.listen import bound, loopback
from anyorder.server.problems import Problem
from tests.server.conftest import running

TEXT = "ab ab ab cd ab ab"
LONG = {"prompt": TEXT, "max_tokens": 900, "method": "greedy", "logit_bias": {"256": -100}}  # 256 ends texts


def ask(server, body, path="/v1/completions", **more) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, timeout=60, **more)


def error(answer: httpx.Response) -> dict:
    """The error of an answer, whose form is OpenAI's."""
    told = answer.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert told["message"]
    return told


@contextmanager
def held(server):
    """Nothing is prepared inside, so that what comes waits."""
    gate = threading.Event()
    server.desk.worker.submit(gate.wait)
    try:
        yield
    finally:
        gate.set()


# fields ----------------------------------------------------------------------------------------------------

USER = {"messages": [{"role": "user", "content": "Hi"}]}
WRONG = [  # a chat's fields, the one to blame
    ({"foo": 1}, "foo"),
    ({"n": "2"}, "n"),
    ({"n": 0}, "n"),
    ({"temperature": -1}, "temperature"),
    ({"top_p": 2}, "top_p"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"stop": ["a", 7]}, "stop[1]"),
    ({"stop": ""}, "stop"),
    ({"seed": 1.5}, "seed"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1 << 20}, "max_tokens"),
    ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": "Hi", "tone": 1}]}, "messages[0].tone"),
    ({"logit_bias": {"a": 1}}, "logit_bias.a"),
    ({"logit_bias": {"1": 101}}, "logit_bias.1"),
    ({"logit_bias": {"300": 1}}, "logit_bias"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"response_format": {"type": "yaml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"steps": True}, "steps"),
    ({"method": 3}, "method"),
    ({"method_options": {"temperature": 1}}, "method_options.temperature"),
    ({"method_options": {"trusted": True}}, "method_options.trusted"),
    ({"method_options": {"top_k": [1]}}, "method_options.top_k"),
    ({"method_options": {"top_k": 1 << 40}}, "method_options.top_k"),
    ({"method_options": {"template": "<99999999999>"}}, "method_options.template"),
    ({"method_options": {"banned": [300]}}, "method_options.banned"),
    ({"method_options": {"regex": "a" * 5_000}}, "method_options.regex"),
    ({"model": "gpt-4"}, "model"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_a_wrong_field_is_named(tiny_server, fields, param) -> None:
    answer = ask(tiny_server, USER | fields, "/v1/chat/completions")
    assert answer.status_code == (404 if param == "model" else 400)
    assert error(answer)["param"] == param


@pytest.mark.parametrize(
    "fields",
    [
        {"method_options": {"nodes": -1}, "method": "prompt_lookup"},
        {"method_options": {"width": 3}, "method": "greedy"},
        {"method": "draft_model", "method_options": {"draft": "/etc/passwd"}},
        {"method": "static"},
        {"method_options": {"grammar": "@/etc/passwd"}},
        {"method_options": {"json_schema": "/etc/passwd"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "no such"}}}},
        {"method_options": {"regex": "(("}},
        {"method_options": {"regex": "a", "choices": "a|b"}},
        {"prompt": [301]},
        {"prompt": ["ab", "  "]},
        {"prompt": "x" * 2000},
        {"prompt": []},
        {"prompt": [[]]},
        {"prompt": ["a", 1]},
        {"prompt": ["a"] * 40},
    ],
)
def test_what_cannot_be_decoded_is_refused_in_a_sentence(tiny_server, fields) -> None:
    answer = ask(tiny_server, {"prompt": TEXT} | fields)
    assert answer.status_code == 400
    assert "passwd: " not in error(answer)["message"]


BROKEN = [b"", b"[", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"prompt":"\\ud800"}', b"[" * 10_000,
          b'{"prompt":"a","temperature":NaN}', b'{"prompt":"a","temperature":1e999}',
          b'{"prompt":"a","method_options":{"top_k":1e999}}', b'{"prompt":"a\xff"}']  # fmt: skip


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_broken_bodies_are_400(tiny_server, body) -> None:
    answer = httpx.post(
        f"{tiny_server.url}/v1/completions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    error(answer)


def test_a_body_is_parsed_or_named_wherever_it_is_wrong() -> None:
    assert parsed(ChatBody, json.dumps(USER | {"temperature": 1}).encode()).temperature == 1
    with pytest.raises(Problem, match=r"unknown fields a, b; allowed are .*method.*; drop"):
        parsed(ChatBody, json.dumps(USER | {"a": 1, "b": 2}).encode())


def test_other_paths_methods_types_and_sizes(tiny_server) -> None:
    url = tiny_server.url
    assert error(httpx.get(f"{url}/v2"))["code"] == "not_found"
    assert error(httpx.get(f"{url}/v1/completions"))["code"] == "method_not_allowed"
    assert httpx.get(f"{url}/v1/completions").headers["allow"] == "POST"
    plain = httpx.post(f"{url}/v1/completions", content=b"{}", headers={"content-type": "text/plain"})
    assert (plain.status_code, error(plain)["code"]) == (415, "unsupported_media_type")
    long = ask(tiny_server, {"prompt": "a" * 30_000})
    assert (long.status_code, error(long)["code"]) == (413, "body_too_large")
    parts = (b'{"prompt":"' if i == 0 else b"a" * 9000 for i in range(5))  # of a length that nobody tells
    chunked = httpx.post(f"{url}/v1/completions", content=parts, headers={"content-type": "application/json"})
    assert chunked.status_code == 413


# what it tells about itself --------------------------------------------------------------------------------


def test_methods_models_health_and_metrics(tiny_server) -> None:
    get = httpx.Client(base_url=tiny_server.url).get
    told = get("/v1/methods").json()
    cards = {card["name"]: card for card in told["data"]}
    assert cards["greedy"]["runs_here"]
    assert not cards["static"]["runs_here"]
    assert "any order" in cards["static"]["why_not"]
    assert not cards["draft_model"]["runs_here"]
    assert "top_k" in {option["name"] for option in told["shaping"]}
    runs = [name for name, card in cards.items() if card["runs_here"] and card["family"] == "autoregressive"]
    assert all(
        ask(tiny_server, {"prompt": TEXT, "max_tokens": 2, "method": name}).is_success for name in runs
    )
    assert get("/v1/models").json()["data"][0]["anyorder"]["context"] == 1024
    assert get("/health").json()["status"] == "ok"
    text = get("/metrics").text
    assert 'anyorder_tokens_total{kind="written",method="greedy"}' in text
    assert 'anyorder_requests_total{route="/v1/completions",status="200"}' in text


def test_the_document_names_bodies_and_every_status(tiny_server) -> None:
    told = httpx.get(f"{tiny_server.url}/openapi.json").json()
    post = told["paths"]["/v1/chat/completions"]["post"]
    assert set(post["responses"]) == {str(c) for c in (200, 400, 401, 404, 408, 413, 415, 429, 500, 503)}
    fields = told["components"]["schemas"]["ChatBody"]
    assert fields["additionalProperties"] is False
    assert {"messages", "method", "method_options", "steps"} <= set(fields["properties"])


def test_the_page_runs_nothing_but_its_own_files(tiny_server) -> None:
    answer = httpx.get(f"{tiny_server.url}/")
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert answer.headers["cache-control"] == "no-store"
    assert error(httpx.get(f"{tiny_server.url}/page/no.js"))["code"] == "not_found"
    assert httpx.get(f"{tiny_server.url}/page/../app.py").status_code == 404


# limits ----------------------------------------------------------------------------------------------------


def test_a_full_queue_is_429_and_what_waited_is_served(tiny_model) -> None:
    with running(tiny_model, most=1, queue=1) as server, ThreadPoolExecutor(2) as pool:
        with held(server):
            waiting = [pool.submit(ask, server, {"prompt": TEXT, "max_tokens": 2}) for _ in range(2)]
            while server.desk.inside < 2:
                time.sleep(0.01)
            refused = ask(server, {"prompt": TEXT})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert error(refused)["code"] == "queue_full"
        assert [one.result().status_code for one in waiting] == [200, 200]
        assert ask(server, {"prompt": TEXT, "n": 3}).status_code == 400
        assert server.empties()


def test_a_request_that_takes_too_long_is_408_and_frees_its_place(tiny_model) -> None:
    with running(tiny_model, timeout=0.3) as server:
        with held(server):
            slow = ask(server, {"prompt": TEXT, "max_tokens": 2})
        assert (slow.status_code, error(slow)["code"]) == (408, "timeout")
        long = ask(server, {**LONG, "n": 8})
        assert long.status_code == 408
        stream = ask(server, {**LONG, "n": 8, "stream": True})
        assert stream.status_code == 200
        assert json.loads(stream.text.split("data: ")[-1])["error"]["code"] == "timeout"
        assert server.empties()
        assert ask(server, {"prompt": TEXT, "max_tokens": 2}).is_success


def test_a_client_that_goes_away_while_it_waits_frees_its_place(tiny_model) -> None:
    with running(tiny_model) as server:
        with held(server):
            for stream in (False, True):
                with pytest.raises(httpx.ReadTimeout):
                    httpx.post(f"{server.url}/v1/completions", json={**LONG, "stream": stream}, timeout=0.3)
            time.sleep(0.3)
        assert server.empties()
        assert server.app.state.metrics.totals() == {"texts": 0, "tokens": 0}


def test_keys_are_asked_for_where_there_are_some(tiny_model) -> None:
    with running(tiny_model, keys=("one", "two")) as server:
        body = {"prompt": TEXT, "max_tokens": 1}
        assert ask(server, body, headers={"authorization": "Bearer two"}).is_success
        for headers in (
            {},
            {"authorization": "Bearer three"},
            {"authorization": "two"},
            {"authorization": b"Bearer \xe9"},
        ):
            refused = ask(server, body, headers=headers)
            assert (refused.status_code, error(refused)["type"]) == (401, "authentication_error")
        assert httpx.get(f"{server.url}/health").is_success
        assert httpx.get(f"{server.url}/metrics").status_code == 401
    assert known(("one", "two"), "bearer one")
    assert not known(("one",), "Bearer on")


# faults ----------------------------------------------------------------------------------------------------


def test_what_breaks_while_decoding_ends_its_request_alone(tiny_model, monkeypatch, caplog) -> None:
    real = tiny_model.request
    fault: list[Exception] = []

    def breaks(*given, **options):
        request, seen = real(*given, **options), []

        def shape(answer, canvas):
            seen.append(answer)
            if len(seen) > 3:
                raise fault[0]
            return answer

        request.shape = shape
        return request

    with running(tiny_model) as server:
        monkeypatch.setattr(tiny_model, "request", breaks)
        for raised, status, code in (
            (RuntimeError("oh"), 500, "internal_error"),
            (UserError("so"), 400, None),
        ):
            fault[:] = [raised]
            told = ask(server, {"prompt": TEXT, "method": "greedy"})
            assert (told.status_code, error(told)["code"]) == (status, code)
            events = (
                ask(server, {"prompt": TEXT, "method": "greedy", "stream": True}).text.strip().split("\n\n")
            )
            assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == code
        monkeypatch.undo()
        assert ask(server, {"prompt": TEXT, "max_tokens": 2}).is_success
    assert "oh" in caplog.text
    assert "oh" not in told.text


def test_requests_leave_nothing_behind(tiny_server) -> None:
    def once(i: int) -> None:
        schema = {"type": "object", "properties": {f"a{i}": {"const": 1}}, "required": [f"a{i}"]}
        form = {"type": "json_schema", "json_schema": {"schema": schema}}
        body = {"prompt": TEXT, "max_tokens": 60, "response_format": form, "logprobs": 2}
        assert ask(tiny_server, body).is_success

    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    for i in range(3):
        once(i)
    before = objects()
    for i in range(3, 15):
        once(i)
    assert tiny_server.empties()
    assert objects() - before < 12 * 20
    assert not tiny_server.desk._watched


def test_what_clients_options_leave_with_the_model_is_bounded(tiny_server) -> None:
    body = {"prompt": TEXT, "max_tokens": 2, "method": "vocabtrim"}
    for keep in range(20, 40):
        assert ask(
            tiny_server, body | {"method_options": {"drafter": "early_exit/layer=1", "keep": keep}}
        ).is_success
    model = tiny_server.model
    assert len(model._others) <= NETS
    assert len(model.cache.holders) <= NETS + 1
    refused = ask(tiny_server, body | {"method": "skip_layers"})
    assert "runs the model" in error(refused)["message"]


def test_text_of_cells_is_certain_unless_they_may_be_written_again() -> None:
    model, cells = (
        SimpleNamespace(chosen=lambda method, _: method),
        SimpleNamespace(canvas=SimpleNamespace(mask=1)),
    )

    def certain(method: str, **options: str) -> bool:
        return Line(None, 0, Wanted("", method, options=options))._certain(model, cells)

    assert certain("threshold")
    assert not certain("wino")
    assert not certain("prefix_cache", then="wino")
    assert not certain("threshold", regex="\\(")  # no spec of a method; nothing is known


# slow and broken connections ------------------------------------------------------------------------------


def connected(server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_clients_that_are_too_slow_are_let_go(tiny_model) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    head += b"content-length: 50\r\n"
    with running(tiny_model, patience=0.3) as server:
        for sent in (b"", head, head + b"\r\n{"):
            with connected(server) as wire:
                wire.sendall(sent)
                told = wire.recv(1000)
                assert b" 408 " in told.splitlines()[0]
                while wire.recv(1000):
                    pass
        with connected(server) as wire:  # the second request of a connection
            wire.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b" 200 OK" in wire.recv(1000)
            wire.sendall(b"GET /hea")
            assert b" 408 " in wire.recv(1000)
        with connected(server) as wire:
            wire.sendall(b"GET / HTTP/1.1\r\n" + b"a: " + b"b" * 70_000)
            assert b"headers are longer" in wire.recv(1000)
        with connected(server) as wire:
            wire.sendall(b"\x16\x03\x01 no such thing\r\n\r\n")
            told = httpx.Response(400, content=wire.recv(1000).partition(b"\r\n\r\n")[2])
            assert "no request of HTTP" in error(told)["message"]
        assert ask(server, {"prompt": TEXT, "max_tokens": 1}).is_success


def test_a_client_that_takes_nothing_of_its_stream_is_let_go() -> None:
    closed: list[bool] = []

    async def chunks():
        try:
            while True:
                yield b"more"
        finally:
            closed.append(True)

    async def receive():
        await asyncio.sleep(60)

    async def full(message) -> None:
        if message.get("body") == b"more":
            await asyncio.sleep(60)

    scope = {"type": "http", "method": "POST", "asgi": {"spec_version": "2.3"}}
    asyncio.run(Events(b"first", chunks(), 0.1)(scope, receive, full))
    assert closed == [True]


# starting and stopping ------------------------------------------------------------------------------------


def test_a_taken_port_is_said_before_a_model_is_loaded() -> None:
    with bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is taken"):
            bound("127.0.0.1", port)
    with pytest.raises(UserError, match="not known"):
        bound("no such host.invalid", 1)
    assert [loopback(h) for h in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")] == [
        True
    ] * 3 + [False] * 2


@pytest.mark.parametrize(
    "wrong", [{"most": 0}, {"queue": -1}, {"timeout": 0}, {"keys": ("",)}, {"keys": ("é",)}]
)
def test_settings_are_checked(wrong) -> None:
    with pytest.raises(UserError, match="; allowed is"):
        Settings(**wrong)


def test_what_runs_is_finished_and_new_requests_are_refused(tiny_model) -> None:
    with (
        running(tiny_model) as server,
        httpx.stream("POST", f"{server.url}/v1/completions", json=LONG | {"stream": True}) as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        server.desk.closing = True
        refused = httpx.post(f"{server.url}/v1/completions", json=LONG)
        assert (refused.status_code, error(refused)["code"]) == (503, "shutting_down")
        assert httpx.get(f"{server.url}/health").status_code == 503
        assert [line for line in lines if line][-1] == "data: [DONE]"


@pytest.mark.slow
def test_the_command_serves_and_stops_when_told(tiny_model_folder) -> None:
    with bound("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    given = ["--model", str(tiny_model_folder), "--precision", "fp32", "--port", str(port), "--json"]
    command = [sys.executable, "-m", "anyorder", "serve", *given]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        ready = json.loads(served.stdout.readline())
        taken = subprocess.run(command, capture_output=True, text=True)
        assert taken.returncode == 2
        assert "is taken by another program" in taken.stderr
        with httpx.stream(
            "POST", f"{ready['api']}/completions", json=LONG | {"stream": True}, timeout=60
        ) as stream:
            lines = stream.iter_lines()
            next(lines)
            served.send_signal(signal.SIGTERM)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert served.wait(30) == 0
        assert json.loads(served.stdout.read().splitlines()[-1])["texts"] == 1
        with pytest.raises(httpx.ConnectError):
            httpx.get(ready["url"])
    finally:
        served.kill()
