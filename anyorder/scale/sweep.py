"""A sweep: method x model x suite x seed, each cell one benchmark in a process of its own on some machine.

A cell is what `anyorder bench --methods METHOD` measures: the plain loop and one method in turn, prompt by
prompt, so that its speed-up is a ratio of neighbours and cells of different machines can be compared by it.
Nothing runs beside a cell on its machine unless more workers are asked for; the cell's line then says how
many cells ran side by side at most, and its seconds are no measure of the method alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from anyorder.bench.entries import Plan, entries
from anyorder.bench.suites import Prompt, read_suite
from anyorder.errors import UserError
from anyorder.scale.cluster import placed
from anyorder.scale.results import KEY, Key, Results

if TYPE_CHECKING:
    from rich.table import Table

NODE = 8  # digits that tell nodes apart
POLL = 1.0  # seconds between two looks at the keyboard


@dataclass(frozen=True)
class Grid:
    """What a user asked for. All but the four lists is the same of every cell."""

    methods: str  # as `anyorder bench` takes them
    models: Sequence[str]
    suites: Sequence[str]
    seeds: Sequence[int]
    precision: str = "bf16"
    prompts: int | None = None  # the first so many of each category
    max_tokens: int = 128
    temperature: float = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """What all cells of a file share."""
        return {name: value for name, value in asdict(self).items() if name in SHARED}


SHARED = ("precision", "prompts", "max_tokens", "temperature")


class Cell(NamedTuple):
    """One benchmark to be run."""

    key: Key
    plan: Plan
    prompts: list[Prompt]

    @property
    def digest(self) -> str:
        """Tells prompts apart that have the suite's name in common."""
        said = [replace(prompt, judge=None, strict=None) for prompt in self.prompts]
        return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


def cells(grid: Grid) -> list[Cell]:
    """The cells of a grid, seed by seed, so that a sweep that ends early has seen every method. The plain
    loop is in every cell and makes none of its own unless nothing else is named. Raises UserError."""
    if "mix(" in grid.methods:
        raise UserError(
            "--methods names a mix and a sweep measures one prompt at a time; see: anyorder bench"
        )
    out = []
    for seed, model, suite in product(grid.seeds, grid.models, grid.suites):
        plan = Plan(grid.methods, suite, placed(model), seed=seed, **grid.settings)
        plain, *rows = entries(plan)
        prompts = read_suite(suite, grid.prompts, model)
        for row in rows or [plain]:
            key = Key(row.label, model, suite, seed)
            out.append(Cell(key, replace(plan, methods=row.label), prompts))
    return out


def left(all_cells: Sequence[Cell], results: Results) -> list[Cell]:
    """The cells that were not measured yet. Raises UserError if a suite is not what it was."""
    for cell in all_cells:
        there = results.lines.get(cell.key, {}).get("digest", cell.digest)
        if there != cell.digest:
            raise UserError(
                f"suite {cell.key.suite} has other prompts than when {results.path} was written; allowed is "
                "the same suite; name another --out"
            )
    return [cell for cell in all_cells if not results.done(cell.key)]


# in a worker ------------------------------------------------------------------------------------------------


def measured(plan: Plan, prompts: list[Prompt], alone: bool) -> dict[str, Any]:
    """The benchmark of one cell: its report, and the texts of each row. `alone`: nothing else is measured on
    this machine, so costs that methods go by may be. Raises UserError."""
    from anyorder.bench import report
    from anyorder.bench.measure import prepare

    ready = prepare(plan, entries(plan), prompts)
    if alone and ready.unpriced:
        ready.model.measure()
    found = ready.measure()
    if found.stopped:
        raise KeyboardInterrupt
    texts: dict[str, list[str]] = {row.label: [] for row in ready.rows}
    for take in found.takes:
        texts[take.label] += map(ready.text, take.run.tokens)
    return {"report": report.report(found, ready.spell), "texts": texts}


# machines ---------------------------------------------------------------------------------------------------


class Seat(NamedTuple):
    """A place where one cell at a time runs."""

    machine: str  # its address
    node: str  # Ray's name of it
    cpus: int


def seats(nodes: Sequence[Mapping[str, Any]], workers: int) -> list[Seat]:
    """`workers` places on each machine, its processors dealt among them. `nodes`: as `ray.nodes()` tells
    them; several may stand on one machine. Raises UserError."""
    if workers < 1:
        raise UserError(f"--workers is {workers}; allowed is 1 or more; 1 is for measuring time")
    machines: dict[str, list[tuple[str, int]]] = {}
    for node in nodes:
        cpus = int(node["Resources"].get("CPU", 0))
        if node["Alive"] and cpus:
            machines.setdefault(node["NodeManagerAddress"], []).append((node["NodeID"], cpus))
    if not machines:
        raise UserError("the Ray cluster has no node with processors; a cell needs one; add a node")
    out = []
    for machine, there in machines.items():
        if workers > (most := sum(cpus for _, cpus in there)):
            raise UserError(f"--workers is {workers} and {machine} has {most} processors; allowed is {most}")
        shares = dealt([cpus for _, cpus in there], workers)
        for (name, cpus), share in zip(there, shares, strict=True):
            out += [Seat(machine, name, cpus // share) for _ in range(share)]
    return out


def dealt(cpus: Sequence[int], workers: int) -> list[int]:
    """Of each node, how many workers it gets: the next goes where most processors are left for each.

    >>> dealt([1, 1], 2), dealt([4, 2], 3), dealt([1, 8], 1)
    ([1, 1], [2, 1], [0, 1])
    """
    shares = [0] * len(cpus)
    for _ in range(workers):
        shares[max(range(len(cpus)), key=lambda i: cpus[i] / (shares[i] + 1))] += 1
    return shares


# the sweep --------------------------------------------------------------------------------------------------


@dataclass
class Running:
    """A cell that runs. `beside`: most cells that ran on its machine at once, itself included."""

    cell: Cell
    seat: Seat
    beside: int = 1


def sweep(ray: Any, todo: Sequence[Cell], workers: int = 1) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Run cells on a cluster and give each with its line as it ends. A cell that fails says why in `failed`.
    Leaving early ends those that run. Raises UserError if the cluster cannot run them, or is lost."""
    free, waiting = seats(ray.nodes(), workers), list(reversed(todo))
    running: dict[Any, Running] = {}
    kept: dict[str, Any] = {}  # prompts by digest, sent once
    try:
        while waiting or running:
            while waiting and free:
                _start(ray, waiting.pop(), free.pop(0), workers, running, kept)
            if not running:
                raise UserError(f"all Ray nodes are gone, {len(waiting)} cells are left; call again")
            done, _ = ray.wait(list(running), timeout=POLL)
            for task in done:
                one = running.pop(task)
                yield one.cell, {**_place(one), **_outcome(ray, task)}
                if any(node["Alive"] and node["NodeID"] == one.seat.node for node in ray.nodes()):
                    free.append(one.seat)
    finally:
        for task in running:
            ray.cancel(task, force=True)


def _start(
    ray: Any, cell: Cell, seat: Seat, workers: int, running: dict[Any, Running], kept: dict[str, Any]
) -> None:
    """Give a seat a cell. A process measures one cell and ends."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    digest = cell.digest
    if digest not in kept:
        kept[digest] = ray.put(cell.prompts)
    there = NodeAffinitySchedulingStrategy(seat.node, soft=False)
    task = ray.remote(num_cpus=seat.cpus, max_calls=1, max_retries=0, scheduling_strategy=there)(measured)
    running[task.remote(cell.plan, kept[digest], workers == 1)] = Running(cell, seat)
    here = [one for one in running.values() if one.seat.machine == seat.machine]
    for one in here:
        one.beside = max(one.beside, len(here))


def _place(one: Running) -> dict[str, Any]:
    return {
        "digest": one.cell.digest, "machine": one.seat.machine, "node": one.seat.node[:NODE],
        "cpus": one.seat.cpus, "side_by_side": one.beside,
    }  # fmt: skip


def _outcome(ray: Any, task: Any) -> dict[str, Any]:
    """What a task gave, or why it failed in one sentence."""
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        why = error.cause
    except ray.exceptions.RayError as error:
        why = error
    first = (str(why).strip().splitlines() or ["no more is known"])[0]
    return {"failed": first if isinstance(why, UserError) else f"{type(why).__name__}: {first}"}


# what is said -----------------------------------------------------------------------------------------------

FIGURES = (
    "tokens_per_second", "speedup", "tokens_per_run", "runs", "cells", "prompts", "equal", "ties", "bugs",
    "exact", "quality",
)  # fmt: skip


def summary(all_cells: Sequence[Cell], results: Results) -> dict[str, Any]:
    """The JSON line: one row for each cell of the grid that is measured, and those that failed."""
    said, failures = [], []
    for cell in all_cells:
        line = results.lines.get(cell.key)
        if line is None:
            continue
        if "failed" in line:
            failures.append({**cell.key._asdict(), "failed": line["failed"]})
            continue
        row = line["report"]["rows"][-1]
        figures = {name: row[name] for name in FIGURES if name in row}
        said.append({**cell.key._asdict(), **figures, "side_by_side": line["side_by_side"]})
    return {
        "rows": said, "failures": failures, "cells": len(all_cells), "measured": len(said),
        "failed": len(failures), "out": str(results.path),
    }  # fmt: skip


SHOWN = (0, 1, 2, 3, 6)  # columns of `anyorder bench` that a sweep shows: not the runs and the roofline


def table(all_cells: Sequence[Cell], results: Results) -> Table:
    """A line for each measured cell; what is the same of all stands above."""
    from rich import box
    from rich.table import Table

    from anyorder.bench import report

    lines = [results.lines[cell.key] for cell in all_cells if results.done(cell.key)]
    rows = [line["report"]["rows"][-1] for line in lines]
    varied = [name for name in KEY[1:] if len({cell.key._asdict()[name] for cell in all_cells}) > 1]
    same = [f"{name} {all_cells[0].key._asdict()[name]}" for name in KEY[1:] if name not in varied]
    title = ", ".join([f"{len(rows)} of {len(all_cells)} cells", *same])
    out = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="")
    names = report.columns(rows)
    picked = [i for i in range(len(names)) if i in SHOWN or i >= len(report.HEAD)]
    beside = ["at once"] if any(line["side_by_side"] > 1 for line in lines) else []
    for name in (names[0], *varied, *(names[i] for i in picked[1:]), *beside):
        words = name in (names[0], *KEY)
        out.add_column(name, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for line, row in zip(lines, rows):
        shown = [*report.cells(row), ""]  # where others were judged
        figures = [shown[i] for i in picked[1:]]
        where = [str(line[name]) for name in varied]
        out.add_row(shown[0], *where, *figures, *(str(line["side_by_side"]) for _ in beside))
    return out


def notes(all_cells: Sequence[Cell], results: Results) -> list[str]:
    """Sentences below the table: what failed, and what makes lines hard to compare."""
    here = [results.lines[cell.key] for cell in all_cells if cell.key in results.lines]
    out = [f"failed: {Key(*(line[n] for n in KEY))}: {line['failed']}" for line in here if "failed" in line]
    reports = [line["report"] for line in here if "report" in line]
    for what, name in (("commits", "commit"), ("machines", "hardware")):
        kinds = {str(_lasting(said[name])) for said in reports}
        if len(kinds) > 1:
            out.append(f"measured with {len(kinds)} {what}: compare speed-ups, not tokens per second")
    return out


def _lasting(said: Any) -> Any:
    """Of a machine, what does not change from one measurement to the next."""
    return {**said, "bandwidth_gb_s": None} if isinstance(said, dict) else said
