"""Servers in threads, on free ports: one of the embedded model, one of the tiny any-order model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from fastapi import FastAPI

import anyorder
from anyorder.api import Model
from anyorder.server import Settings, create_app
from anyorder.server.jobs import Desk
from anyorder.server.listen import Listener, bound


@dataclass(frozen=True)
class Running:
    """A server that answers at `url`."""

    url: str
    model: Model
    app: FastAPI

    @property
    def desk(self) -> Desk:
        return self.app.state.desk

    def empties(self, seconds: float = 20.0) -> bool:
        """Whether nothing is decoded any more, at the latest after so many seconds."""
        until = time.monotonic() + seconds
        while self.desk.inside and time.monotonic() < until:
            time.sleep(0.02)
        return not self.desk.inside


@contextmanager
def running(model: Model, **settings) -> Iterator[Running]:
    """A server of its own; settings as in `Settings`."""
    listening = bound("127.0.0.1", 0)
    app = create_app(model, Settings(**{"grace": 5.0, **settings}))
    listener = Listener(app)
    thread = threading.Thread(target=listener.run, args=([listening],), daemon=True)
    thread.start()
    while not listener.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}", model, app)
    finally:
        listener.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def smollm2() -> Model:
    return anyorder.load(precision="fp32")


@pytest.fixture(scope="session")
def server(smollm2) -> Iterator[Running]:
    with running(smollm2) as made:
        yield made


@pytest.fixture(scope="session")
def tiny_model(tiny_model_folder) -> Model:
    return anyorder.load(str(tiny_model_folder), precision="fp32")


@pytest.fixture(scope="session")
def tiny_server(tiny_model) -> Iterator[Running]:
    """Random weights: quick, its texts mean nothing."""
    with running(tiny_model, body=20_000, grammar=4_000) as made:
        yield made


@pytest.fixture(scope="session")
def diffusion_server() -> Iterator[Running]:
    with running(anyorder.load("list-diffusion", precision="fp32")) as made:
        yield made
