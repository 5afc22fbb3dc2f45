"""A corpus in the model's own words: `python tools/corpus.py SUITE OUT.jsonl --prompts 300`.

Table drafters (`aded`, `corpus_lookup`) guess best from text that the model itself would write. So let it
answer prompts of the domain, others than those that will be asked: one JSON line for each, `text`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import anyorder
from anyorder.bench.suites import read_suite


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("suite", help="quick, or a file like Spec-Bench, GSM8K, HumanEval")
    parser.add_argument("out", type=Path, help="the corpus; lines it has already are kept and not made again")
    parser.add_argument("--prompts", type=int, default=300, help="the first so many of each category")
    parser.add_argument("--max-tokens", type=int, default=192, help="most tokens written for a prompt")
    parser.add_argument("--model", default=None)
    parser.add_argument("--batch", type=int, default=8, help="prompts decoded side by side")
    given = parser.parse_args()
    prompts = read_suite(given.suite, given.prompts)
    done = len(given.out.read_text().splitlines()) if given.out.exists() else 0
    model = anyorder.load(given.model)
    with given.out.open("a") as out:
        for i in range(done, len(prompts), given.batch):
            chosen = [{"prompt": p.text, "chat": p.chat} for p in prompts[i : i + given.batch]]
            for result in model.batch(chosen, max_tokens=given.max_tokens):
                out.write(json.dumps({"text": result.text}) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
