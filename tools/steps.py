"""How long one run over k cells takes: `python tools/steps.py [PRECISION]`, milliseconds, medians of 30."""

from __future__ import annotations

import json
import sys
import time
from statistics import median

import anyorder
from anyorder.core.canvas import Canvas
from anyorder.core.readers import every_argmax
from anyorder.core.types import Ask, chain

CELLS = (1, 4, 8, 16, 32)
CONTEXT, TIMES = 70, 30


def main() -> None:
    precision = sys.argv[1] if len(sys.argv) > 1 else "bf16"
    net = anyorder.load(precision=precision).target
    canvas = Canvas(list(range(100, 100 + CONTEXT)), 500)
    figures = {}
    for cells in CELLS:
        ask = Ask(every_argmax, guess=(chain(range(200, 200 + cells - 1)),))
        seconds = []
        for _ in range(TIMES + 1):  # the first one reads the context
            start = time.perf_counter()
            (answer,) = net([(ask, canvas)])
            answer.logits.argmax(-1)
            seconds.append(time.perf_counter() - start)
        figures[cells] = round(1e3 * median(seconds[1:]), 2)
    print(json.dumps({"precision": precision, "milliseconds": figures}))


if __name__ == "__main__":
    main()
