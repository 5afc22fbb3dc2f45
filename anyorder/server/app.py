"""The application: endpoints over one model and one engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from anyorder import __version__
from anyorder.api import Model
from anyorder.server import asked, published
from anyorder.server.fields import ChatBody, CompletionBody, Decoding, parsed
from anyorder.server.guard import Events, Guard, body_of
from anyorder.server.jobs import Desk, Job, Wanted
from anyorder.server.metrics import Metrics
from anyorder.server.problems import Problem
from anyorder.server.replies import Chat, Completion, Form, Stream, whole
from anyorder.server.settings import Settings

PAGE = Path(__file__).parent / "page"
GONE = 499  # for the counts: nobody reads it
log = logging.getLogger("anyorder.server")


def create_app(model: Model, settings: Settings | None = None) -> FastAPI:
    """A server of one model. It keeps no state between requests but caches."""
    settings, metrics = settings or Settings(), Metrics()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.desk = Desk(model, settings, metrics.over)
        metrics.follow(app.state.desk)
        try:
            yield
        finally:
            await app.state.desk.close()

    app = FastAPI(
        title="anyorder", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        description="OpenAI-compatible endpoints; each request chooses its decoding method.",
    )  # fmt: skip
    app.state.model, app.state.settings, app.state.metrics = model, settings, metrics
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    _errors(app)
    _decoding(app, model, settings)
    _facts(app, model, metrics)
    _page(app)
    published.describe(app)
    return app


def _errors(app: FastAPI) -> None:
    """Every error in OpenAI's form."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        path = request.url.path[:80]
        said = {
            404: f"there is nothing at {path!r}; see /openapi.json for what there is",
            405: f"{request.method} is not allowed at {path!r}; see /openapi.json for what is",
        }.get(error.status_code, str(error.detail))
        return Problem(error.status_code, said).response(error.headers)

    @app.exception_handler(Exception)
    async def other(request: Request, error: Exception) -> Response:
        return Problem(500, "the server failed; its log says why; try again").response()


def _decoding(app: FastAPI, model: Model, settings: Settings) -> None:
    async def serve(
        request: Request, kind: type[Decoding], texts: Callable[..., list[Wanted]], form: type[Form]
    ) -> Response:
        body = parsed(kind, await body_of(request, settings))
        return await _answer(request, body, texts(body, model, settings), form(model.name))

    @app.post("/v1/chat/completions", **published.decoding(ChatBody, "chat"))
    async def chat(request: Request) -> Response:
        """Continue a chat."""
        return await serve(request, ChatBody, asked.of_chat, Chat)

    @app.post("/v1/completions", **published.decoding(CompletionBody, "text"))
    async def completion(request: Request) -> Response:
        """Continue texts as they are."""
        return await serve(request, CompletionBody, asked.of_completion, Completion)


async def _answer(request: Request, body: Decoding, wanted: Sequence[Wanted], form: Form) -> Response:
    desk: Desk = request.app.state.desk
    model: Model = request.app.state.model
    job = await _while_there(request, desk.open(wanted))
    if job is None:
        return Response(status_code=GONE)
    if not body.stream:
        try:
            there = await _while_there(request, _over(job))
        finally:
            job.cancel()
        return JSONResponse(whole(form, job, model)) if there else Response(status_code=GONE)
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    chunks = Stream(form, job, model, with_usage).chunks()
    first = await _while_there(request, anext(chunks))  # a problem until here has a status of its own
    return Response(status_code=GONE) if first is None else Events(first, chunks, desk.settings.timeout)


async def _over(job: Job) -> bool:
    """Wait for every line's end. Raises Problem."""
    left = len(job.lines)
    while left:
        left -= sum(news is None for _, news in await job.hears())
    return True


async def _while_there(request: Request, work: Any) -> Any:
    """What comes of the work, or None if the client goes away first, and then the work is cancelled."""
    task = asyncio.ensure_future(work)
    listen = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((task, listen), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, listen):
            one.cancel()
            if one is task and not task.done():
                with suppress(asyncio.CancelledError, Problem):
                    await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _facts(app: FastAPI, model: Model, metrics: Metrics) -> None:
    cards = published.cards(model)
    mine = published.about(model, int(time.time()))

    @app.get("/v1/models", **published.answers(published.Models))
    async def models() -> Response:
        """The model that this server has."""
        return JSONResponse({"object": "list", "data": [mine]})

    @app.get("/v1/models/{name:path}", **published.answers(published.Model, 404))
    async def one_model(name: str) -> Response:
        """One model by its name."""
        if name != model.name:
            said = f"model {name[:80]!r} is not here; this server has {model.name!r}; name that"
            raise Problem(404, said, "model", "model_not_found")
        return JSONResponse(mine)

    @app.get("/v1/methods", **published.answers(published.Methods))
    async def methods() -> Response:
        """Every method: what it is, its options, and whether this model can run it."""
        return JSONResponse(cards)

    @app.get("/health", **published.answers(published.Health, 503))
    async def health(request: Request) -> Response:
        """Whether requests are taken."""
        desk: Desk = request.app.state.desk
        running, _ = desk.engine.load
        told = {"status": "closing" if desk.closing else "ok", "running": running, "inside": desk.inside}
        return JSONResponse(told, 503 if desk.closing else 200)

    @app.get("/metrics", **published.plain())
    async def read() -> Response:
        """Counts for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        if not (PAGE / "index.html").is_file():
            raise HTTPException(404)
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-store"})

    app.mount("/page", StaticFiles(directory=PAGE, check_dir=False), "page")
