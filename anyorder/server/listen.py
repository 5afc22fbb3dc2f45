"""The socket: bound before a model is loaded, patient with clients for so long, closed when all is done."""

from __future__ import annotations

import asyncio
import errno
import importlib
import ipaddress
import json
import math
import signal
import socket
import sys
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any

import uvicorn
from fastapi import FastAPI

from anyorder.errors import UserError
from anyorder.server.problems import Problem
from anyorder.server.settings import Settings

SWITCH = (
    5e-4  # seconds until Python lets another thread go on: what is ready is sent while the next run begins
)
HEADERS = 1 << 16  # bytes of a request's headers


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UserError."""
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f"host {host!r} is not known ({error}); name an address of this machine") from error
    made = socket.socket(family, kind, proto)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(where)
        made.listen(2048)
    except (OSError, OverflowError) as error:
        made.close()
        if getattr(error, "errno", 0) == errno.EADDRINUSE:
            said = f"port {port} of {host} is taken by another program; stop that, or choose another --port"
        else:
            said = f"{host} port {port} cannot be listened on ({error}); choose another --host or --port"
        raise UserError(said) from error
    return made


def loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Patient:
    """Goes before one of uvicorn's protocols, which wait for headers as long as a client likes: connections
    whose next headers do not arrive in time, or do not end, are closed."""

    patience: float  # seconds
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    cycle: Any
    alarm: asyncio.TimerHandle | None = None
    size = 0  # bytes of the headers so far

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)  # type: ignore[misc]
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        if self._idle():
            self.size += len(data)
            if self.alarm is None:
                self._wait()
        super().data_received(data)  # type: ignore[misc]
        if not self._idle():
            self._calm()
        elif self.size > HEADERS:
            self._refuse(400, f"the headers are longer than {HEADERS} bytes; send fewer")

    def _idle(self) -> bool:
        """Whether no request is being answered, so that headers are awaited."""
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self.alarm = self.loop.call_later(self.patience, self._late)

    def _calm(self) -> None:
        self.size = 0
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None

    def _late(self) -> None:
        if self._idle():
            self._refuse(408, f"no request came within {self.patience:g} seconds; send it faster")

    def send_400_response(self, msg: str) -> None:
        """For what is no HTTP, instead of uvicorn's own."""
        self._refuse(400, "this is no request of HTTP/1.1; send one")

    def _refuse(self, status: int, said: str) -> None:
        """Answer outside of the app, and close."""
        if self.transport.is_closing():
            return
        body = json.dumps(Problem(status, said).body).encode()
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()


def protocol(patience: float) -> type[Any]:
    """The quickest of uvicorn's protocols that is installed, made patient for so many seconds."""
    kind, name = ("httptools", "HttpToolsProtocol") if find_spec("httptools") else ("h11", "H11Protocol")
    base = getattr(importlib.import_module(f"uvicorn.protocols.http.{kind}_impl"), name)
    return type(f"Patient{name}", (Patient, base), {"patience": patience})


class Listener(uvicorn.Server):
    """Refuses requests from the moment it is told to stop, and finishes those that run."""

    def __init__(self, app: FastAPI):
        settings: Settings = app.state.settings
        self.app = app
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol(settings.patience),
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_keep_alive=math.ceil(settings.patience),
                timeout_graceful_shutdown=math.ceil(settings.grace),
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.app.state.desk.closing = True
        await super().shutdown(sockets)


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, and finish what runs."""
    sys.setswitchinterval(SWITCH)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it is done
        signal.signal(number, lambda *_: None)
    Listener(app).run([listening])
