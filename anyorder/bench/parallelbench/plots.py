"""Plots of ParallelBench: quality against forwards for all policies; figures by batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anyorder.bench.plot import COLOURS, INK, REST

MARKS = "osD^vP*X<>"
BATCHED = {  # figure of a row -> what the axis says
    "quality": "quality", "forwards": "forwards of a text", "tokens_per_second": "tokens per second",
}  # fmt: skip


def draw_policies(said: Mapping[str, Any], file: Path) -> None:
    """Draw a report's rows to a PNG file: a line for each policy, a point for each of its settings, and under
    the best of all the line that no point lies above."""
    axes, save = _page(said)
    told = [row for row in said["rows"] if "quality" in row and row.get("forwards")]
    policies: dict[str, list[Mapping[str, Any]]] = {}
    for row in told:
        policies.setdefault(row["method"].partition(":")[0], []).append(row)
    ahead = _frontier([(row["forwards"], row["quality"]) for row in told])
    axes.step(*zip(*ahead), where="post", color=REST, lw=5, zorder=1, solid_capstyle="round")
    for i, (name, rows) in enumerate(policies.items()):
        shade, mark = COLOURS[i % len(COLOURS)], MARKS[i // len(COLOURS) % len(MARKS)]
        points = sorted((row["forwards"], row["quality"]) for row in rows)
        axes.plot(*zip(*points), marker=mark, ms=5, lw=1.1, color=shade, label=name, zorder=3)
    axes.set_xlabel("forwards of a text", color=INK)
    save(file)


def draw_batches(reports: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw reports of one benchmark at several batch sizes to a PNG file: a panel for each figure, a line for
    each row. What does not hang on who stands beside whom is flat."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = sorted(reports, key=lambda said: said["batch"])
    figure = Figure(figsize=(3.4 * len(BATCHED), 4.4), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(BATCHED), squeeze=False)[0]
    names = [row["method"] for row in sizes[0]["rows"]]
    for axes, (key, what) in zip(panels, BATCHED.items(), strict=True):
        for i, name in enumerate(names):
            points = [
                (said["batch"], row[key])
                for said in sizes for row in said["rows"] if row["method"] == name and key in row
            ]  # fmt: skip
            shade, mark = COLOURS[i % len(COLOURS)], MARKS[i // len(COLOURS) % len(MARKS)]
            if points:
                axes.plot(*zip(*points), marker=mark, ms=4, lw=1.1, color=shade, label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks([said["batch"] for said in sizes], [str(said["batch"]) for said in sizes])
        axes.set_xlabel("texts side by side", color=INK)
        axes.set_title(what, fontsize=9, color=INK)
        axes.set_ylim(bottom=0)
        _plain(axes)
    panels[0].yaxis.set_major_formatter("{x:.0%}")
    marks, labels = panels[0].get_legend_handles_labels()
    figure.legend(marks, labels, loc="outside lower left", frameon=False, fontsize=8, ncols=4)
    figure.suptitle(_title(sizes[0]), fontsize=9, x=0.01, ha="left", color=INK)
    figure.savefig(file)


def _frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (forwards, quality), those that no cheaper one reaches, and the last one's quality to the end.

    >>> _frontier([(4, 0.9), (2, 0.5), (3, 0.4), (8, 0.9)])
    [(2, 0.5), (4, 0.9), (8, 0.9)]
    """
    kept: list[tuple[float, float]] = []
    for cost, share in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or share > kept[-1][1]:
            kept.append((cost, share))
    return [*kept, (max(cost for cost, _ in points), kept[-1][1])]


def _page(said: Mapping[str, Any]) -> tuple[Any, Any]:
    """Axes of quality, and what writes them to a file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.4), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_ylabel("valid answers", color=INK)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylim(0, 1.03)
    axes.set_title(_title(said), fontsize=9, loc="left", color=INK)
    _plain(axes)

    def save(file: Path) -> None:
        axes.set_xlim(left=0)
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
        figure.savefig(file)

    return axes, save


def _plain(axes: Any) -> None:
    axes.grid(color=REST, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)


def _title(said: Mapping[str, Any]) -> str:
    return f"{said['model']} {said['precision']}, {said['measured']} prompts of {said['suite']}"
