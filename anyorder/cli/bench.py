"""`anyorder bench`: the plain loop and other methods, same process, same prompts; tables, JSON, a plot."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from anyorder.bench.entries import METHODS
from anyorder.cli.start import quick_start

if TYPE_CHECKING:
    from rich.console import Console

    from anyorder.bench.measure import Bench, Measured


def bench(
    methods: Annotated[
        str, typer.Option(help="rows: name or name:option=value, by comma; also the peer transformers")
    ] = METHODS,
    suite: Annotated[str, typer.Option(help="quick, or a file like Spec-Bench, GSM8K, HumanEval")] = "quick",
    model: Annotated[str, typer.Option(help="short name, hub id, folder or GGUF file")] = "smollm2",
    precision: Annotated[str, typer.Option(help="fp32 or bf16")] = "bf16",
    max_tokens: Annotated[int, typer.Option(help="most tokens written for a prompt")] = 128,
    prompts: Annotated[int | None, typer.Option(help="only the first so many of each category")] = None,
    repeat: Annotated[int, typer.Option(help="times each prompt is measured; medians count")] = 1,
    temperature: Annotated[float, typer.Option(help="0: the likeliest token; above: draws")] = 0.0,
    seed: Annotated[int, typer.Option(help="of all draws")] = 0,
    threads: Annotated[int | None, typer.Option(help="processor threads; default: torch's choice")] = None,
    out: Annotated[str | None, typer.Option(help="folder for bench.json, bench.md and bench.png")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, tables on stderr")] = False,
) -> None:
    """The plain loop and each method in turn, same process, same prompts. An exact method whose text differs
    from the plain loop's by more than rounding gets no speed-up. Ctrl-C keeps what was measured."""
    from rich.console import Console

    from anyorder.bench import report
    from anyorder.bench.entries import Plan, entries
    from anyorder.bench.suites import read_suite

    plan = Plan(
        methods, suite, model, precision, max_tokens, prompts, repeat, temperature, seed, threads, out
    )
    rows, chosen = entries(plan), read_suite(suite, prompts)  # refuse before seconds go into loading
    folder = report.check_folder(out) if out else None

    errors = Console(stderr=True)
    try:
        with quick_start():
            from anyorder.bench.measure import prepare

            ready = prepare(plan, rows, chosen)
    except KeyboardInterrupt:
        errors.print("stopped before the first prompt")
        raise typer.Exit(130) from None
    measured = _measured(ready, errors)
    said = report.report(measured, ready.spell)
    report.show(said, errors if as_json else Console())
    if folder is not None:
        files = report.write(said, folder)
        print("written: " + ", ".join(map(str, files)), file=sys.stderr)
    if as_json:
        print(json.dumps(said, ensure_ascii=False))
    if measured.stopped:
        raise typer.Exit(130)


def _measured(ready: Bench, errors: Console) -> Measured:
    """Measure under a progress bar on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("warming up", total=ready.total)
        return ready.measure(lambda label: progress.update(task, advance=1, description=label))
