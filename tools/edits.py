"""What edits of states do to perplexity: `python tools/edits.py [--texts FILE ...] [--eta X ...]`.

Each text is read once frozen, once at each rate of hidden state optimization and once at each step of
recoding. A token counts by what was said of it before the edit that it gives rise to. One line for each
setting, and all of them as JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import anyorder
from anyorder.nets.edited import Edited, Frozen
from anyorder.nets.edits import SIGNALS, Optimized, Recoded, Rule
from anyorder.nets.load import load as load_checkpoint

ROOT = Path(__file__).parent.parent
TEXTS = ("docs/design.md", "docs/performance.md", "docs/corpora.md")


def surprises(net: Edited, text: list[int]) -> list[float]:
    """-log p of each token but the first."""
    return [
        -float(state.said.logits[0].log_softmax(-1)[token])
        for state, token in zip(net.read(text[:-1]), text[1:], strict=True)
        if state.said is not None
    ]


def settings(args: argparse.Namespace) -> Iterator[tuple[dict[str, object], Rule]]:
    yield {"method": "frozen"}, Optimized(0.0, args.window)
    for eta in args.eta:
        own = {"rate": eta, "window": args.window, "optimizer": args.optimizer}
        yield {"method": "hidden_state_optimization", **own}, Optimized(eta, args.window, args.optimizer)
    for step in args.step:
        own = {"step": step, "signal": args.signal, "where": args.where}
        yield {"method": "recoding", **own}, Recoded(step, args.signal, args.where)


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--texts", nargs="*", default=[str(ROOT / name) for name in TEXTS])
    parse.add_argument("--tokens", type=int, default=512, help="the most of each text")
    parse.add_argument("--model", default="smollm2")
    parse.add_argument("--window", type=int, default=128)
    parse.add_argument("--eta", type=float, nargs="*", default=[1e-3, 3e-3, 1e-2])
    parse.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    parse.add_argument("--step", type=float, nargs="*", default=[])
    parse.add_argument("--signal", choices=SIGNALS, default="surprisal")
    parse.add_argument("--where", choices=("all", "states", "top"), default="all")
    args = parse.parse_args()
    module, tokenizer = load_checkpoint(args.model, "fp32")
    frozen = Frozen(module)
    texts = [tokenizer(Path(name).read_text())["input_ids"][: args.tokens] for name in args.texts]
    rows = []
    for own, rule in settings(args):
        found = [surprises(Edited(frozen, rule), text) for text in texts]
        every = [x for one in found for x in one]
        each = [round(math.exp(sum(one) / len(one)), 3) for one in found]
        figures = {"perplexity": round(math.exp(sum(every) / len(every)), 3), "of_each_text": each}
        rows.append({**own, **figures})
        print(*(f"{name} {value}" for name, value in rows[-1].items()), sep="  ", flush=True)
    tokens = sum(len(text) - 1 for text in texts)
    print(json.dumps({"model": args.model, "version": anyorder.__version__, "tokens": tokens, "rows": rows}))


if __name__ == "__main__":
    main()
