"""Requests that nobody would send: no 5xx, and no answer but those that are published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from anyorder.testing.fuzzing import Fuzzer
from tests.server.conftest import Running, running


@pytest.fixture(scope="module")
def server(tiny_model: Any) -> Iterator[Running]:
    """It allows short texts only, so that a thousand requests take no minutes."""
    with running(tiny_model, max_tokens=8, texts=4) as made:
        yield made


def tried(server: Running, count: int, first: int) -> None:
    found = Fuzzer(server.url, first).run(count, 600)
    assert found.requests >= count, found.figures()
    assert not found.broken, found.broken[0]
    assert not found.failures
    seen = {name.split()[1] for name in found.statuses}
    assert {"200", "400"} <= seen, "some are good and some are not, or nothing was tried"
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok", "running": 0, "inside": 0}


def test_some_requests(server: Running) -> None:
    tried(server, 150, 0)


@pytest.mark.slow
def test_many_requests(server: Running) -> None:
    tried(server, 1000, 1)


def test_the_fuzzer_sees_what_is_wrong(tiny_model: Any) -> None:
    """A server that publishes something else than it answers is found out."""
    with running(tiny_model, max_tokens=8, texts=4) as server:
        published = server.app.openapi()
        for path in published["paths"].values():
            for operation in path.values():
                operation["responses"].pop("400", None)
        found = Fuzzer(server.url, 0).run(60, 60)
    assert any("Undocumented status code" in what for what in found.broken)
