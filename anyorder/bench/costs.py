"""`anyorder bench --cost`: what a run costs by cells, batch and context, measured anew; tables, a plot."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyorder.bench import machine
from anyorder.bench.entries import Plan
from anyorder.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from anyorder.core.types import Net

USED = ("model", "precision", "out")  # of a plan


def check(plan: Plan) -> None:
    """Refuse what cannot matter to a net's cost. Raises UserError."""
    for f in fields(plan):
        if f.name not in USED and getattr(plan, f.name) != f.default:
            flag = "--" + f.name.replace("_", "-")
            raise UserError(
                f"{flag} is given with --cost; the net alone is measured, at --model and --precision; "
                f"leave {flag} out"
            )


def measured(plan: Plan) -> dict[str, Any]:
    """Load the plan's model and measure its cost anew. Raises UserError."""
    from anyorder.api import in_4_bits, load
    from anyorder.quick import NET

    model = load(plan.model, precision=plan.precision)
    said = figures(model.target, model.name, model.precision)
    with contextlib.suppress(UserError):  # not every model has one
        said["quick"] = figures(model.net(NET, {}), in_4_bits(model.name), model.precision)
    return said


def figures(net: Net, name: str, precision: str) -> dict[str, Any]:
    """Measure a net and keep it; the JSON line and cost.json. `file`: where it is kept, None if it is not."""
    from anyorder.engine import cost

    points = cost.load_or_measure(net, name, precision, refresh=True).seconds
    again = cost.known(net, name, precision)
    kept = again is not None and again.seconds == points
    return {
        "cost": [
            {"k": k, "batch": batch, "context": context, "ms": round(1e3 * seconds, 3)}
            for (k, batch, context), seconds in points.items()
        ],
        "net": name, "precision": precision, "hardware": machine.hardware(), "versions": machine.versions(),
        "file": str(cost.file_of(cost.facts(net, name, precision))) if kept else None,
    }  # fmt: skip


def show(said: Mapping[str, Any], console: Console) -> None:
    """Print a table for each context."""
    from rich import box
    from rich.table import Table

    plain: Any = {"markup": False, "highlight": False, "soft_wrap": True}
    console.print(f"milliseconds of a run by the cells of each request, {_where(said)}\n", **plain)
    for context, by_batch in lines(said).items():
        title = f"texts of {context} tokens"
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="")
        table.add_column("batch", justify="right")
        cells = sorted({k for line in by_batch.values() for k in line})
        for k in cells:
            table.add_column(str(k), justify="right")
        for batch, line in by_batch.items():
            table.add_row(str(batch), *(f"{line[k]:.2f}" if k in line else "" for k in cells))
        console.print(table)
    if "quick" in said:
        show(said["quick"], console)
    where = f"kept in {said['file']}" if said["file"] else "not kept: the cache folder cannot be written"
    console.print(where, **plain)


def lines(said: Mapping[str, Any]) -> dict[int, dict[int, dict[int, float]]]:
    """Context -> batch -> cells -> milliseconds."""
    by: dict[int, dict[int, dict[int, float]]] = {}
    for p in said["cost"]:
        by.setdefault(p["context"], {}).setdefault(p["batch"], {})[p["k"]] = p["ms"]
    return by


def write(said: Mapping[str, Any], folder: Path) -> list[Path]:
    """cost.json and cost.png."""
    from anyorder.bench.plot import draw_cost

    files = [folder / "cost.json", folder / "cost.png"]
    files[0].write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draw_cost(lines(said), files[1], _where(said))
    return files


def _where(said: Mapping[str, Any]) -> str:
    hardware = said["hardware"]
    return f"{said['net']} {said['precision']}, {hardware['cpu']}, {hardware['threads']} threads"
