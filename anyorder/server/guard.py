"""What stands before the endpoints: keys, sizes, and clients that are too slow."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anyorder.server.metrics import Metrics
from anyorder.server.problems import Problem
from anyorder.server.settings import Settings

log = logging.getLogger("anyorder.server")
OPEN = ("/", "/health", "/openapi.json")  # without a key; and the page's own files
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def known(keys: Sequence[str], given: str) -> bool:
    """Whether the header names one of the keys, in a time that tells neither which nor how much of it."""
    kind, _, key = given.partition(" ")
    found = False
    for one in keys:
        found |= hmac.compare_digest(one.encode(), key.strip().encode())
    return found and kind.lower() == "bearer"


class Guard:
    """Asks for a key, counts answers, and tells browsers to run nothing but the page's own files."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics):
        self.app, self.settings, self.metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"]
        page = path == "/" or path.startswith("/page/")

        def count(status: int) -> None:
            route = getattr(scope.get("route"), "path", "page" if page else "other")
            self.metrics.requests.labels(route, str(status)).inc()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
                headers = MutableHeaders(scope=message)
                headers["x-content-type-options"] = "nosniff"
                if page:
                    headers["content-security-policy"] = POLICY
                    headers["referrer-policy"] = "no-referrer"
            await send(message)

        given = Headers(scope=scope).get("authorization", "")
        if self.settings.keys and path not in OPEN and not page and not known(self.settings.keys, given):
            problem = Problem(401, "the API key is missing or unknown; send Authorization: Bearer KEY")
            return await problem.response()(scope, receive, counted)
        try:
            await self.app(scope, receive, counted)
        except Exception:
            count(500)
            raise
        return None


async def body_of(request: Request, settings: Settings) -> bytes:
    """The body of a request. Raises Problem for one that is too long, too slow or of another type."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, f"the body's type is {kind[:60]!r}; allowed is application/json; send that header")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > settings.body:
        raise too_long(settings)
    parts, size = [], 0
    try:
        async with asyncio.timeout(settings.patience):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > settings.body:
                    raise too_long(settings)
    except TimeoutError:
        raise Problem(
            408, f"the body did not arrive within {settings.patience:g} seconds; send it faster"
        ) from None
    except ClientDisconnect:
        raise Problem(400, "the client went away before its body was there; send all of it") from None
    return b"".join(parts)


def too_long(settings: Settings) -> Problem:
    return Problem(413, f"the body is too long; allowed are {settings.body} bytes; send less")


class Events(StreamingResponse):
    """Server-sent events to a client that reads them: who takes nothing for so long is let go. `first`: what
    `chunks` gave already."""

    media_type = "text/event-stream"

    def __init__(self, first: bytes, chunks: AsyncGenerator[bytes], patience: float):
        async def everything() -> AsyncIterator[bytes]:
            yield first
            async for chunk in chunks:
                yield chunk

        super().__init__(everything(), headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self.chunks, self.patience = chunks, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def timed(message: Message) -> None:
            async with asyncio.timeout(self.patience):
                await send(message)

        try:
            await super().__call__(scope, receive, timed)
        except TimeoutError:
            log.info("a client took nothing of its stream for %g s", self.patience)
        finally:
            await self.chunks.aclose()
