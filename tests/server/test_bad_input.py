"""Whatever comes in, a clear answer goes out and the process lives on."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from anyorder import registry
from tests.server.conftest import Running, running

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
GOOD: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def server(tiny_model: Any) -> Iterator[Running]:
    with running(tiny_model, body=1 << 18, max_tokens=1000) as made:
        yield made


@pytest.fixture(scope="module")
def link(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield made


@pytest.fixture
def client(server: Running, link: httpx.Client) -> Iterator[httpx.Client]:
    """And afterwards the server answers as ever."""
    yield link
    after = link.post(CHAT, json=GOOD)
    assert after.status_code == 200, after.text
    assert server.empties()


def refused(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    """The error, which is in OpenAI's form and one sentence or two."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert 0 < len(error["message"]) < 1000
    assert "Traceback" not in error["message"]
    return dict(error)


def named(error: dict[str, Any], name: str) -> bool:
    return name in error["message"] or name == error["param"]


# fields ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, name",
    [
        ({"colour": "blue"}, "colour"),
        ({"messages": [{"role": "user", "content": "a", "nane": "b"}]}, "nane"),
        ({"stream_options": {"usage": True}, "stream": True}, "usage"),
        ({"max_tokens": "4"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_tokens": 4, "max_completion_tokens": 5}, "max_completion_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"stream": "yes"}, "stream"),
        ({"stop": [1]}, "stop"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"seed": 2**64}, "seed"),
        ({"seed": 10**4000}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"n": 0}, "n"),
        ({"n": 10**6}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ""}]}, "prompt"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"99999999": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 1000}}, "logit_bias"),
        ({"logit_bias": [5]}, "logit_bias"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 1000}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"steps": True}, "steps"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"method": 5}, "method"),
        ({"method_options": "width=3"}, "method_options"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, given: dict[str, Any], name: str) -> None:
    assert named(refused(client.post(CHAT, json={**GOOD, **given})), name)


def test_all_unknown_fields_are_named_at_once(client: httpx.Client) -> None:
    error = refused(client.post(CHAT, json={**GOOD, "colour": 1, "shape": None}))
    assert "colour" in error["message"]
    assert "shape" in error["message"]


def test_a_missing_field_is_named(client: httpx.Client) -> None:
    assert named(refused(client.post(CHAT, json={})), "messages")
    assert named(refused(client.post(TEXT, json={"max_tokens": 2})), "prompt")


def test_null_is_as_good_as_absent(client: httpx.Client) -> None:
    """The official client leaves optional fields out or sends null; both must mean the same."""
    schema = client.get("/openapi.json").json()["components"]["schemas"]
    for path, kind, good in (
        (CHAT, "ChatBody", GOOD), (TEXT, "CompletionBody", {"prompt": "hello", "max_tokens": 2}),
    ):  # fmt: skip
        optional = {name: None for name in schema[kind]["properties"] if name not in good}
        plain = client.post(path, json=good).json()["choices"]
        answer = client.post(path, json={**optional, **good})
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"] == plain


@pytest.mark.parametrize(
    "prompt", ["", "  ", [], [""], ["a", ""], [-1], [10**6], [1.5], [[]], None, 5, {"a": 1}]
)
def test_prompts_that_say_nothing(client: httpx.Client, prompt: Any) -> None:
    assert named(refused(client.post(TEXT, json={"prompt": prompt, "max_tokens": 2})), "prompt")


def test_another_model_is_not_here(client: httpx.Client) -> None:
    error = refused(client.post(CHAT, json={**GOOD, "model": "gpt-9"}), 404)
    assert "gpt-9" in error["message"]
    assert error["param"] == "model"


def test_over_long_prompts_are_counted(client: httpx.Client, server: Running) -> None:
    context = server.model.target.context
    error = refused(client.post(TEXT, json={"prompt": "a" * 3 * context, "max_tokens": 2}))
    assert str(context) in error["message"]
    error = refused(client.post(TEXT, json={"prompt": [5] * context, "max_tokens": 1}))
    assert str(context + 1) in error["message"] or str(context) in error["message"]


# methods -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, options, name",
    [
        ("nope", {}, "nope"),
        ("gredy", {}, "greedy"),  # what was meant is said
        ("threshold", {}, "any order"),  # fills cells; the model writes from left to right
        ("beam", {"nodes": 3}, "nodes"),
        ("beam", {"width": 0}, "width"),
        ("beam", {"width": "wide"}, "width"),
        ("beam", {"width": [3]}, "width"),
        ("beam", {"width": None}, "width"),
        ("beam", {"width": 10**400}, "width"),
        ("beam", {"width": 10**18}, "width"),
        ("beam", {"": 1}, ""),
        ("sample", {"top_k": -1}, "top_k"),
        ("greedy", {"temperature": 1.0}, "temperature"),
        ("greedy", {"max_tokens": 10**9}, "max_tokens"),
        ("greedy", {"trusted": True}, "trusted"),
        ("greedy", {"constraint": "print"}, "constraint"),
        ("greedy", {"json_schema": "{"}, "json_schema"),
        ("greedy", {"json_schema": {"type": "wizard"}}, "json_schema"),
        ("greedy", {"json_schema": {"$ref": "file:///etc/passwd"}}, "json_schema"),
        ("greedy", {"json_schema": {"$ref": "http://127.0.0.1:1/x"}}, "json_schema"),
        ("greedy", {"regex": "("}, "regex"),
        ("greedy", {"regex": "a", "choices": "a|b"}, "choices"),
        ("greedy", {"grammar": "start: nothing"}, "grammar"),
        ("greedy", {"choices": "|"}, "choices"),
        ("greedy", {"choices": "x" * 50}, "choices"),  # has no text within two tokens
        ("prompt_lookup", {"drafters": "suffix"}, "drafters"),
        ("merged", {"drafters": "nope"}, "nope"),
    ],
)
def test_impossible_methods_and_options(
    client: httpx.Client, method: str, options: dict[str, Any], name: str
) -> None:
    answer = client.post(CHAT, json={**GOOD, "method": method, "method_options": options})
    assert name in refused(answer)["message"]


def local() -> list[tuple[str, str]]:
    """Every option that names something of the machine that decodes."""
    names = [
        (name, option.name) for name in registry.cards() for option in registry.options(name) if option.local
    ]
    assert names
    return sorted(names)


@pytest.mark.parametrize("method, option", local())
def test_nothing_of_the_machine_is_reached(
    client: httpx.Client, tmp_path: Any, method: str, option: str
) -> None:
    there = tmp_path / "there"
    there.write_text("secret")
    answers = [
        client.post(CHAT, json={**GOOD, "method": method, "method_options": {option: str(path)}})
        for path in (there, tmp_path / "not-there", tmp_path)
    ]
    said = {refused(answer)["message"].replace(str(tmp_path), "") for answer in answers}
    assert "secret" not in str(said)
    assert len({text.replace("/not-there", "").replace("/there", "") for text in said}) == 1, (
        "files can be found"
    )


@pytest.mark.parametrize(
    "method, options",
    [
        ("merged", {"drafters": "draft_model/draft=HERE"}),
        ("chained", {"drafters": "prompt_lookup+corpus_lookup/corpus=HERE"}),
        ("momentum", {"then": "corpus_lookup/corpus=HERE"}),
        ("contrastive_decoding", {"second": "HERE"}),
        ("best_of_n", {"scorer": "HERE"}),
        ("best_of_n", {"scorer": "source/file=HERE"}),
        ("best_of_n", {"scorer": "HERE:function"}),
        ("best_of_n", {"scorer": "python"}),
        ("greedy", {"json_schema": "HERE"}),
        ("greedy", {"grammar": "HERE"}),
    ],
)
def test_nothing_of_the_machine_is_reached_by_a_detour(
    client: httpx.Client, tmp_path: Any, method: str, options: dict[str, str]
) -> None:
    mark = tmp_path / "imported"
    there = tmp_path / "there.py"
    there.write_text(f"open({str(mark)!r}, 'w')\nsecret = 1\n")
    for path in (there, tmp_path / "not-there.py"):
        given = {name: value.replace("HERE", str(path)) for name, value in options.items()}
        error = refused(client.post(CHAT, json={**GOOD, "method": method, "method_options": given}))
        assert "secret" not in error["message"]
    assert not mark.exists()


# bytes -------------------------------------------------------------------------------------------------


def raw(client: httpx.Client, content: bytes, **headers: str) -> httpx.Response:
    return client.post(CHAT, content=content, headers={"content-type": "application/json", **headers})


WHOLE = json.dumps(GOOD).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"", b" ", b"{", WHOLE[:-1], WHOLE + b"}", b"[]", b"null", b'"text"', b"17", b"\xff\xfe" + WHOLE,
        WHOLE.replace(b"hello", b"he\xc3llo"), WHOLE.replace(b"hello", b"\xed\xa0\x80"),
        WHOLE.replace(b"hello", b"\\ud800"), WHOLE.replace(b"hello", b"\x00"),
        json.dumps(GOOD).encode("utf-16"),
        WHOLE[:-1] + b',"temperature":NaN}', WHOLE[:-1] + b',"temperature":1e999}',
        WHOLE[:-1] + b',"temperature":-Infinity}', WHOLE[:-1] + b',"method_options":{"width":NaN}}',
        WHOLE[:-1] + b',"seed":' + b"9" * 6000 + b"}",
        WHOLE[:-1] + b',"method_options":{"width":' + b"9" * 6000 + b"}}",
        b"[" * 100_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        WHOLE[:-1] + b',"method_options":{"json_schema":' + b'{"not":' * 2000 + b"{}" + b"}" * 2000 + b"}}",
        WHOLE[:-1] + b',"response_format":{"type":"json_schema","json_schema":{"schema":' + b'{"not":' * 90
        + b"{}" + b"}" * 90 + b"}}}",
        WHOLE[:-1] + b',"colour":' + b"[" * 150 + b"]" * 150 + b"}",
        WHOLE[:-1] + b',"colour":' + b"9" * 6000 + b"}",
    ],
    ids=lambda content: repr(content[-30:]),
)  # fmt: skip
def test_bytes_that_are_no_request(client: httpx.Client, content: bytes) -> None:
    refused(raw(client, content))


def test_a_name_given_twice_is_one_request_or_none(client: httpx.Client) -> None:
    answer = raw(client, b'{"max_tokens": 2,' + WHOLE[1:])
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"]
)
def test_other_types_of_body(client: httpx.Client, kind: str) -> None:
    """A page of another site may send these without asking, so they are not taken for JSON."""
    answer = client.post(CHAT, content=WHOLE, headers={"content-type": kind} if kind else {})
    assert "application/json" in refused(answer, 415)["message"]


def test_a_body_over_the_limit(client: httpx.Client) -> None:
    huge = json.dumps({**GOOD, "user": "x" * (1 << 19)}).encode()
    refused(raw(client, huge), 413)


def test_a_body_over_the_limit_that_does_not_tell_its_length(client: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * (1 << 16)

    answer = client.post(CHAT, content=parts(), headers={"content-type": "application/json"})
    refused(answer, 413)


@pytest.mark.parametrize(
    "method, path", [("GET", CHAT), ("PUT", CHAT), ("DELETE", "/v1/models"), ("POST", "/health")]
)
def test_methods_not_allowed(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    refused(answer, 405)
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1/nothing", "/page/../../anyorder/api.py", "/page/%2e%2e/app.py", "/v2"]
)
def test_paths_where_nothing_is(client: httpx.Client, path: str) -> None:
    refused(client.get(path), 404)


# sockets -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty(tiny_model: Any) -> Iterator[Running]:
    """A server that waits half a second for what a client has to say."""
    with running(tiny_model, patience=0.5) as made:
        yield made


def spoken(url: str, first: bytes, drop: bytes, seconds: float = 5.0) -> tuple[bytes, float]:
    """What the server says, and the seconds until it hangs up on a client that adds a drop all the time."""
    host, port = url.removeprefix("http://").split(":")
    heard, start = b"", time.monotonic()
    with socket.create_connection((host, int(port)), timeout=0.05) as link:
        link.sendall(first)
        while time.monotonic() - start < seconds:
            try:
                if drop:
                    link.sendall(drop)
                piece = link.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                break
            if not piece:
                break
            heard += piece
    return heard, time.monotonic() - start


HEADERS = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n".encode()


@pytest.mark.parametrize(
    "first, drop, answer",
    [
        (b"", b"", b""),  # says nothing at all
        (b"P", b"", b" 408 "),
        (HEADERS, b"x-a: b\r\n", b" 408 "),  # headers without end
        (HEADERS + b"content-length: 1000\r\n\r\n", b"", b" 408 "),
        (HEADERS + b"content-length: 1000\r\n\r\n", b" ", b" 408 "),
        (HEADERS + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n", b" 408 "),
    ],
)
def test_who_is_slow_is_let_go(
    client: httpx.Client, hasty: Running, first: bytes, drop: bytes, answer: bytes
) -> None:
    heard, seconds = spoken(hasty.url, first, drop)
    assert answer in heard
    assert 0.3 < seconds < 3, "neither at once nor never"


def test_many_slow_clients_keep_nobody_waiting(client: httpx.Client, hasty: Running) -> None:
    host, port = hasty.url.removeprefix("http://").split(":")
    links = [socket.create_connection((host, int(port)), timeout=5) for _ in range(100)]
    try:
        for link in links:
            link.sendall(HEADERS + b"content-length: 1000\r\n\r\n{")
        answer = httpx.post(f"{hasty.url}{CHAT}", json=GOOD, timeout=5)
        assert answer.status_code == 200
    finally:
        for link in links:
            link.close()


def test_headers_over_the_limit(client: httpx.Client, hasty: Running) -> None:
    heard, _ = spoken(hasty.url, HEADERS, b"x-a: " + b"b" * 8000 + b"\r\n")
    assert b" 431 " in heard or b" 400 " in heard


def test_two_servers_on_one_port(client: httpx.Client, server: Running) -> None:
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "anyorder", "serve", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert not done.stdout
    sentence = done.stderr.removeprefix("error: ")
    assert port in sentence
    assert sentence.count("\n") == 1, "one sentence, no traceback"


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"a" * 200_000,
    ],
)
def test_bytes_that_are_no_http(client: httpx.Client, server: Running, line: bytes) -> None:
    """What is only a beginning must be followed by something, so it ends by hanging up."""
    host, port = server.url.removeprefix("http://").split(":")
    heard = b""
    with socket.create_connection((host, int(port)), timeout=5) as link, suppress(OSError):
        link.sendall(line)
        link.shutdown(socket.SHUT_WR)
        heard = link.recv(1 << 16)
    assert not heard or b" 400 " in heard or b" 431 " in heard


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line[6:])


def long(server: Running) -> dict[str, Any]:
    """A request that nobody could answer before the client is away."""
    never = {str(token): -100 for token in server.model.eos}
    return {**GOOD, "max_tokens": 900, "method": "beam", "method_options": {"width": 8}, "logit_bias": never}


def cancelled(client: httpx.Client) -> int:
    """Texts that were cancelled so far."""
    lines = client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("anyorder_texts_total") and "cancelled" in line]
    return sum(round(float(line.rpartition(" ")[2])) for line in found)


def test_who_goes_away_is_not_decoded_for(client: httpx.Client, server: Running) -> None:
    before = cancelled(client)
    for _ in range(3):
        with client.stream("POST", CHAT, json={**long(server), "stream": True}) as answer:
            next(events(answer))
        assert server.empties()
    assert cancelled(client) == before + 3


def test_who_goes_away_before_an_answer_is_not_decoded_for(client: httpx.Client, server: Running) -> None:
    before = cancelled(client)
    with pytest.raises(httpx.ReadTimeout):
        client.post(CHAT, json=long(server), timeout=0.3)
    assert server.empties()
    assert cancelled(client) == before + 1
