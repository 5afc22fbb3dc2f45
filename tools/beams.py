"""Our beam search beside transformers' on the same weights: `python tools/beams.py --prompts 50`.

Both decode every prompt in turn, in one process. A line tells each prompt's speeds and whether all hypotheses
and scores are equal; where they differ, a tie is a list of the same scores up to rounding, and a bug any
other. Prompts are the shipped suite's, then the first halves of them. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median
from typing import Any, NamedTuple

import torch

import anyorder
from anyorder.bench.entries import Plan
from anyorder.bench.peer import Stock
from anyorder.bench.suites import read_suite
from anyorder.core.decode import decode

EARLY = {"full": True, "bound": False, "never": "never"}  # our stop -> their early_stopping
ROUNDING = 1e-4  # of a score


class Found(NamedTuple):
    texts: list[list[int]]  # best first
    scores: list[float]
    seconds: float

    @property
    def speed(self) -> float:
        """Tokens of the best text a second."""
        return len(self.texts[0]) / self.seconds


def prompts(count: int) -> list[tuple[str, str, bool]]:
    """(name, text, whether it is put into the chat template)."""
    whole = [(p.id, p.text, p.chat) for p in read_suite("quick")]
    halves = [(f"{name}, first half", half(text), chat) for name, text, chat in whole]
    there = [*whole, *halves]
    if count > len(there):
        raise SystemExit(f"--prompts is {count}; allowed is 1 to {len(there)}; ask for fewer")
    return there[:count]


def half(text: str) -> str:
    words = text.split(" ")
    return " ".join(words[: (len(words) + 1) // 2])


def ours(model: Any, ids: list[int], given: argparse.Namespace) -> Found:
    model.target.forget()
    how = {"width": given.width, "length_penalty": given.length_penalty, "stop": given.stop}
    request = model.request(ids, "beam", max_tokens=given.max_tokens, **how)
    start = time.perf_counter()
    for _ in decode([request]):
        pass
    seconds = time.perf_counter() - start
    canvas = request.canvas
    order = sorted(range(len(canvas.rows)), key=lambda h: -canvas.score[h])
    return Found([canvas.generated(h) for h in order], [canvas.score[h] for h in order], seconds)


def theirs(stock: Stock, ids: list[int], given: argparse.Namespace, scored: bool = False) -> Found:
    """Their scores cost them a copy of every law, so the run that is timed goes without."""
    config = stock.config(
        max_new_tokens=given.max_tokens, num_beams=given.width, num_return_sequences=given.width,
        length_penalty=given.length_penalty, early_stopping=EARLY[given.stop],
        output_scores=scored, return_dict_in_generate=True,
    )  # fmt: skip
    start = time.perf_counter()
    text = torch.tensor([ids])
    out = stock.module.generate(text, attention_mask=torch.ones_like(text), generation_config=config)
    run = stock.run(out.sequences[:, len(ids) :].tolist(), start)
    return Found(run.tokens, out.sequences_scores.tolist() if scored else [], run.seconds)


def verdict(mine: Found, other: Found) -> str:
    apart = [abs(a - b) for a, b in zip(mine.scores, other.scores, strict=True)]
    if max(apart) > ROUNDING:
        return "bug"
    return "equal" if mine.texts == other.texts else "tie"


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--prompts", type=int, default=50)
    ask.add_argument("--max-tokens", type=int, default=64)
    ask.add_argument("--width", type=int, default=4)
    ask.add_argument("--length-penalty", type=float, default=1.0)
    ask.add_argument("--stop", choices=tuple(EARLY), default="bound")
    ask.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    given = ask.parse_args()
    model = anyorder.load(precision=given.precision)
    stock = Stock(Plan(precision=given.precision), model.eos)
    print("prompt | tokens | ours tokens/s | transformers tokens/s | ratio | hypotheses and scores")
    rows = []
    for i, (name, text, chat) in enumerate(prompts(given.prompts)):
        ids = model.encode(text, chat)
        for _ in range(1 + (i == 0)):  # the first prompt warms both up
            if i % 2:
                other, mine = theirs(stock, ids, given), ours(model, ids, given)
            else:
                mine, other = ours(model, ids, given), theirs(stock, ids, given)
        said = verdict(mine, theirs(stock, ids, given, scored=True))
        rows.append((mine.speed, other.speed, mine.speed / other.speed, said))
        figures = f"{mine.speed:.1f} | {other.speed:.1f} | {rows[-1][2]:.2f}"
        print(f"{name} | {len(mine.texts[0])} | {figures} | {said}", flush=True)
    speeds = [round(median(row[i] for row in rows), 3) for i in range(3)]
    counts = {kind: sum(row[3] == kind for row in rows) for kind in ("equal", "tie", "bug")}
    print(f"median | | {speeds[0]:.1f} | {speeds[1]:.1f} | {speeds[2]:.2f} | {counts}")
    figures = {"ours": speeds[0], "transformers": speeds[1], "ratio": speeds[2]}
    print(json.dumps({**vars(given), "threads": torch.get_num_threads(), **figures, **counts}))


if __name__ == "__main__":
    main()
