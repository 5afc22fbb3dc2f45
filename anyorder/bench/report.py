"""What a benchmark says: one JSON object, tables for a terminal, Markdown, plots, a page to look at."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyorder.bench import machine, quality
from anyorder.bench.rows import Spell, rows
from anyorder.errors import UserError
from anyorder.folders import writable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from anyorder.bench.record import Measured
    from anyorder.bench.replays import Replay

HEAD = ("method", "tok/s", "speed-up", "tok/run", "runs", "roofline", "equal")  # and quality, if judged
LEFT = (0, 6)  # columns of words
WIDE = 6  # methods side by side in a table of speed-ups, as many as a narrow terminal shows


def report(measured: Measured, spell: Spell = str) -> dict[str, Any]:
    """Everything that was measured and where, as plain data: the JSON line and bench.json."""
    from anyorder.audit.ties import FACTOR

    plan = measured.plan
    return {
        "rows": rows(measured, spell),
        "hardware": machine.hardware(), "versions": machine.versions(), "seed": plan.seed,
        "commit": machine.commit(), "model": plan.model, "precision": plan.precision, "batch": plan.batch,
        "max_tokens": plan.max_tokens, "temperature": plan.temperature, "suite": plan.suite,
        "prompts": len(measured.prompts), "measured": measured.finished, "stopped": measured.stopped,
        "repeat": plan.repeat, "prompt_tokens": measured.prompt_tokens,
        "noise": measured.noise, "tie_factor": FACTOR, "command": plan.command,
    }  # fmt: skip


# cells of the tables ----------------------------------------------------------------------------------------


def speedup(row: Mapping[str, Any]) -> str:
    """The speed-up as text, or that there is none to be had."""
    return "refused" if row["speedup"] is None else f"{row['speedup']:.2f}×"


def equality(row: Mapping[str, Any]) -> str:
    """On how many prompts the text was the plain loop's."""
    if row["claim"] == "law":
        return "law, not text"
    if row["claim"] is None:
        return "no claim"
    parts = [f"{row['equal']}/{row['prompts']}"]
    for name in ("ties", "bugs"):
        if count := row[name]:
            parts.append(f"{count} {name[:-1] if count == 1 else name}")
    return " + ".join(parts)


def cells(row: Mapping[str, Any]) -> list[str]:
    """One line of the main table."""
    per_run = "" if row["tokens_per_run"] is None else f"{row['tokens_per_run']:.2f}"
    share = "" if row["roofline"] is None else f"{row['roofline']:.0%}"
    head = [row["method"], f"{row['tokens_per_second']:.1f}", speedup(row)]
    right = [f"{row['quality']:.1%}"] if "quality" in row else []
    return [*head, per_run, str(row["runs"]), share, equality(row), *right]


def columns(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """The head of the main table."""
    return [*HEAD, *(["quality"] if any("quality" in row for row in table) else [])]


def categories(table: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The speed-ups by category: a head with the methods after the plain loop, then the categories."""
    lines = [["category", *(row["method"] for row in table[1:])]]
    for name in table[0]["by_category"] if table else ():
        lines.append([name, *(speedup(row["by_category"][name]) for row in table[1:])])
    return lines


def notes(said: Mapping[str, Any]) -> list[str]:
    """Sentences below the tables: other weights, refusals with their places, ties, an early end."""
    others = [row for row in said["rows"] if row["precision"] != said["precision"]]
    lines = [f"{row['method']}: its weights are {row['precision']}" for row in others]
    for row in said["rows"]:
        bugs = [d for d in row["divergences"] if d["verdict"] == "bug"]
        if bugs:
            why = "speed-up refused, its text is not the plain loop's"
            lines.append(f"{row['method']}: {why}; {place(bugs[0])}")
    if any(row["ties"] for row in said["rows"]):
        lines.append(
            f"tie: two tokens whose logits are within {said['tie_factor']:g} times {said['noise']:.4g}, "
            "the noise that rounding makes in this model"
        )
    if said["stopped"]:
        lines.append(f"stopped after {said['measured']} of {said['prompts']} prompts")
    return lines


def place(d: Mapping[str, Any]) -> str:
    """A divergence in words."""
    there = f"prompt {d['prompt']}, token {d['position']}: {d['method']!r} instead of {d['plain']!r}"
    if d["margin"] is None:
        why = "where one of the texts ends" if None in (d["plain"], d["method"]) else "margin not measured"
        return f"{there}, {why} ({d['verdict']})"
    return f"{there}, margin {d['margin']:.4g}, noise {d['noise']:.4g} ({d['verdict']})"


def setting(said: Mapping[str, Any]) -> str:
    """Where and how it was measured, in one line."""
    hard, version = said["hardware"], said["versions"]
    batch = f" in batches of {said['batch']}" if said["batch"] > 1 else ""
    return (
        f"{said['model']} {said['precision']}, {said['measured']} prompts of {said['suite']}{batch}, up to "
        f"{said['max_tokens']} tokens, {hard['cpu']}, {hard['threads']} threads, "
        f"{hard['bandwidth_gb_s']:g} GB/s, torch {version['torch']}, transformers {version['transformers']}"
    )


# for people -------------------------------------------------------------------------------------------------


def show(said: Mapping[str, Any], console: Console) -> None:
    """Print the tables."""
    from rich import box
    from rich.table import Table

    if said["rows"]:
        left: Any = {"title_justify": "left", "title_style": ""}
        main = Table(title=setting(said), box=box.SIMPLE_HEAD, **left)
        for i, name in enumerate(columns(said["rows"])):
            _column(main, i, name)
        for row in said["rows"]:
            main.add_row(*cells(row))
        console.print(main)
        head, *lines = categories(said["rows"])
        for start in range(1, len(head), WIDE) if len(lines) > 1 else ():
            table = Table(title="speed-up by category", box=box.SIMPLE_HEAD, **left)
            table.add_column(head[0], min_width=13)
            for name in head[start : start + WIDE]:
                table.add_column(name, justify="right", overflow="fold", min_width=7)
            for line in lines:
                table.add_row(line[0], *line[start : start + WIDE])
            console.print(table)
        head, *lines = quality.table(said["rows"])
        if lines:
            table = Table(title=quality.title(said["rows"]), box=box.SIMPLE_HEAD, **left)
            for i, name in enumerate(head):
                _column(table, i, name)
            for line in lines:
                table.add_row(*line)
            console.print(table)
        for name, (make, wide) in quality.TABLES.items():
            _tables(console, name, make(said["rows"]), WIDE if wide else len(quality.FIGURES) + 1)
    for note in notes(said):
        console.print(note, markup=False, highlight=False)


def _tables(console: Console, title: str, table: Sequence[Sequence[str]], wide: int) -> None:
    """A table of more columns than fit is printed in parts; a head alone is not printed."""
    from rich import box
    from rich.table import Table

    head, *lines = table
    for start in range(1, len(head), wide) if lines else ():
        part = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="")
        for i, name in enumerate([head[0], *head[start : start + wide]]):
            part.add_column(name, justify="right" if i else "left", overflow="fold", min_width=5)
        for line in lines:
            part.add_row(line[0], *line[start : start + wide])
        console.print(part)


def _column(table: Table, i: int, name: str) -> None:
    """A column; numbers keep their width, a long method is folded instead."""
    how: Any = {"overflow": "fold"} if i == 0 else {"no_wrap": i not in LEFT}
    table.add_column(name, justify="left" if i in LEFT else "right", **how)


def tables(said: Mapping[str, Any]) -> list[tuple[str, list[list[str]], tuple[int, ...]]]:
    """Every table of a written report: its title (the main one has none), lines with the head first, columns
    of words."""
    table = said["rows"]
    if not table:
        return []
    more = []
    by = categories(table)
    if len(by) > 2 and len(by[0]) > 1:
        more.append(("speed-up by category", by))
    if len(judged := quality.table(table)) > 1:
        more.append((quality.title(table), judged))
    named = ((name, make(table)) for name, (make, _) in quality.TABLES.items())
    more += [(name, lines) for name, lines in named if len(lines) > 1]
    main = ("", [columns(table), *map(cells, table)], LEFT)
    return [main, *((f"{name[0].upper()}{name[1:]}", lines, (0,)) for name, lines in more)]


def markdown(said: Mapping[str, Any]) -> str:
    """The page bench.md."""
    lines = [f"# {said['model']}, {said['precision']}", "", setting(said) + ".", ""]
    lines += ["```", said["command"], "```", ""]
    for title, table, left in tables(said):
        lines += ["", f"{title}:", ""] if title else []
        lines += _grid(table, left)
    lines += [line for note in notes(said) for line in ("", note + ".")]
    lines += ["", f"Commit {said['commit'] or 'unknown'}, seed {said['seed']}, repeats {said['repeat']}.", ""]
    return "\n".join(lines)


def _grid(table: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    rule = ["---" if i in left else "---:" for i in range(len(table[0]))]
    return [f"| {' | '.join(line)} |" for line in (table[0], rule, *table[1:])]


# files ------------------------------------------------------------------------------------------------------


def check_folder(out: str) -> Path:
    """The folder, made and found writable, before anything is measured. Raises UserError."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--out needs matplotlib, which is not installed; pip install 'anyorder[bench]'")
    return writable(out)


def write(said: Mapping[str, Any], folder: Path, runs: Sequence[Replay] = ()) -> list[Path]:
    """bench.json, bench.md and bench.png, quality.png if texts were judged, forwards.png of ParallelBench,
    and report.html with all of it and recorded `runs`; no plots and no page of nothing."""
    files = [folder / "bench.json", folder / "bench.md"]
    files[0].write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    files[1].write_text(markdown(said), encoding="utf-8")
    if said["rows"]:
        from anyorder.bench.page import page

        plots = _plots(said, folder)
        files += [*plots, folder / "report.html"]
        files[-1].write_text(page(said, plots, runs), encoding="utf-8")
    return files


def _plots(said: Mapping[str, Any], folder: Path) -> list[Path]:
    from anyorder.bench.plot import draw, draw_quality

    files = [folder / "bench.png"]
    draw(said, files[-1])
    if any("quality" in row and row["cells"] for row in said["rows"]):
        files.append(folder / "quality.png")
        draw_quality(said, files[-1])
    if any("tokens_per_forward" in row for row in said["rows"]):
        from anyorder.bench.parallelbench.plots import draw_policies

        files.append(folder / "forwards.png")
        draw_policies(said, files[-1])
    return files
