"""`anyorder bench`: the plain loop and other methods, same process, same prompts; tables, JSON, a plot."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anyorder.bench.entries import FILLING, METHODS, PEERS
from anyorder.cli.start import quick_start

if TYPE_CHECKING:
    from rich.console import Console

    from anyorder.bench.entries import Entry, Plan
    from anyorder.bench.measure import Bench
    from anyorder.bench.record import Measured
    from anyorder.bench.replays import Replay
    from anyorder.bench.suites import Prompt

SUITE = "quick, parallelbench, or a file like Spec-Bench, HumanEval or GSM8K (docs: FILE#fenced, FILE#steps)"
ROWS = (
    "rows, by comma: name or name:option=value, in a value + is a comma; 'mix(a+b)': a batch whose prompts "
    "take methods a and b in turn, + only joins; all-speculative, all-diffusion: every one; all-caches: "
    f"every policy under every cache; peers: {', '.join(PEERS)}"
)


def bench(
    methods: Annotated[str | None, typer.Option(help=ROWS)] = None,
    suite: Annotated[str, typer.Option(help=SUITE)] = "quick",
    model: Annotated[str, typer.Option(help="short name, hub id, folder or GGUF file")] = "smollm2",
    precision: Annotated[str, typer.Option(help="of our weights, like fp32 or bf16")] = "bf16",
    max_tokens: Annotated[int, typer.Option(help="most tokens written for a prompt")] = 128,
    prompts: Annotated[int | None, typer.Option(help="only the first so many of each category")] = None,
    repeat: Annotated[int, typer.Option(help="times each prompt is measured; medians count")] = 1,
    batch: Annotated[int, typer.Option(help="prompts decoded side by side")] = 1,
    temperature: Annotated[
        str, typer.Option(help="0: the likeliest token; above: draws; T:SEED names their seed")
    ] = "0",
    out: Annotated[
        str | None, typer.Option(help="folder for report.html, bench.json, .md, .png, or cost.json, .png")
    ] = None,
    cost: Annotated[bool, typer.Option("--cost", help="instead: what a run costs, measured anew")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, tables on stderr")] = False,
) -> None:
    """The plain loop and each method in turn, same process, same prompts. An exact method whose text differs
    from the plain loop's by more than rounding gets no speed-up. Texts of suites with answers are judged when
    all is measured; HumanEval's programs run in a sandbox. Ctrl-C keeps what was measured. The processor's
    threads are torch's choice, or OMP_NUM_THREADS."""
    from rich.console import Console

    from anyorder.bench import report
    from anyorder.bench.entries import Plan, attention, drawing, entries, left_out
    from anyorder.bench.suites import read_suite

    heat, seed = drawing(temperature)
    plan = Plan(
        methods=methods or (FILLING if attention(model) else METHODS), suite=suite, model=model, batch=batch,
        precision=precision, max_tokens=max_tokens, prompts=prompts, repeat=repeat, temperature=heat,
        seed=seed, out=out,
    )  # fmt: skip
    if cost:
        return _cost(plan, as_json)
    rows, chosen = entries(plan), read_suite(suite, prompts, model)  # refuse before seconds go into loading
    folder, errors = report.check_folder(out) if out else None, Console(stderr=True)
    for reason in left_out(plan):
        errors.print(f"left out: {reason}", soft_wrap=True)
    ready = _ready(plan, rows, chosen, errors)
    measured = _measured(ready, errors)
    said = report.report(measured, ready.spell)
    report.show(said, errors if as_json else Console())
    if folder is not None:
        _written(report.write(said, folder, _replays(ready, measured, errors)))
    if as_json:
        print(json.dumps(said, ensure_ascii=False))
    if measured.stopped:
        raise typer.Exit(130)


def _written(files: list[Path]) -> None:
    print("written: " + ", ".join(map(str, files)), file=sys.stderr)


def _replays(ready: Bench, measured: Measured, errors: Console) -> list[Replay]:
    """What the page can replay; nothing if the user wants to stop."""
    from anyorder.bench.replays import replays

    if measured.stopped:
        return []
    with errors.status("recording what report.html replays"):
        return replays(ready, measured)


def _cost(plan: Plan, as_json: bool) -> None:
    """What a run of the model costs."""
    from rich.console import Console

    from anyorder.bench import costs, report

    costs.check(plan)
    folder, errors = report.check_folder(plan.out) if plan.out else None, Console(stderr=True)
    with errors.status("measuring what a run costs"), quick_start():
        said = costs.measured(plan)
    costs.show(said, errors if as_json else Console())
    if folder is not None:
        _written(costs.write(said, folder))
    if as_json:
        print(json.dumps(said, ensure_ascii=False))


def _ready(plan: Plan, rows: list[Entry], chosen: list[Prompt], errors: Console) -> Bench:
    """Everything loaded."""
    try:
        with quick_start():
            from anyorder.bench.measure import prepare

            ready = prepare(plan, rows, chosen)
        if ready.unpriced:
            with errors.status("measuring what runs cost, once for this machine"):
                ready.model.measure()
        return ready
    except KeyboardInterrupt:
        errors.print("stopped before the first prompt")
        raise typer.Exit(130) from None


def _measured(ready: Bench, errors: Console) -> Measured:
    """Measure under a progress bar on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("warming up", total=ready.total)
        return ready.measure(lambda label: progress.update(task, advance=1, description=label))
