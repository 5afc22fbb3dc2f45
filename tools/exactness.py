"""How exact verifiers are: the page `docs/exactness.md`, and what lossy methods do to real texts.

`python tools/exactness.py [METHOD ...]` writes the shipped suite's texts at temperature 0 with the plain loop
and with each lossy method, and prints one JSON line for each: how many texts are equal, which share of the
tokens stands before the first difference, tokens per run. Methods may have options: typical/epsilon=0.2
"""

from __future__ import annotations

import argparse
import json

import torch

import anyorder
from anyorder import registry
from anyorder.bench.suites import read_suite
from anyorder.card import KINDS
from anyorder.testing import table
from anyorder.testing.transport import bound

MEANING = """\
Every pair of guesses and verifier, proven or refuted by enumeration: a real run, real loop and real rules, on
nets of three tokens with trees of two levels, followed along every outcome with its exact weight. **text**:
at temperature 0 the greedy text; with `match` above it, plain sampling's text of the same seed. **law**: the
law of the text is the target's (total variation below 1e-6). *off by*: the largest total variation found, 0
for equal laws and 1 for disjoint ones; such a pair is refused when it is built, with a sentence.

`typical` and `reflective` are lossy methods of their own; the second number is their distance from the greedy
text at temperature 0. There every other verifier is `greedy`, whose law above temperature 0 would be off by
the number in brackets. The last two lines are drafters that say of themselves what is not true."""
ACCEPTED = """\
The probability that one of k guesses of the next token becomes text, for three tokens, target p = {p} and
drafter q = {q}, enumerated. `bound`, the sum of min(p, 1 - (1 - q)^k), is what no verifier of independent
guesses can exceed."""
SHOWN = (
    ("chain", "ratio", 1), ("iid", "residual", 4), ("iid", "k_seq", 4), ("iid", "match", 4),
    ("distinct", "residual", 3), ("point", "match", 3),
)  # fmt: skip
REAL = """\
On a real model: `python tools/exactness.py` prints for each lossy method how many texts of the shipped suite
are the plain loop's, and which share of the tokens stands before the first difference."""


def grid(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def verdict(verify: str, cell: table.Cell) -> str:
    if verify in table.LOSSY:
        return f"off by {cell.warm:.3f}, {cell.cold:.3f}"
    if verify == "greedy":
        return f"**{cell.verdict}** ({cell.warm:.3f})"
    return cell.verdict if cell.verdict.startswith("off") else f"**{cell.verdict}**"


def page(note: str) -> str:
    """All of it enumerated now, in ten seconds."""
    torch.set_num_threads(1)  # a law of three tokens is no work to share
    cells = [
        [kind, *(verdict(v, row[v]) if v in row else "" for v in table.VERIFIERS)]
        for kind, row in table.table().items()
    ]
    kept = [
        [kind, f"`{verify}`", *(f"{table.acceptance(kind, verify, k):.3f}" for k in range(1, most + 1))]
        for kind, verify, most in SHOWN
    ]
    kept.append(["iid", "bound", *(f"{bound(table.P, table.Q, k):.3f}" for k in range(1, 5))])
    return "\n".join([
        note, "# Exactness", "", MEANING, "",
        *grid(["guesses", *(f"`{v}`" for v in table.VERIFIERS)], cells), "",
        *(f"- {kind}: {what}" for kind, what in KINDS.items()), "",
        "## How much is accepted", "", ACCEPTED.format(p=table.P, q=table.Q), "",
        *grid(["guesses", "verifier", "k = 1", "2", "3", "4"], [row + [""] * (6 - len(row)) for row in kept]),
        "", REAL, "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("methods", nargs="*", default=table.LOSSY)
    parser.add_argument("--prompts", type=int, default=1000, help="of the suite at most")
    parser.add_argument("--tokens", type=int, default=64, help="of each text at most")
    asked = parser.parse_args()
    model, prompts = anyorder.load(), read_suite("quick")
    prompts = prompts[:: max(1, len(prompts) // asked.prompts)][: asked.prompts]
    given = {"max_tokens": asked.tokens, "temperature": 0}
    true = [model.generate(p.text, "greedy", chat=p.chat, **given).token_ids for p in prompts]
    for spec in asked.methods:
        name, options = registry.parsed(spec)
        made = [model.generate(p.text, name, chat=p.chat, **given, **options) for p in prompts]
        pairs = [(a.token_ids, b) for a, b in zip(made, true, strict=True)]
        same = [next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), len(b)) for a, b in pairs]
        figures = {
            "method": spec, "texts": len(prompts), "equal": sum(a == b for a, b in pairs),
            "before_first_difference": round(sum(same) / sum(map(len, true)), 4),
            "tokens_per_run": round(sum(len(a) for a, _ in pairs) / sum(a.runs for a in made), 3),
        }  # fmt: skip
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
