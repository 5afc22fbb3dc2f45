"""`anyorder generate PROMPT`: text as it becomes true, then one line of figures."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anyorder.cli.start import quick_start

if TYPE_CHECKING:
    from anyorder.api import Model, Result
    from anyorder.core.decode import Request
    from anyorder.trace import Tracer


def generate(
    prompt: Annotated[str, typer.Argument(help="what to continue or answer; - reads standard input")],
    model: Annotated[str, typer.Option(help="short name, hub id, folder or GGUF file")] = "smollm2",
    method: Annotated[str, typer.Option(help="see: anyorder methods")] = "auto",
    set_: Annotated[list[str] | None, typer.Option("--set", help="an option, name=value; may repeat")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="most tokens written; 128, or the model's own")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0: the likeliest token; default: the method's")
    ] = None,
    seed: Annotated[int, typer.Option(help="of all draws")] = 0,
    stop: Annotated[list[str] | None, typer.Option(help="end before this string; may repeat")] = None,
    precision: Annotated[str, typer.Option(help="fp32, bf16, int8 or int4")] = "bf16",
    memory: Annotated[str | None, typer.Option(help="most memory of caches, such as 512MB")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="no chat template: continue the prompt itself")] = False,
    trace: Annotated[Path | None, typer.Option(help="write one JSON line per step to this file")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON only")] = False,
) -> None:
    """Decode a prompt, text appearing as it becomes true; then a line of figures."""
    options = parsed(set_ or [])
    text = asked_for(prompt)
    checked(method, options)  # before seconds go into loading a model

    with quick_start():
        from anyorder.api import load
        from anyorder.trace import Tracer

        tracer = Tracer(trace) if trace else None
        loaded = load(model, precision=precision, memory=memory)
    asked: dict[str, Any] = {
        **options, "max_tokens": max_tokens, "temperature": temperature, "seed": seed, "stop": stop or (),
        "chat": not raw,
    }  # fmt: skip
    request = loaded.request(text, method, **asked)
    if tracer:
        tracer.begin(loaded, request, method, text)
    start = time.perf_counter()
    shown = write(loaded, request, stop or (), tracer, show=not as_json)
    result = loaded.result(request, method, time.perf_counter() - start)
    if tracer:
        tracer.close(result.figures())
    if as_json:
        print(json.dumps(result.figures()))
        return
    print(result.text[len(shown) :])
    show_others(result)
    print(f"{said(result)}, {method}, {model} {precision}", file=sys.stderr)


def said(result: Result) -> str:
    """What it took, in words."""
    return (
        f"{result.tokens} tokens in {result.seconds:.2f} s: {result.tokens_per_second:.1f} tokens/s, "
        f"{result.tokens_per_run:.2f} tokens per run, {result.runs} runs"
    )


def show_others(result: Result) -> None:
    """The hypotheses behind the best one."""
    for place, (text, score) in enumerate(zip(result.texts[1:], result.scores[1:]), start=2):
        print(f"\n[{place}, score {score:.4g}, best {result.scores[0]:.4g}]\n{text}")


def write(loaded: Model, request: Request, stop: Sequence[str], tracer: Tracer | None, *, show: bool) -> str:
    """Decode the request, its text appearing as far as it is certain; what appeared."""
    from anyorder.core.decode import decode
    from anyorder.deltas import Deltas

    if request.canvas.mask is not None:
        fill_in_place(loaded, request, tracer, show=show)
        return ""
    deltas, shown = Deltas(loaded.tokenizer, request.canvas, stop), ""
    for event in decode([request], tracer.watch if tracer else None):
        if tracer:
            tracer.write(event)
        if show and (text := deltas.add(event).text):
            shown += text
            print(text, end="", flush=True)
    return shown


def fill_in_place(loaded: Model, request: Request, tracer: Tracer | None, *, show: bool) -> None:
    """Decode an any-order request; on a terminal its canvas fills in place and goes before the text comes."""
    from rich.console import Console
    from rich.live import Live

    from anyorder.cli.canvas import drawn
    from anyorder.core.decode import decode

    console = Console()
    with Live(console=console, transient=True, auto_refresh=False) as live:
        for event in decode([request], tracer.watch if tracer else None):
            if tracer:
                tracer.write(event)
            if show and console.is_terminal:
                fresh = set(event.written.at[0] if event.written.at else ())
                live.update(drawn(request.canvas, loaded.tokenizer, fresh), refresh=True)


def parsed(settings: list[str]) -> dict[str, str]:
    """Options from name=value strings."""
    from anyorder.errors import UserError

    options = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UserError(f"--set got {setting!r}; allowed is name=value; for example --set nodes=16")
        options[name] = value
    return options


def asked_for(prompt: str) -> str:
    """The prompt, or what stands on standard input. Raises UserError if there is none."""
    from anyorder.errors import UserError

    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise UserError("the prompt is empty; a prompt has at least one word; write something to continue")
    return text


def checked(method: str, options: dict[str, str]) -> None:
    """Refuse unknown methods, options and values before anything slow happens."""
    from anyorder import holes, registry
    from anyorder.errors import UserError

    try:
        if registry.card(method).canvas == "cells" or method == "auto":  # the model decides what auto is
            _, options = holes.taken(options)
        known = {option.name: option for option in registry.options(method)}
        _, own = registry.shaping(method, options)
        for name, value in own.items():
            if name in known:
                known[name].parse(value)
            else:
                registry.card(method).settle({name: value})
    except ValueError as error:
        hint = "" if "see:" in str(error) else f"; see: anyorder methods {method}"
        raise UserError(f"{error}{hint}") from error
