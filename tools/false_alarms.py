"""Does the audit cry wolf? 20 exact methods on 50 prompts, where every alarm would be a false one.

`python tools/false_alarms.py` re-decodes what they write at temperature 0 on the default model: the shipped
suite's prompts and, to make 50, problems of ParallelBench in text. Prints a JSON line: texts, ties, bugs,
alarms and seconds. Exit code 1 if there was an alarm.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import anyorder
from anyorder.audit.ours import Audit
from anyorder.audit.rows import rows_of
from anyorder.bench.entries import Plan
from anyorder.bench.suites import read_suite

METHODS = (
    "prompt_lookup,token_recycling,auto,lookahead,jacobi,merged,pooled,chained,suffix,template,sequoia,"
    "smartspec,quantized,skip_layers,early_exit,confidence,del,dyspec,specdec_pp,lexical_draft"
)
PROMPTS = 50


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--tokens", type=int, default=16, help="of each text at most")
    parser.add_argument("--temperature", type=float, default=0.0, help="above 0: draws, too")
    asked = parser.parse_args()
    plan = Plan(precision=asked.precision, max_tokens=asked.tokens, temperature=asked.temperature)
    rows = rows_of(asked.methods, plan)
    prompts = [*read_suite("quick"), *read_suite("parallelbench#text", 2)][: asked.prompts]
    work, start = Audit(anyorder.load(precision=asked.precision), rows, prompts, plan), time.perf_counter()
    verdicts = work.run(lambda label: print(".", end="", file=sys.stderr, flush=True), law=False)
    alarms = [verdict for verdict in verdicts if verdict.alarm]
    found = [verdict.greedy for verdict in verdicts if verdict.greedy]
    figures = {
        "methods": len(found), "prompts": len(prompts), "texts": sum(part.prompts for part in found),
        "equal": sum(part.equal for part in found), "ties": sum(part.ties for part in found),
        "bugs": sum(part.bugs for part in found), "alarms": [verdict.method for verdict in alarms],
        "unchecked": {verdict.method: verdict.why for verdict in verdicts if verdict.method in work.failed},
        "precision": asked.precision, "max_tokens": asked.tokens, "temperature": asked.temperature,
        "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip
    print(json.dumps(figures))
    return bool(alarms)


if __name__ == "__main__":
    sys.exit(main())
