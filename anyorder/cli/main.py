"""The command `anyorder`. Each command is a file of its own and is imported when it is called.

Errors a user can cause end with one sentence on stderr and exit code 2, never with a traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

COMMANDS = {
    "generate": "decode a prompt, text appearing as it becomes true",
    "correct": "a recogniser's N-best lists: choose the likeliest, or let the model correct them",
    "methods": "every decoding method: what it is, its paper, exact or not, its options",
    "serve": "OpenAI-compatible endpoints and the playground, the method chosen by each request",
    "bench": "the plain loop and other methods side by side: speed, equality, tables, a plot",
    "audit": "is a decoder exact? laws, texts decoded again, draws against their law; ties told from bugs",
    "sweep": "the benchmark of many methods, models, suites and seeds, on a Ray cluster",
}

USAGE = "usage: anyorder COMMAND [OPTIONS]    (anyorder COMMAND --help says more)"


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    meet()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        sys.exit(0 if arguments else 2)
    if arguments[0] == "--version":
        from anyorder import __version__

        print(f"anyorder {__version__}")
        sys.exit(0)
    name, *rest = arguments
    if name not in COMMANDS:
        fail(f"unknown command {name!r}; commands are {', '.join(COMMANDS)}; see: anyorder --help")
    run(name, rest)


def meet() -> None:
    """Meet the other processes where torchrun started several; all but the first only follow."""
    if "WORLD_SIZE" not in os.environ:
        return
    from anyorder.errors import UserError
    from anyorder.nets.parallel import begin

    try:
        begin()
    except UserError as error:
        fail(str(error))


def overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(["anyorder: one engine for every way of decoding", "", USAGE, "", *lines])


def run(name: str, arguments: list[str]) -> None:
    """Parse the command's arguments and call it."""
    import typer

    from anyorder.errors import UserError

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name)(getattr(importlib.import_module(f"anyorder.cli.{name}"), name))
    command: Any = typer.main.get_command(app)
    try:
        sys.exit(command.main(arguments, prog_name=f"anyorder {name}", standalone_mode=False) or 0)
    except (UserError, FloatingPointError) as error:  # the second: a net answered NaN
        fail(str(error))
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer raises for wrong usage has it
            raise
        fail(f"{error.format_message().rstrip('.')}; see: anyorder {name} --help")


def fail(sentence: str) -> None:
    """Say what was seen, what is allowed and what to do; exit code 2."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
