"""Tries a server: `python tools/serving.py overhead | clients | soak | fuzz [FLAGS]`; each starts its own.

overhead  tokens per second at batch 1 against the same requests in this process, and the time until the first
          text against one prefill
clients   many clients at once, methods mixed, some of them going away: texts equal alone, memory as before
soak      steady load for long: whether memory or latency grow
fuzz      requests from the published OpenAPI, allowed and not: no 5xx, and every answer as published

Each prints readable lines, then one JSON line, and exits 1 if what it tries does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving_clients import clients
from serving_fuzz import fuzz
from serving_overhead import overhead
from serving_soak import soak


def flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable[..., dict[str, Any]], precision: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name)
        made.set_defaults(run=run)
        made.add_argument("--model", default="smollm2")
        made.add_argument("--precision", default=precision)
        made.add_argument("--serve", default="", help="more flags for the server, as one string")
        made.add_argument("--seed", type=int, default=0)
        return made

    one = command("overhead", overhead, "bf16")
    one.add_argument("--methods", default="greedy,token_recycling")
    one.add_argument("--lengths", default="16,128,512", help="of prompts, in tokens")
    one.add_argument("--max-tokens", type=int, default=64)
    one.add_argument("--repeats", type=int, default=7, help="of each pair, one side after the other")
    many = command("clients", clients, "fp32")
    many.add_argument("--clients", type=int, default=64)
    many.add_argument("--requests", type=int, default=20, help="of each client")
    many.add_argument("--warm-up", type=int, default=20, help="requests of each client before memory is read")
    many.add_argument("--max-tokens", type=int, default=24)
    many.add_argument("--leaving", type=float, default=0.15, help="share that goes away before the end")
    long = command("soak", soak, "bf16")
    long.add_argument("--minutes", type=float, default=30)
    long.add_argument(
        "--clients", type=int, default=8, help="at once, while the most the server can is found"
    )
    long.add_argument("--utilisation", type=float, default=0.6, help="share of the most that it can")
    long.add_argument("--warm-up", type=float, default=2, help="minutes of load before the first figure")
    long.add_argument("--window", type=float, default=10, help="seconds of one row of figures")
    long.add_argument("--max-tokens", type=int, default=24)
    long.add_argument("--out", type=Path, help="a CSV of the figures over time")
    odd = command("fuzz", fuzz, "fp32")
    odd.add_argument("--requests", type=int, default=5000)
    odd.add_argument("--minutes", type=float, default=20, help="at most")
    odd.add_argument("--max-tokens", type=int, default=16, help="that the server allows")
    return parser


def main() -> None:
    asked = vars(flags().parse_args())
    command, run = asked.pop("command"), asked.pop("run")
    asked["serve"] = tuple(asked["serve"].split())
    figures = run(**asked)
    print(json.dumps({"serving": command, **figures}))
    sys.exit(not figures["holds"])


if __name__ == "__main__":
    main()
