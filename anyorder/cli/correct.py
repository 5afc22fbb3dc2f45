"""`anyorder correct FILE`: N-best lists to one text each, as JSON lines, then word error rates."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anyorder.cli.generate import checked, parsed
from anyorder.cli.start import quick_start
from anyorder.errors import UserError

if TYPE_CHECKING:
    from anyorder.nbest import Corrected, NBest

WAYS = "first, choose, channel, zero_shot, few_shot or tuned"  # tests hold it to `nbest.ways.WAYS`
SET = (
    "an option, name=value; may repeat: batch, seed, gate, shots, context, per_token, beta, rate, "
    "candidates, or one of the method's"
)


def correct(
    file: Annotated[str, typer.Argument(help="N-best lists, JSON lines; - reads standard input")],
    way: Annotated[str, typer.Option(help=WAYS)] = "choose",
    model: Annotated[str, typer.Option(help="short name, hub id, folder or GGUF file")] = "smollm2",
    method: Annotated[str, typer.Option(help="for ways that write; see: anyorder methods")] = "auto",
    set_: Annotated[list[str] | None, typer.Option("--set", help=SET)] = None,
    n: Annotated[int, typer.Option(help="hypotheses of a list that count")] = 5,
    weight: Annotated[
        float | None, typer.Option(help="choose: share of the recogniser's score; default 0.5 if there")
    ] = None,
    examples: Annotated[str | None, typer.Option(help="few_shot: a file of lists with references")] = None,
    normalize: Annotated[
        str, typer.Option(help="before words are counted: none, basic, english")
    ] = "english",
    precision: Annotated[str, typer.Option(help="fp32, bf16, int8 or int4")] = "bf16",
    out: Annotated[Path | None, typer.Option(help="write the lines to this file")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="figures as the last line of stdout, JSON")] = False,
) -> None:
    """Choose among a recogniser's hypotheses, or correct them; one JSON line for each list, then a line of
    figures. Word error rates if the lists have references."""
    from anyorder import nbest
    from anyorder.nbest import ways

    options: dict[str, Any] = parsed(set_ or [])
    own, rest = ways.settled(way, options)  # refuse before seconds go into loading a model
    checked(method, rest)
    lists = nbest.read(file, n, own["seed"])
    solved = nbest.read(examples, n, own["seed"]) if examples else None
    asked = {"method": method, "weight": weight, "examples": solved, **options}
    ways.planned(lists, way, **asked)
    _ready(way, model, out, normalize, any(one.reference is not None for one in lists))
    loaded = None if way == "first" else _loaded(model, precision)

    made: list[Corrected] = []
    hidden = out is None and sys.stdout.isatty()  # the lines themselves show how far it is
    with _opened(out) as target:
        for one in _shown(ways.corrected(loaded, lists, way, **asked), len(lists), way, hidden):
            made.append(one)
            print(json.dumps(one.line(), ensure_ascii=False), file=target, flush=True)
    said = {"way": way, "model": model if loaded else None, **_figures(lists, made, normalize)}
    if as_json:
        print(json.dumps(said))
    else:
        print(sentence(said), file=sys.stderr)


def sentence(said: dict[str, Any]) -> str:
    """The line of figures."""
    line = f"{said['lists']} lists, {said['changed']} changed"
    if said["gated"]:
        line += f", {said['gated']} refused by the gate"
    if said.get("wer_first") is not None:
        rates = {name: f"{100 * said[f'wer_{name}']:.1f} %" for name in ("first", "result", "o_nb", "o_cp")}
        line += (
            f"; word error rate {rates['result']}, of the first hypothesis {rates['first']}, of the best "
            f"{rates['o_nb']}, of the best made of their words {rates['o_cp']}; {said['better']} better, "
            f"{said['worse']} worse"
        )
    return f"{line}; {said['way']}" + (f", {said['model']}" if said["model"] else "")


def _ready(way: str, model: str, out: Path | None, normalize: str, references: bool) -> None:
    """Refuse what would end the command after its work is done."""
    from anyorder.nbest.wer import normaliser, word_errors

    if way == "tuned" and model == "smollm2":
        raise UserError(
            "way tuned needs a checkpoint that was trained for it; give its folder by --model; one is made "
            "by: python -m anyorder.recipes.ger"
        )
    normaliser(normalize)
    if references:
        word_errors("a", "a")
    with _opened(out, "a"):
        pass


def _loaded(model: str, precision: str) -> Any:
    with quick_start():
        from anyorder.api import load

        return load(model, precision=precision)


def _opened(out: Path | None, mode: str = "w") -> Any:
    """The file, or standard output, which stays open."""
    from contextlib import nullcontext

    if out is None:
        return nullcontext(sys.stdout)
    try:
        return out.expanduser().open(mode, encoding="utf-8")
    except OSError as error:
        raise UserError(f"file {out} cannot be written ({error.strerror}); give another to --out") from error


def _shown(found: Iterator[Corrected], total: int, way: str, hidden: bool) -> Iterator[Corrected]:
    """The same, under a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    progress = Progress(
        *columns, console=console, transient=True, redirect_stdout=False,
        disable=hidden or not console.is_terminal,
    )  # fmt: skip
    with progress:
        task = progress.add_task(way, total=total)
        for one in found:
            yield one
            progress.update(task, advance=1)


def _figures(lists: Sequence[NBest], made: Sequence[Corrected], normalize: str) -> dict[str, Any]:
    from anyorder.nbest.wer import figures

    return figures(lists, made, normalize)
