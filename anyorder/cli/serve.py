"""`anyorder serve`: OpenAI-compatible endpoints, and the playground, over one model."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from anyorder.cli.start import quick_start

KEYS = "ANYORDER_API_KEYS"
NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    model: Annotated[str, typer.Option(help="short name, hub id, folder or GGUF file")] = "smollm2",
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0: all of this machine's")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on", min=1, max=65535)] = 8000,
    precision: Annotated[str, typer.Option(help="fp32, bf16, int8 or int4")] = "bf16",
    memory: Annotated[str | None, typer.Option(help="most memory of caches, such as 512MB")] = None,
    most: Annotated[int, typer.Option(help="texts decoded at once")] = 32,
    queue: Annotated[int, typer.Option(help="texts that may wait; more are refused")] = 128,
    timeout: Annotated[float, typer.Option(help="seconds a request may take")] = 300,
    max_tokens: Annotated[int, typer.Option(help="most tokens a text may ask for")] = 4096,
    api_key: Annotated[
        list[str] | None, typer.Option(help=f"clients must show one; may repeat; or {KEYS}, by comma")
    ] = None,
    grace: Annotated[float, typer.Option(help="seconds for what runs when told to stop")] = 30,
    as_json: Annotated[
        bool, typer.Option("--json", help="print JSON only: when ready, and at the end")
    ] = False,
) -> None:
    """Serve a model to OpenAI's clients, each request choosing its decoding method; playground at /."""
    needed()
    from anyorder.server import Settings
    from anyorder.server.listen import bound
    from anyorder.server.listen import serve as listen

    keys = (*(api_key or ()), *filter(None, os.environ.get(KEYS, "").split(",")))
    settings = Settings(most, queue, timeout, max_tokens, grace=grace, keys=keys)
    listening = bound(host, port)  # before seconds go into loading a model
    warned(host, keys)
    with quick_start():
        from anyorder.api import load
        from anyorder.server import create_app

        app = create_app(load(model, precision=precision, memory=memory), settings)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    ready = {"url": url, "model": model, "precision": precision, "api": f"{url}/v1", "pid": os.getpid()}
    print(
        json.dumps(ready) if as_json else f"{model} {precision} at {url}/v1, playground at {url}/", flush=True
    )
    listen(app, listening)
    counted = app.state.metrics.totals()
    print(json.dumps(ready | counted) if as_json else f"stopped after {counted['texts']} texts", flush=True)


def needed() -> None:
    """Raises UserError where the packages of a server are not installed."""
    from anyorder.errors import UserError

    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"serve needs {', '.join(missing)}, which is not here; run: pip install 'anyorder[server]'"
        )


def warned(host: str, keys: Sequence[str]) -> None:
    """Log to stderr, and say there if everybody is let in."""
    from anyorder.server.listen import loopback

    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    if not loopback(host) and not keys:
        print(f"warning: {host} is reached from outside and no --api-key is asked for", file=sys.stderr)
