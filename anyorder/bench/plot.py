"""Plots: a bar for each method's speed-up, a dot for each category; quality against what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLOURS = ("#d1495b", "#edae49", "#2e8b57", "#7b5ea7", "#00798c", "#8c5a3c", "#5c677d", "#c06c9b")
INK, BAR, REST = "#22303c", "#a9c5de", "#d9dde1"


def draw(said: Mapping[str, Any], file: Path) -> None:
    """Draw a report's rows to a PNG file. The plain loop is the line at 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = said["rows"]
    figure = Figure(figsize=(8.5, 1.6 + 0.55 * len(table)), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    right = axes.get_yaxis_transform()  # x in parts of the width, y a row
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(table[0]["by_category"])}
    for y, row in enumerate(table):
        if row["speedup"] is None:
            why = "refused: not the plain loop's text"
            axes.text(0.03, y, why, va="center", color=COLOURS[0], fontsize=9)
            continue
        axes.barh(y, row["speedup"], height=0.62, color=BAR if y else REST, zorder=1)
        axes.text(1.01, y, f"{row['speedup']:.2f}×", va="center", color=INK, transform=right)
        for name, part in row["by_category"].items() if y and len(colour) > 1 else ():
            axes.scatter(part["speedup"], y, s=26, color=colour[name], edgecolor="white", lw=0.6, zorder=3)
    axes.axvline(1, color=INK, lw=0.8, ls=(0, (4, 3)), zorder=2)
    axes.set_yticks(range(len(table)), [row["method"] for row in table])
    axes.set_ylim(len(table) - 0.5, -0.5)  # the first row on top; a refused one has no bar to make room
    axes.set_xlim(left=0)
    axes.set_xlabel("speed-up over the plain loop, same process, same prompts")
    axes.set_title(_title(said), fontsize=9, loc="left", color=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False, colors=INK)
    if len(colour) > 1 and len(table) > 1:
        for name, shade in colour.items():
            axes.scatter([], [], s=26, color=shade, label=name)
        figure.legend(loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(file)


def _title(said: Mapping[str, Any]) -> str:
    hard = said["hardware"]
    batch = f" in batches of {said['batch']}" if said["batch"] > 1 else ""
    suite = Path(said["suite"]).name.replace(".jsonl", "")
    return (
        f"{said['model']} {said['precision']}, {said['measured']} prompts of {suite}"
        f"{batch}, up to {said['max_tokens']} tokens\n{hard['cpu']}, {hard['threads']} threads"
    )


def draw_quality(said: Mapping[str, Any], file: Path) -> None:
    """Draw rows' quality by the cells fed for a prompt to a PNG file, with standard errors."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from anyorder.bench.quality import error

    figure = Figure(figsize=(7.5, 4.6), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    judged = [row for row in said["rows"] if "quality" in row and row["cells"]]
    for i, row in enumerate(judged):
        shade, off = COLOURS[i % len(COLOURS)], error(row)
        fed, share = row["cells"] / row["prompts"], row["quality"]
        bars = [[min(off, share)], [off]]
        axes.errorbar(fed, share, yerr=bars, fmt="o", ms=6, lw=1, color=shade, label=row["method"], zorder=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.12)
    axes.set_xlabel("cells fed to the target for a prompt", color=INK)
    axes.set_ylabel(f"{judged[0]['quality_of']}, with its standard error", color=INK)
    axes.set_title(_title(said), fontsize=9, loc="left", color=INK)
    axes.grid(color=REST, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    figure.legend(loc="outside lower left", frameon=False, fontsize=8, ncols=2)
    figure.savefig(file)


def draw_cost(by_context: Mapping[int, Mapping[int, Mapping[int, float]]], file: Path, title: str) -> None:
    """Draw milliseconds of a run by its cells to a PNG file: a panel a context, a line a batch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(by_context)
    figure = Figure(figsize=(2 + 2.6 * count, 3.4), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    for axes, (context, by_batch) in zip(panels, by_context.items(), strict=True):
        for shade, (batch, line) in zip(COLOURS, by_batch.items()):
            axes.plot(
                list(line), list(line.values()), "o-", ms=4, lw=1.2, color=shade, label=f"batch {batch}"
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        axes.set_xlabel("cells of each request", color=INK)
        axes.set_title(f"texts of {context} tokens", fontsize=9, color=INK)
        axes.grid(color=REST, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
    panels[0].set_ylabel("ms of a run", color=INK)
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=9, x=0.01, ha="left", color=INK)
    figure.savefig(file)
