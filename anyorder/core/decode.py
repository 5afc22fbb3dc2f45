"""The loop. Every family of methods, every command and every test runs through `decode`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Commit, Flow, Method, Net, Shape, Written

Watch = Callable[["Request", Ask, Answer], None]


def as_it_is(answer: Answer, canvas: Canvas) -> Answer:
    """The shape that changes nothing."""
    return answer


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

    def read(self, ask: Ask, answer: Answer) -> Any:
        self.runs[ask.net] = self.runs.get(ask.net, 0) + 1
        self.cells[ask.net] = self.cells.get(ask.net, 0) + answer.cells
        return ask.read(answer, self.chance.of(ask.net))


class Event(NamedTuple):
    """Something became true."""

    request: Request
    commit: Commit
    written: Written


def decode(requests: Iterable[Request], watch: Watch | None = None) -> Iterator[Event]:
    """Run requests to their ends, side by side. The only loop in the project.

    Every round each flow goes on to its next ask; the asks for one net are answered by one run. `requests`
    may be a deque that grows while the loop runs: who waits there joins in the next round. A request leaves
    when its canvas is done, by itself or because somebody closed it. `watch` sees every shaped answer.
    """
    waiting = requests if isinstance(requests, deque) else deque(requests)
    flows: dict[Request, tuple[Flow, Any]] = {}
    while waiting or flows:
        while waiting:
            request = waiting.popleft()
            flows[request] = (request.method(request.canvas), None)
        asks: list[tuple[Request, Ask | tuple[Ask, ...]]] = []
        for request, (flow, reply) in list(flows.items()):
            step = _advance(request, flow, reply)
            while isinstance(step, Commit):
                written = request.canvas.write(step)
                for net in request.nets.values():
                    net.follow(request.canvas, step)  # what still spells the text stays cached; the rest goes
                yield Event(request, step, written)
                step = _advance(request, flow, written)
            if step is None:
                del flows[request]
            else:
                asks.append((request, step))
        for request, reply in _answer(asks, watch):
            flows[request] = (flows[request][0], reply)


def _advance(request: Request, flow: Flow, reply: Any) -> Ask | Commit | tuple[Ask, ...] | None:
    """The flow's next step; None when the request is over."""
    if not request.canvas.done:
        try:
            return flow.send(reply)
        except StopIteration:
            request.canvas.close()
    flow.close()
    return None


def _answer(asks: list[tuple[Request, Any]], watch: Watch | None) -> Iterator[tuple[Request, Any]]:
    """One run for each net that was asked. A tuple of asks gets a tuple of replies."""
    groups: dict[Net, list[tuple[Request, int, Ask]]] = {}
    for request, step in asks:
        for i, ask in enumerate(step if isinstance(step, tuple) else (step,)):
            groups.setdefault(request.nets[ask.net], []).append((request, i, ask))
    replies: dict[tuple[Request, int], Any] = {}
    for net, group in groups.items():
        answers = net([(ask, request.canvas) for request, _, ask in group])
        for (request, i, ask), answer in zip(group, answers, strict=True):
            shaped = request.shape(answer, request.canvas)
            if watch is not None:
                watch(request, ask, shaped)
            replies[request, i] = request.read(ask, shaped)
    for request, step in asks:
        if isinstance(step, tuple):
            yield request, tuple(replies[request, i] for i in range(len(step)))
        else:
            yield request, replies[request, 0]
