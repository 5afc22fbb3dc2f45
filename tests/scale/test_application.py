"""The Ray Serve application: options as words, and two replicas asked by OpenAI's client."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anyorder import api
from anyorder.engine.engine import Engine
from anyorder.errors import UserError

pytest.importorskip("ray")
pytest.importorskip("fastapi")

from anyorder.scale import application as it
from anyorder.scale.cluster import connected
from anyorder.server import Settings

PATIENCE = 120  # seconds
PROMPT = "one two one two"


def options(app: Any) -> Any:
    """What Ray was told of the deployment."""
    return app._bound_deployment


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"replicas": "x"}, "replicas is 'x'; input should be a valid integer"),
        ({"most": "0"}, "most is 0; allowed is 1 or more"),
        ({"modle": "smollm2"}, "unknown option 'modle'; allowed are model, precision, replicas"),
        ({"replicas": "0"}, "replicas is 0; allowed is 1"),
        ({"replicas": "3", "most_replicas": "2"}, "most_replicas is 2; allowed is 3"),
        ({"target": "2"}, "target is 2.0; allowed is more than 0, and only with most_replicas"),
        ({"cpus": "0"}, "cpus is 0.0; allowed is more than 0"),
        ({"keys": "a,,b"}, "an API key is empty"),
    ],
)
def test_wrong_options_are_refused_with_one_sentence(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        it.build(arguments)


def test_options_reach_ray() -> None:
    fixed = options(it.build({"replicas": "2", "most": "8", "queue": "5", "cpus": "3", "grace": "7"}))
    assert (fixed.num_replicas, fixed.max_ongoing_requests, fixed.max_queued_requests) == (2, 8, 10)
    assert fixed.ray_actor_options["num_cpus"] == 3
    assert fixed._deployment_config.graceful_shutdown_timeout_s > 7
    scaled = options(it.build({"most_replicas": 4, "most": 8}))._deployment_config.autoscaling_config
    assert (scaled.min_replicas, scaled.max_replicas, scaled.target_ongoing_requests) == (1, 4, 4)
    exact = options(it.build({"most_replicas": 4, "target": 2.5}))._deployment_config.autoscaling_config
    assert exact.target_ongoing_requests == 2.5


def test_a_replica_without_an_engine_is_not_healthy() -> None:
    replica, desk = it.Replica(), SimpleNamespace(closing=False, engine=Engine())
    replica.app = SimpleNamespace(state=SimpleNamespace())  # type: ignore[assignment]
    replica.check_health()  # it is starting
    replica.app.state.desk = desk
    replica.check_health()
    desk.engine.close()
    with pytest.raises(RuntimeError, match="thread is gone"):
        replica.check_health()
    desk.closing = True
    replica.check_health()


# on Ray -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(cluster: Any, tiny_model_folder: Path) -> Iterator[str]:
    """Two replicas, one on each worker."""
    from ray import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with connected(cluster.address):
        serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "ERROR"})
        scale = it.Scale(str(tiny_model_folder), "fp32", replicas=2)
        serve.run(it.application(scale, Settings(grace=5)))
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()


@pytest.fixture(scope="module")
def client(url: str) -> Any:
    openai = pytest.importorskip("openai")
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=PATIENCE, max_retries=0)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> api.Model:
    return api.load(str(tiny_model_folder), precision="fp32")


def streamed(client: Any, model: str, seed: int, tokens: int) -> tuple[str, str, int]:
    """A streamed text, which replica it is from, in how many pieces it came."""
    answer = client.completions.with_raw_response.create(
        model=model, prompt=PROMPT, max_tokens=tokens, temperature=0.8, seed=seed, stream=True,
        extra_body={"method": "prompt_lookup"},
    )  # fmt: skip
    pieces = [chunk.choices[0].text for chunk in answer.parse() if chunk.choices]
    return "".join(pieces), answer.headers[it.HEADER.decode()], sum(map(bool, pieces))


@pytest.mark.slow
def test_both_replicas_stream_the_texts_that_the_library_gives(client: Any, model: api.Model) -> None:
    seeds = range(24)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda seed: streamed(client, model.name, seed, 300), seeds))
    for seed, (text, _, pieces) in zip(seeds, answers, strict=True):
        how: dict[str, Any] = {"max_tokens": 300, "temperature": 0.8, "seed": seed, "chat": False}
        assert text == model.generate(PROMPT, "prompt_lookup", **how).text
        assert pieces > 1 or len(text) < 200, "a short text may come whole"
    assert len({text for text, _, _ in answers}) > 12
    assert len({replica for _, replica, _ in answers}) == 2


@pytest.mark.slow
def test_a_request_ends_when_its_client_goes_away(client: Any, url: str, model: api.Model) -> None:
    answer = client.completions.with_raw_response.create(
        model=model.name, prompt=PROMPT, max_tokens=1000, temperature=0.8, stream=True,
        extra_body={"method": "sample"},
    )  # fmt: skip
    replica, stream = answer.headers[it.HEADER.decode()], answer.parse()
    assert next(iter(stream)).choices
    stream.close()
    said = metrics(url, replica, 'anyorder_texts_total{ended="cancelled",method="sample"} 1.0')
    assert "anyorder_running 0.0" in said


def metrics(url: str, replica: str, until: str) -> str:
    """What a replica tells Prometheus, once it says something."""
    import httpx

    end, said = time.monotonic() + PATIENCE, ""
    while until not in said:
        assert time.monotonic() < end, said
        answer = httpx.get(f"{url}/metrics")
        said = answer.text if answer.headers[it.HEADER.decode()] == replica else said
    return said
