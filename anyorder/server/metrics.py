"""What Prometheus may read. Every app has a registry of its own."""

from __future__ import annotations

import time
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from anyorder.server.jobs import Desk, Line

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counts, and how they are written."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = partial(Counter, namespace="anyorder", registry=self.registry)
        times = partial(Histogram, namespace="anyorder", registry=self.registry, buckets=SECONDS)
        gauge = partial(Gauge, namespace="anyorder", registry=self.registry)
        self.requests = made("requests", "HTTP requests by route and status", ("route", "status"))
        self.texts = made("texts", "texts by method and how they ended", ("method", "ended"))
        self.tokens = made("tokens", "tokens by method and kind: prompt, written", ("method", "kind"))
        self.runs = made("runs", "runs of the target by method", ("method",))
        self.seconds = times("text_seconds", "from joining the engine to the end")
        self.wait = times("first_seconds", "from a request's arrival to its first tokens")
        self.running = gauge("running", "texts being decoded")
        self.waiting = gauge("waiting", "texts that are prepared or wait")

    def follow(self, desk: Desk) -> None:
        """Read the desk's state whenever somebody asks."""
        self.running.set_function(lambda: desk.engine.load[0])
        self.waiting.set_function(lambda: max(0, desk.inside - desk.engine.load[0]))

    def over(self, line: Line) -> None:
        """A text left the engine, or never joined."""
        if line.ticket is None or line.request is None:
            return
        canvas, method = line.request.canvas, line.wanted.method
        ended = "failed" if line.error or line.ticket.error else canvas.ended[0] or "method"
        if line.job.gone and line.ticket.error:
            ended = "cancelled"
        self.texts.labels(method, ended).inc()
        self.tokens.labels(method, "prompt").inc(canvas.prompt)
        self.tokens.labels(method, "written").inc(len(canvas.rows[0]) - canvas.prompt)
        self.runs.labels(method).inc(line.request.runs.get("target", 0))
        self.seconds.observe(max(0.0, (line.end or time.perf_counter()) - line.start))
        if line.index == 0 and line.job.first:
            self.wait.observe(line.job.first - line.job.begun)

    def totals(self) -> dict[str, int]:
        """What was done since the start."""
        counts = {"texts": self.texts, "tokens": self.tokens}
        return {
            name: int(sum(
                x.value for m in counter.collect() for x in m.samples
                if x.name.endswith("_total") and x.labels.get("kind", "written") == "written"
            ))
            for name, counter in counts.items()
        }  # fmt: skip

    def text(self) -> bytes:
        return generate_latest(self.registry)
