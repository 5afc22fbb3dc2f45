"""Between the event loop and the engine: a bounded queue, one thread that prepares, events that come back.

A job is one HTTP request; it has one line for each text it asked for. Three threads take part. The event
loop admits jobs and waits for them. One worker prepares requests (tokens, grammars), because a model prepares
one at a time. The engine decodes, and tells each line what became true.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from anyorder.api import Model, Result
from anyorder.core.decode import Event, Request
from anyorder.core.types import Answer, Ask
from anyorder.deltas import Delta, Deltas, revises
from anyorder.engine.engine import Engine, Ticket
from anyorder.engine.threads import give_up_workers
from anyorder.errors import UserError
from anyorder.server.laws import Chance, Laws
from anyorder.server.problems import Problem
from anyorder.server.settings import Settings
from anyorder.text import Prompt, written
from anyorder.trace import Steps

WAY = 0.0015  # seconds left to a lone user's first text, to be sent and read before a run takes every core
log = logging.getLogger("anyorder.server")


@dataclass(frozen=True)
class Wanted:
    """One text that a request asks for."""

    prompt: Prompt
    method: str
    seed: int = 0
    stop: Sequence[str] = ()
    max_tokens: int | None = None
    logprobs: int | None = None  # how many of the likeliest others; None: no log-probabilities
    steps: bool = False  # tell what each step asked and committed
    streams: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


class News(NamedTuple):
    """What one commit added to a line."""

    delta: Delta
    chances: Sequence[Chance]
    step: dict[str, Any] | None


class Line:
    """One text of a job. `tell` runs in the engine's thread, all else where the job's events are read."""

    def __init__(self, job: Job, index: int, wanted: Wanted):
        self.job, self.index, self.wanted = job, index, wanted
        self.request: Request | None = None
        self.ticket: Ticket | None = None
        self.deltas: Deltas | None = None
        self.laws: Laws | None = None
        self.steps: Steps | None = None
        self.error: Exception | None = None
        self.prompt = ""  # as text
        self.start = self.end = 0.0

    def prepare(self, model: Model) -> Request:
        """The request, and what is told of it. In the worker. Raises UserError."""
        asked = self.wanted
        request = model.request(
            asked.prompt, asked.method, max_tokens=asked.max_tokens, seed=asked.seed, stop=asked.stop,
            chat=False, trusted=False, **asked.options,
        )  # fmt: skip
        canvas = request.canvas
        self.prompt = written(asked.prompt) or model.tokenizer.decode(canvas.rows[0][: canvas.prompt])
        if asked.streams:
            self.deltas = Deltas(model.tokenizer, request.canvas, asked.stop, self._certain(model, request))
        if asked.logprobs is not None:
            self.laws = Laws(model.tokenizer, request.canvas, asked.logprobs)
        if asked.steps:
            self.steps = Steps(model.tokenizer)
        self.request, self.start = request, time.perf_counter()
        return request

    def _certain(self, model: Model, request: Request) -> bool:
        """Whether cells are surely never written twice."""
        try:
            return request.canvas.mask is None or not revises(
                model.chosen(self.wanted.method, None), self.wanted.options
            )
        except ValueError:  # an option's text that is no spec, such as an expression
            return False

    @property
    def watches(self) -> bool:
        return self.laws is not None or self.steps is not None

    def watch(self, request: Request, ask: Ask, answer: Answer) -> None:
        if self.laws is not None:
            self.laws.watch(ask, answer)
        if self.steps is not None:
            self.steps.watch(request, ask, answer)

    def tell(self, event: Event | None) -> None:
        """In the engine's thread: an error here ends this line alone."""
        if event is None:
            self.end = time.perf_counter()
            self.job.desk.left(self)
            return
        try:
            self._heard(event)
        except Exception as error:
            self.error = self.error or error
            event.request.canvas.close()

    def _heard(self, event: Event) -> None:
        begins = not self.job.first
        if begins:
            self.job.first = time.perf_counter()
        chances = self.laws.take(event) if self.laws is not None else ()
        if self.deltas is not None:
            step = self.steps.step(event) if self.steps is not None else None
            self.job.hear(self, News(self.deltas.add(event), chances, step))
            if begins and self.job.desk.inside == 1:
                time.sleep(WAY)

    def result(self, model: Model) -> Result:
        """The finished text. Raises Problem."""
        assert self.ticket is not None
        assert self.request is not None
        error = self.error or self.ticket.error
        if isinstance(error, UserError):
            raise Problem(400, str(error)) from error
        if error is not None:
            log.error("decoding failed, method %s", self.wanted.method, exc_info=error)
            raise Problem(500, "decoding failed; the server's log says why; try another method") from error
        return model.result(self.request, self.wanted.method, self.end - self.start)


class Job:
    """One HTTP request being served."""

    def __init__(self, desk: Desk, wanted: Sequence[Wanted]):
        self.desk = desk
        self.lines = [Line(self, i, one) for i, one in enumerate(wanted)]
        self.news: deque[tuple[Line, News | None]] = deque()
        self.fresh = asyncio.Event()
        self.resting = False  # news may wait for its next look
        self.problem: Problem | None = None
        self.gone = False
        self.begun = time.perf_counter()
        self.first = 0.0  # when something first became true
        self.open = len(wanted)  # lines that are not over
        self.timer: asyncio.TimerHandle | None = None

    def hear(self, line: Line, news: News | None) -> None:
        """From the engine's thread."""
        self.news.append((line, news))  # before the look at `resting`, so that its end sees it
        if not self.resting:
            self.desk.wake(self)

    def fail(self, problem: Problem) -> None:
        """End the job; who waits for it gets the problem."""
        self.problem = self.problem or problem
        self.cancel()
        self.fresh.set()

    def cancel(self) -> None:
        """Nobody waits any more: what runs ends, and its memory is free after the run that is going on."""
        self.gone = True
        for line in self.lines:
            if line.ticket is not None:
                line.ticket.cancel()

    async def rest(self, seconds: float) -> None:
        """Let news gather for so long, or until a text ends: each look takes from the engine's time."""
        self.fresh.clear()
        if self.problem is not None or any(news is None for _, news in self.news):
            return
        self.resting = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.fresh.wait()
        self.resting = False

    async def hears(self, seconds: float | None = None) -> list[tuple[Line, News | None]]:
        """What happened since the last call, at least one thing; [] after so many seconds of silence. None
        stands for a line's end. Raises Problem."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.news and self.problem is None:
                    self.fresh.clear()
                    await self.fresh.wait()
        if self.problem is not None:
            raise self.problem
        heard = []
        while self.news:
            heard.append(self.news.popleft())
        return heard


class Desk:
    """Admits jobs and keeps count. Made, used and closed in the event loop."""

    def __init__(self, model: Model, settings: Settings, over: Callable[[Line], None] = lambda line: None):
        """`over` is called in the event loop for each line that left the engine."""
        self.model, self.settings, self.over = model, settings, over
        self.loop = asyncio.get_running_loop()
        self.inside = 0  # texts being prepared, waiting or decoded
        self.closing = False
        self.empty = asyncio.Event()
        self.empty.set()
        self._watched: dict[Request, Line] = {}
        self._awake: deque[Job | Line] = deque()
        self._waking = False
        give_up_workers()  # this thread may have loaded the model
        self.engine = Engine(settings.most, self._watch)
        self.worker = ThreadPoolExecutor(1, "anyorder-prepare")

    async def open(self, wanted: Sequence[Wanted]) -> Job:
        """Admit a request and let its texts join the engine. Raises Problem."""
        self._admit(len(wanted))
        job = Job(self, wanted)
        self.inside += len(wanted)
        self.empty.clear()
        try:
            prepared = self.loop.run_in_executor(self.worker, self._prepare, job)
            prepared.add_done_callback(lambda done: done.cancelled() or done.exception())
            async with asyncio.timeout(self.settings.timeout):
                await asyncio.shield(prepared)  # it counts out its texts whatever happens here
        except TimeoutError:
            job.cancel()
            raise self.too_slow() from None
        except UserError as error:
            raise Problem(400, str(error)) from error
        except asyncio.CancelledError:
            job.cancel()
            raise
        left = self.settings.timeout - (time.perf_counter() - job.begun)
        if job.open:
            job.timer = self.loop.call_later(left, job.fail, self.too_slow())
        return job

    def _admit(self, texts: int) -> None:
        if self.closing:
            raise Problem(
                503, "the server is shutting down and takes no more requests; ask another or try later"
            )
        most = self.settings.most + self.settings.queue
        if texts > most:
            raise Problem(400, f"{texts} texts are asked for; allowed are {most}; ask for fewer", "n")
        if self.inside + texts > most:
            raise Problem(
                429, f"{self.inside} texts are decoded or wait, {texts} more are asked for, and {most} have "
                "room; try again when some are finished",
            )  # fmt: skip

    def too_slow(self) -> Problem:
        return Problem(
            408, f"the request took more than {self.settings.timeout:g} seconds, its wait included; ask for "
            "fewer tokens, or try when less is going on",
        )  # fmt: skip

    # in the worker ---------------------------------------------------------------------------------------

    def _prepare(self, job: Job) -> None:
        """Prepare and submit each text. Raises UserError."""
        joined = 0
        try:
            for line in job.lines:
                if job.gone:
                    break
                request = line.prepare(self.model)
                self._fits(request)
                if line.watches:
                    self._watched[request] = line
                line.ticket = self.engine.submit(request, line.tell)
                joined += 1
        except BaseException:
            job.cancel()
            raise
        finally:
            if job.gone:
                job.cancel()  # the tickets that were made since
            for line in job.lines[joined:]:
                self.left(line)

    def _fits(self, request: Request) -> None:
        most = self.settings.max_tokens
        if request.canvas.budget > most:
            raise UserError(f"{request.canvas.budget} tokens are asked for; allowed is {most}; ask for fewer")

    # in the engine's thread ------------------------------------------------------------------------------

    def _watch(self, request: Request, ask: Ask, answer: Answer) -> None:
        line = self._watched.get(request)
        if line is not None:
            line.watch(request, ask, answer)

    def left(self, line: Line) -> None:
        """A line is over, or never came to be."""
        if line.request is not None:
            self._watched.pop(line.request, None)
        line.job.news.append((line, None))
        self.wake(line)

    def wake(self, whom: Job | Line) -> None:
        """Have the event loop look at it; one call does for all that woke meanwhile."""
        self._awake.append(whom)
        if not self._waking:
            self._waking = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                self.loop.call_soon_threadsafe(self._look)

    # in the event loop -----------------------------------------------------------------------------------

    def _look(self) -> None:
        self._waking = False
        while self._awake:
            whom = self._awake.popleft()
            if isinstance(whom, Line):
                self._count_out(whom)
                whom = whom.job
            whom.fresh.set()

    def _count_out(self, line: Line) -> None:
        self.inside -= 1
        if not self.inside:
            self.empty.set()
        line.job.open -= 1
        if not line.job.open and line.job.timer is not None:
            line.job.timer.cancel()
        self.over(line)

    async def close(self) -> None:
        """Finish what runs within the time of grace; end what does not."""
        self.closing = True
        try:
            async with asyncio.timeout(self.settings.grace):
                await self.empty.wait()
        except TimeoutError:
            log.warning("%d texts were not finished within %g s", self.inside, self.settings.grace)
        await self.loop.run_in_executor(None, self.engine.close, True)
        self.worker.shutdown(wait=False, cancel_futures=True)
