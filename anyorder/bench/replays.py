"""Replays: how texts of a benchmark came about, step by step, for its page.

Recording costs time, so nothing that is measured is recorded: the first prompts are decoded once more when
all is done, each alone. Where prompts were measured alone too, the steps are given the time that the measured
run took, so that replays side by side run as fast as the table says.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from anyorder import registry
from anyorder.audit.ties import forget
from anyorder.core.decode import decode
from anyorder.trace import Steps, header

if TYPE_CHECKING:
    from anyorder.bench.entries import Entry
    from anyorder.bench.measure import Bench
    from anyorder.bench.record import Measured

PROMPTS = 3  # recorded, as long as there are no more than RUNS of them
RUNS = 30


class Replay(NamedTuple):
    """One prompt decoded by one row: the records of its trace."""

    label: str
    prompt: str  # which one of the suite
    records: list[dict[str, Any]]


def replays(bench: Bench, measured: Measured) -> list[Replay]:
    """The first prompts by every row that one method of ours decodes. Ctrl-C keeps what is there."""
    rows = [entry for entry in bench.rows if not entry.peer and not entry.parts]
    first = max(1, min(PROMPTS, RUNS // len(rows)))
    made: list[Replay] = []
    try:
        for entry in rows:
            memory: dict[str, Any] = {}
            for i in range(min(first, measured.finished)):
                with bench.remembering(memory):
                    records = _recorded(bench, entry, i, _seconds(measured, entry, i))
                prompt = bench.prompts[i]
                made.append(Replay(entry.label, f"{prompt.id} · {prompt.category}", records))
    except KeyboardInterrupt:
        pass
    return made


def _recorded(bench: Bench, entry: Entry, prompt: int, seconds: float | None) -> list[dict[str, Any]]:
    """Header, steps and end. `seconds`: what the measured run took; None: no run was this prompt's alone."""
    model, steps = bench.model, Steps(bench.model.tokenizer)
    start = time.perf_counter()
    request = bench.request(entry, prompt, bench.plan.max_tokens)
    card = registry.card(model.chosen(entry.method, None))
    first = header(model.name, card, request, bench.prompts[prompt].text)
    lines = [steps.step(event) for event in decode([request], steps.watch)]
    took = time.perf_counter() - start
    forget(request.nets.values())
    if seconds is not None:
        lines = [line | {"ms": round(line["ms"] * seconds / took, 3)} for line in lines]
    result = model.result(request, entry.method, took if seconds is None else seconds)
    return [first, *lines, {"end": result.figures()}]


def _seconds(measured: Measured, entry: Entry, prompt: int) -> float | None:
    """What a row took for a prompt that was alone in its batch: the median of the repeats."""
    takes = [take for take in measured.takes if take.label == entry.label and take.prompts == (prompt,)]
    times = sorted(take.run.seconds for take in takes)
    return times[len(times) // 2] if times else None
