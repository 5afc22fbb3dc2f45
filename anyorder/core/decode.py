"""The loop. Every family of methods, every command and every test runs through `decode`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import read_together
from anyorder.core.types import Answer, Ask, Commit, Flow, Method, Net, Shape, Written

Watch = Callable[["Request", Ask, Answer], None]
Over = Callable[["Request", Exception | None], None]


def as_it_is(answer: Answer, canvas: Canvas) -> Answer:
    return answer  # the shape that changes nothing


@dataclass(eq=False, slots=True)
class Request:
    """One canvas being decoded by one method. `runs` and `cells` count what its nets were asked for."""

    canvas: Canvas
    method: Method
    nets: Mapping[str, Net]
    shape: Shape = as_it_is
    chance: Chance = field(default_factory=Chance)
    runs: dict[str, int] = field(default_factory=dict)  # net -> runs asked for
    cells: dict[str, int] = field(default_factory=dict)  # net -> cells fed

    def shaped(self, ask: Ask, answer: Answer | Exception, first: bool) -> Answer:
        if isinstance(answer, Exception):
            raise answer
        self.runs[ask.net] = self.runs.get(ask.net, 0) + first
        self.cells[ask.net] = self.cells.get(ask.net, 0) + answer.cells
        if bool(answer.logits.sum().isnan()):
            step = f"net {ask.net!r} answered NaN in step {self.runs[ask.net]}"
            raise FloatingPointError(f"{step}; a law has numbers; choose another precision or model")
        return answer if self.shape is as_it_is else self.shape(answer, self.canvas)


Asked = tuple[Request, int, Ask]  # which of the request's asks


class Event(NamedTuple):
    """Something became true."""

    request: Request
    commit: Commit
    written: Written


@dataclass(eq=False, slots=True)
class Turn:
    """Where a request's flow stands: what it asked and the replies that came so far."""

    flow: Flow
    asks: tuple[Ask, ...] = ()
    replies: dict[int, Any] = field(default_factory=dict)
    alone: bool = True  # one ask, not a tuple of them; or none yet

    def wait(self, step: Ask | tuple[Ask, ...]) -> None:
        self.asks, self.replies = step if isinstance(step, tuple) else (step,), {}
        self.alone = isinstance(step, Ask)

    def missing(self) -> list[tuple[int, Ask]]:
        return [(i, ask) for i, ask in enumerate(self.asks) if i not in self.replies]

    def take(self) -> Any:
        """What the flow receives: None at first, a reply, or a tuple of replies to a tuple of asks."""
        return self.replies.get(0) if self.alone else tuple(self.replies[i] for i in range(len(self.asks)))


def decode(
    requests: Iterable[Request], watch: Watch | None = None, over: Over | None = None
) -> Iterator[Event]:
    """Run requests to their ends, side by side. The only loop in the project.

    Every round each flow goes on to its next ask; the asks for one net are answered by one run. `requests`
    may be a deque that grows while the loop runs: who waits there joins in the next round. A request leaves
    when its canvas is done, by itself or because somebody closed it. `watch` sees every shaped answer.
    `over` is told of each request that left, and what its method, shape or answer raised, if that ended it;
    the others go on. Without `over` the error ends the loop.
    """
    waiting = requests if isinstance(requests, deque) else deque(requests)
    turns: dict[Request, Turn] = {}
    try:
        while waiting or turns:
            while waiting:
                request = waiting.popleft()
                turns[request] = Turn(request.method(request.canvas))
            faults: dict[Request, Exception] = {}
            for request, turn in list(turns.items()):
                if request.canvas.done or not turn.missing():
                    try:
                        yield from _go_on(request, turn)
                    except Exception as error:
                        faults[request] = error
            on = [request for request in turns if not (request.canvas.done or request in faults)]
            asks = [(request, i, ask) for request in on for i, ask in turns[request].missing()]
            for request, i, reply in _answered(asks, watch, faults):
                turns[request].replies[i] = reply
            for request in [r for r in turns if r.canvas.done or r in faults]:
                _end(request, turns.pop(request))
                if over is not None:
                    over(request, faults.get(request))
                elif request in faults:
                    raise faults[request]
    finally:
        for request, turn in turns.items():
            _end(request, turn)


def _go_on(request: Request, turn: Turn) -> Iterator[Event]:
    """Let the flow commit until it asks again or its canvas is done."""
    reply = turn.take()
    while not request.canvas.done:
        try:
            step = turn.flow.send(reply)
        except StopIteration:
            return request.canvas.close()
        if not isinstance(step, Commit):
            return turn.wait(step)
        reply = request.canvas.write(step)
        for net in request.nets.values():
            net.follow(request.canvas, step)  # what still spells the text stays cached; the rest goes
        yield Event(request, step, reply)


def _end(request: Request, turn: Turn) -> None:
    request.canvas.close()
    turn.flow.close()
    for net in request.nets.values():
        net.follow(request.canvas, None)


def _answered(
    asks: list[Asked], watch: Watch | None, faults: dict[Request, Exception]
) -> Iterator[tuple[Request, int, Any]]:
    """One run for each net that was asked; the replies. Who is put off or at fault gets none."""
    groups: dict[Net, list[Asked]] = {}
    for one in asks:
        groups.setdefault(one[0].nets[one[2].net], []).append(one)
    for net, group in groups.items():
        pairs = [(ask, request.canvas) for request, _, ask in group]
        answers = net(pairs) if "pack" in net.can else [net([pair])[0] for pair in pairs]
        alike: dict[Any, list[tuple[Request, int, Answer]]] = {}  # by reader
        served: set[Request] = set()  # several asks of one request are one run
        for (request, i, ask), answer in zip(group, answers, strict=True):
            if answer is None:
                continue
            try:
                shaped = request.shaped(ask, answer, request not in served)
                served.add(request)
                if watch is not None:
                    watch(request, ask, shaped)
                if shaped is answer and getattr(ask.read, "together", False):
                    alike.setdefault(ask.read, []).append((request, i, answer))
                else:
                    yield request, i, ask.read(shaped, request.chance.of(ask.net))
            except Exception as error:
                faults[request] = error
        for read, same in alike.items():
            replies = read_together(read, [answer for _, _, answer in same])
            yield from ((request, i, reply) for (request, i, _), reply in zip(same, replies, strict=True))
