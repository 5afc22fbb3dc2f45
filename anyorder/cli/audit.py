"""`anyorder audit`: is this decoder exact? Ours, transformers', or one behind an address."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anyorder.cli.start import quick_start

if TYPE_CHECKING:
    from pathlib import Path

    from anyorder.audit.verdict import Verdict
    from anyorder.bench.entries import Plan

METHODS = (
    "by comma: name or name:option=value; all-speculative and the like; all: those that claim nothing, too; "
    "default: all that claim to be exact and need no further file"
)
AGAINST = "referee of others: transformers, or the address of an OpenAI-compatible endpoint"
TRANSFORMERS = "transformers"
KEY = "ANYORDER_API_KEY"  # goes to the endpoint, if it is set
FIRST, TOKENS = 1, 32  # of our own audit: prompts of each category, and most tokens of a text


def audit(
    methods: Annotated[str | None, typer.Option(help=METHODS)] = None,
    model: Annotated[
        str | None, typer.Option(help="short name, hub id, folder or GGUF file; of an endpoint: its name")
    ] = None,
    precision: Annotated[str, typer.Option(help="of our weights: fp32, bf16, int8 or int4")] = "bf16",
    suite: Annotated[
        str | None, typer.Option(help="of prompts, as for anyorder bench; default: quick")
    ] = None,
    prompts: Annotated[
        int | None, typer.Option(help=f"only the first so many of each category; default: {FIRST}")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="most tokens written for a prompt")] = TOKENS,
    temperature: Annotated[
        str, typer.Option(help="of the draws; 0: none are made; T:SEED names their seed")
    ] = "0.8",
    laws: Annotated[bool, typer.Option("--laws/--no-laws", help="the eight laws on toy nets, too")] = True,
    against: Annotated[str | None, typer.Option(help=AGAINST)] = None,
    plain: Annotated[
        str | None, typer.Option(help="the endpoint without speculation; default: the same address")
    ] = None,
    out: Annotated[str | None, typer.Option(help="folder for audit.json and audit.md")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, the table on stderr")] = False,
) -> None:
    """Laws on toy nets; texts of a real model decoded again one cell at a time, each divergence a tie of
    rounding or a bug; draws against their law. Exit code 1 if a method that claims to be exact is not. Ctrl-C
    keeps what was found. A key for an endpoint is taken from ANYORDER_API_KEY."""
    from anyorder.bench.entries import Plan, drawing
    from anyorder.errors import UserError
    from anyorder.folders import writable

    heat, seed = drawing(temperature)
    if plain and (not against or against == TRANSFORMERS):
        raise UserError("--plain names an endpoint and --against does not; give --against URL or no --plain")
    plan = Plan(
        methods=methods or "", model=model or Plan.model, precision=precision, suite=suite or Plan.suite,
        prompts=prompts or (None if suite else FIRST), max_tokens=max_tokens, temperature=heat, seed=seed,
        out=out,
    )  # fmt: skip
    folder = writable(out) if out else None
    if against is None:
        found, stopped = _ours(methods, plan, laws)
    else:
        found, stopped = _others(against, plain, model, plan, bool(suite or prompts)), False
    about = {"command": shlex.join(["anyorder", *sys.argv[1:]]), "stopped": stopped, **asdict(plan)}
    _tell(found, folder, _title(against, plan), about, laws and against is None, as_json)
    if any(verdict.alarm for verdict in found):
        raise typer.Exit(1)
    if stopped:
        raise typer.Exit(130)


def _tell(
    found: list[Verdict], folder: Path | None, title: str, about: dict[str, Any], checked: bool, as_json: bool
) -> None:
    """The table, the files and the JSON. `checked`: laws were applied."""
    from rich.console import Console

    from anyorder.audit import report

    report.show(found, Console(stderr=as_json), title, checked)
    if folder is not None:
        files = report.write(found, folder, title, about, checked)
        print("written: " + ", ".join(map(str, files)), file=sys.stderr)
    if as_json:
        print(json.dumps(report.figures(found), ensure_ascii=False))


def _title(against: str | None, plan: Plan) -> str:
    if against is not None:
        return f"audit of {against}"
    return f"audit of {plan.model} {plan.precision}, up to {plan.max_tokens} tokens of suite {plan.suite}"


def _ours(methods: str | None, plan: Plan, laws: bool) -> tuple[list[Verdict], bool]:
    """Our own methods; and whether the user stopped it."""
    from anyorder.bench.suites import read_suite

    with quick_start():
        from anyorder.api import load
        from anyorder.audit.ours import Audit
        from anyorder.audit.rows import rows_of

        rows = rows_of(methods, plan)  # refuse before seconds go into loading
        chosen = read_suite(plan.suite, plan.prompts, plan.model)
        loaded = load(plan.model, precision=plan.precision)
    work = Audit(loaded, rows, chosen, plan)
    with _progress(work.total if laws else work.total - len(rows)) as tell:
        return work.run(tell, laws), work.stopped


def _others(against: str, plain: str | None, model: str | None, plan: Plan, named: bool) -> list[Verdict]:
    """transformers' assisted generation, or an endpoint. `named`: the user chose the prompts. Of an endpoint
    of ours, the plan's methods are audited one after the other against its plain sampling."""
    from anyorder.bench.suites import read_suite

    given: dict[str, Any] = {"max_tokens": plan.max_tokens, "seed": plan.seed}
    if named:
        given["prompts"] = [prompt.text for prompt in read_suite(plan.suite, plan.prompts, plan.model)]
    names = [name.strip() for name in plan.methods.split(",") if name.strip()]
    with _progress(None) as tell:
        if against == TRANSFORMERS:
            from anyorder.audit import transformers_

            return transformers_.audit(
                model=plan.model, precision=plan.precision, only=names, tell=tell, **given
            )
        from anyorder.audit import endpoint

        fields: list[dict[str, str] | None] = [{"method": name} for name in names] or [None]
        beside = {"method": "sample"} if names and plain is None else None
        given |= {"model": model, "key": os.environ.get(KEY), "plain_body": beside, "tell": tell}
        given["seeded"] = bool(names)  # a server of ours writes one text for a seed
        return [found for body in fields for found in endpoint.audit(against, plain, body=body, **given)]


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr; gives what is told of each step. `total` None: not known."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=total)
        yield lambda label: progress.update(task, advance=1, description=label)
