"""Alone equals in company: `python tools/mixes.py [COUNT] [MODEL]`, fp32, prints one JSON line.

The mixes' cache is so small that requests are paused all the time.
"""

from __future__ import annotations

import json
import random
import sys

import anyorder
from anyorder.testing.mixes import unequal

CELLS = 190  # of the cache that the mixes share


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    name = sys.argv[2] if len(sys.argv) > 2 else None
    alone = anyorder.load(name, precision="fp32")
    mixed = anyorder.load(name, precision="fp32", memory=CELLS * alone.target.cell_bytes)
    rng, requests, wrong = random.Random(0), 0, []
    for done in range(count):
        compared, bad = unequal(alone, mixed, rng)
        requests, wrong = requests + compared, wrong + bad
        print(f"\r{done + 1}/{count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    figures = {"mixes": count, "requests": requests, "unequal": len(wrong), "pauses": mixed.cache.pauses}
    print(json.dumps({**figures, "wrong": wrong}))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
