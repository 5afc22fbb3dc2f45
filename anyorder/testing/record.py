"""Running a method and writing down everything it asked and committed."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.types import Answer, Ask, Commit, Flow, Method, Written

MOST = 2048  # bytes of a golden transcript
UPDATE = "ANYORDER_UPDATE_GOLDEN"  # set to 1 to write golden transcripts instead of comparing them


@dataclass
class Record:
    """What one request did, step by step."""

    request: Request
    steps: list[Ask | Commit | tuple[Ask, ...]] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    answers: list[tuple[Ask, Answer]] = field(default_factory=list)  # shaped

    @property
    def canvas(self) -> Canvas:
        return self.request.canvas

    @property
    def commits(self) -> list[Commit]:
        return [step for step in self.steps if isinstance(step, Commit)]

    @property
    def texts(self) -> list[list[int]]:
        return [self.canvas.generated(h) for h in range(len(self.canvas.rows))]

    @property
    def transcript(self) -> list[str]:
        return [spell(step) for step in self.steps]


def spell(step: Ask | Commit | tuple[Ask, ...]) -> str:
    """One step as one line."""
    if isinstance(step, tuple):
        return " & ".join(map(spell, step))
    if isinstance(step, Ask):
        guess = " | ".join(
            " ".join(f"{t}<{p}" for t, p in zip(tree.token, tree.parent, strict=True)) for tree in step.guess
        )
        asked: dict[str, Any] = {
            "skip": step.skip or "",
            "at": _cells(step.at),
            "layers": step.layers or "",
            "guess": guess,
        }
        return " ".join(["ask", step.net, *(f"{k} {v}" for k, v in asked.items() if v)])
    parts: dict[str, Any] = {
        "at": _cells(step.at),
        "parents": "" if step.parents is None else list(step.parents),
        "score": "" if step.score is None else [float(f"{s:.6g}") for s in step.score],
        "keep": _cells(step.keep),
    }
    return " ".join(["commit", _cells(step.token), *(f"{k} {v}" for k, v in parts.items() if v)])


def _cells(cells: Any) -> str:
    return " | ".join(" ".join(map(str, row)) for row in cells) if cells else ""


def recorded(method: Method, steps: list[Any], most: int) -> Method:
    """The same method, leaving its steps in a list. Fails after `most` steps: a flow has to end."""

    def flow(canvas: Canvas) -> Flow:
        inner, reply = method(canvas), None
        try:
            while True:
                try:
                    step = inner.send(reply)
                except StopIteration:
                    return
                steps.append(step)
                assert len(steps) <= most, f"{most} steps and still not done"
                reply = yield step
        finally:
            inner.close()

    return flow


def restarted(method: Method) -> Method:
    """The same method, killed after every commit and started again from the canvas alone."""

    def flow(canvas: Canvas) -> Flow:
        while True:
            inner, reply = method(canvas), None
            while True:
                try:
                    step = inner.send(reply)
                except StopIteration:
                    return
                reply = yield step
                if isinstance(step, Commit):
                    inner.close()
                    break

    return flow


def play(requests: Sequence[Request], later: Iterable[Request] = ()) -> list[Record]:
    """Decode requests side by side; those of `later` join after the first commit."""
    records = {}
    for request in [*requests, *(later := list(later))]:
        records[request] = record = Record(request)
        most = 40 + 40 * request.canvas.budget
        request.method = recorded(request.method, record.steps, most)
    waiting = deque(requests)

    def watch(request, ask, answer) -> None:
        return records[request].answers.append((ask, answer))

    for event in decode(waiting, watch):
        records[event.request].written.append(event.written)
        waiting.extend(later)
        later = []
    return list(records.values())


def golden(path: Path, lines: Sequence[str]) -> None:
    """Compare with a golden file; with ANYORDER_UPDATE_GOLDEN=1 write it. What does not fit is a checksum."""
    text = "\n".join(lines) + "\n"
    if len(text) > MOST:
        short = text[: text.rindex("\n", 0, MOST - 40) + 1]
        text = f"{short}... {zlib.crc32(text[len(short) :].encode()):08x}\n"
    if os.environ.get(UPDATE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"there is no {path}; write it with {UPDATE}=1 and review it"
    assert path.read_text() == text, f"the transcript is not that of {path}; {UPDATE}=1 writes the new one"
