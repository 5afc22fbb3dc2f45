"""Many requests at once: they join and leave while others run, each with its own method.

The engine is the loop of `core.decode` in a thread of its own, and a ticket for everybody who waits outside.
What it adds is only that: packing is the nets' affair, pausing the memory's, faults stay with their request.

>>> with anyorder.Engine() as engine:
...     tickets = [engine.submit(model.request("Why?", method)) for method in ("greedy", "prompt_lookup")]
...     for ticket in tickets:
...         ticket.wait()
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType

from anyorder.core.decode import Event, Request, Watch, decode
from anyorder.engine.threads import give_up_workers
from anyorder.errors import UserError

Tell = Callable[[Event | None], None]
"""Told of each event of a request, and of None at its end, in the engine's thread (of the end of one that was
cancelled while it waited, in the thread that cancels); it must be quick."""


class Cancelled(Exception):
    """The request was cancelled before its end."""


class Ticket:
    """A submitted request. Iterating gives its events as they happen and raises what ended it early."""

    def __init__(self, request: Request, tell: Tell | None = None, leave: Callable[[Ticket], object] = id):
        """`leave` is called when the ticket is cancelled."""
        self.request, self._leave = request, leave
        self.error: Exception | None = None
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._tell = tell or self._events.put
        self._over = threading.Event()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def cancel(self) -> None:
        """End the request; its memory is free after the run that is going on. Harmless if it is over."""
        if not self.over:
            self.error = self.error or Cancelled("cancelled")
            self.request.canvas.close()
            self._leave(self)

    def wait(self, seconds: float | None = None) -> Request:
        """The finished request. Raises what ended it early, and TimeoutError."""
        if not self._over.wait(seconds):
            raise TimeoutError(f"the request is not over after {seconds} seconds; wait longer or cancel it")
        if self.error is not None:
            raise self.error
        return self.request

    def __iter__(self) -> Iterator[Event]:
        while (event := self._events.get()) is not None:
            yield event
        self.wait()

    def _end(self, error: Exception | None = None) -> None:
        self.error = self.error or error
        self._over.set()
        self._tell(None)


class Engine:
    """Runs what is submitted, from any thread, side by side. Close it, or use it as a context.

    A thread that submits gives up its OpenMP workers (`engine.threads`), so that the engine's get the cores.

    `most`: requests that run at once; more wait their turn. `watch`: as for `decode`.
    """

    def __init__(self, most: int = 64, watch: Watch | None = None):
        if most < 1:
            raise UserError(f"an engine of {most} requests at once was asked for; allowed is 1 or more")
        self.most = most
        self._watch = watch
        self._entry: deque[Request] = deque()  # the loop takes from here
        self._queue: deque[Request] = deque()  # who waits for a place
        self._tickets: dict[Request, Ticket] = {}
        self._lock = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="anyorder-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request, tell: Tell | None = None) -> Ticket:
        """Let a request join. With `tell` its events go there, in the engine's thread, instead of to who
        iterates the ticket. Raises UserError once the engine is closed."""
        ticket = Ticket(request, tell, self._waits_no_more)
        give_up_workers()
        with self._lock:
            if self._closing:
                raise UserError("the engine is closed and takes no more requests; make another")
            self._tickets[request] = ticket
            self._queue.append(request)
            self._admit()
            self._lock.notify()
        return ticket

    @property
    def load(self) -> tuple[int, int]:
        """Requests that run, and that wait for a place."""
        with self._lock:
            return len(self._tickets) - len(self._queue), len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether its thread runs, and so requests can."""
        return self._thread.is_alive()

    def close(self, cancel: bool = False) -> None:
        """Take no more requests and finish, or cancel, those that are there."""
        with self._lock:
            self._closing = True
            tickets = list(self._tickets.values()) if cancel else []
            self._lock.notify()
        for ticket in tickets:
            ticket.cancel()
        self._thread.join()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=kind is not None)

    def _waits_no_more(self, ticket: Ticket) -> None:
        """A cancelled request that waits for a place leaves at once."""
        with self._lock:
            waited = ticket.request in self._queue
            if waited:
                self._queue.remove(ticket.request)
                del self._tickets[ticket.request]
        if waited:
            ticket._end()

    # in the engine's thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._wait():
            try:
                for event in decode(self._entry, self._watch, self._left):
                    self._tickets[event.request]._tell(event)
            except Exception as error:  # a net broke: nobody's request can go on
                self._all_failed(error)

    def _wait(self) -> bool:
        """Until there is something to do; False once the engine is closed and empty."""
        with self._lock:
            while not self._entry and not self._closing:
                self._lock.wait()
            return bool(self._entry)

    def _admit(self) -> None:
        """Let waiting requests in while there are places. Called with the lock held."""
        while self._queue and len(self._tickets) - len(self._queue) < self.most:
            self._entry.append(self._queue.popleft())

    def _left(self, request: Request, error: Exception | None) -> None:
        with self._lock:
            ticket = self._tickets.pop(request)
            self._admit()
        ticket._end(error)

    def _all_failed(self, error: Exception) -> None:
        with self._lock:
            running = [request for request in self._tickets if request not in self._queue]
            self._entry.clear()
            tickets = [self._tickets.pop(request) for request in running]
            self._admit()
        for ticket in tickets:
            ticket._end(error)
