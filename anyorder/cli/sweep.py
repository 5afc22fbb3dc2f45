"""`anyorder sweep`: the benchmark of many methods, models, suites and seeds, on a Ray cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anyorder.cli.start import quick_start
from anyorder.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from anyorder.scale.results import Results
    from anyorder.scale.sweep import Cell


def sweep(
    out: Annotated[str, typer.Option(help="file of results, a JSON line for each cell; continued if there")],
    methods: Annotated[str, typer.Option(help="by comma, as in: anyorder bench --methods")],
    models: Annotated[
        str, typer.Option(help="by comma: short names, hub ids, folders, GGUF files")
    ] = "smollm2",
    suites: Annotated[str, typer.Option(help="by comma, as in: anyorder bench --suite")] = "quick",
    seeds: Annotated[str, typer.Option(help="by comma; at temperature 0 they are repeats")] = "0",
    precision: Annotated[str, typer.Option(help="of our weights, like fp32 or bf16")] = "bf16",
    prompts: Annotated[int | None, typer.Option(help="only the first so many of each category")] = None,
    max_tokens: Annotated[int, typer.Option(help="most tokens written for a prompt")] = 128,
    temperature: Annotated[float, typer.Option(help="0: the likeliest token; above: draws")] = 0.0,
    workers: Annotated[int, typer.Option(help="cells side by side on a machine; 1 to measure time")] = 1,
    address: Annotated[
        str | None, typer.Option(help="of a Ray cluster, like ray://host:10001; none: this machine")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, table on stderr")] = False,
) -> None:
    """Method x model x suite x seed. A cell is a benchmark of the plain loop and one method in a process of
    its own. Called again it measures what is missing or failed; Ctrl-C keeps what is finished. Exit code 1
    if a cell failed. Needs Ray: pip install 'anyorder[ray]'."""
    from rich.console import Console

    with quick_start():
        from anyorder.scale import sweep as it
        from anyorder.scale.cluster import check
        from anyorder.scale.results import Results

    check()  # refuse before anything is read
    grid = it.Grid(
        methods, listed("models", models), listed("suites", suites), numbers("seeds", seeds),
        precision, prompts, max_tokens, temperature,
    )  # fmt: skip
    errors, every = Console(stderr=True), it.cells(grid)
    with Results(Path(out).expanduser(), grid.settings) as results:
        stopped = _run(every, it.left(every, results), results, workers, address, errors)
        results.read()  # Ctrl-C may come between the disk and memory
        console = errors if as_json else Console()
        console.print(it.table(every, results))
        for note in it.notes(every, results):
            console.print(note, markup=False, highlight=False, soft_wrap=True)
        said = it.summary(every, results)
    if as_json:
        print(json.dumps({**said, "stopped": stopped}, ensure_ascii=False))
    if stopped or said["failed"]:
        raise typer.Exit(130 if stopped else 1)


def _run(
    every: list[Cell], todo: list[Cell], results: Results, workers: int, address: str | None, errors: Console
) -> bool:
    """Measure what is missing under a progress bar; whether it was stopped."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from anyorder.scale.cluster import connected
    from anyorder.scale.sweep import sweep as cells_of

    if not todo:
        return False
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=errors, transient=True) as progress:
            task = progress.add_task("starting Ray", total=len(every), completed=len(every) - len(todo))
            with connected(address) as ray:
                progress.update(task, description="measuring")
                for cell, said in cells_of(ray, todo, workers):
                    results.add(cell.key, said)
                    progress.update(task, advance=1, description=str(cell.key))
    except KeyboardInterrupt:
        return True
    return False


def listed(flag: str, text: str) -> list[str]:
    """What a flag names by comma. Raises UserError for nothing and for a name that stands there twice."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"--{flag} is {text!r}; allowed is one or more by comma; name one")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"--{flag} names {twice[0]} twice; a cell is measured once; take one out")
    return names


def numbers(flag: str, text: str) -> list[int]:
    """Whole numbers by comma. Raises UserError."""
    names = listed(flag, text)
    try:
        return [int(name) for name in listed(flag, ",".join(f"{int(name)}" for name in names))]
    except UserError:
        raise
    except ValueError:
        raise UserError(
            f"--{flag} is {text!r}; allowed are whole numbers by comma; for example 0,1"
        ) from None
