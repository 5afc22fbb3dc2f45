"""What drafting takes: the share of wall time that is not a net's run, over the first prompts of a suite.

.venv/bin/python tools/drafting.py prompt_lookup,token_recycling,suffix,aded,pooled,auto
"""

import sys
import time
from collections import deque

from anyorder.api import load
from anyorder.bench.suites import read_suite
from anyorder.core.decode import decode
from anyorder.nets.causal import Causal

model = load()
prompts = [(p.text, p.chat) for p in read_suite("quick", first=2)]
spent = 0.0
run = Causal.run


def timed(self, *given):
    global spent
    start = time.perf_counter()
    said = run(self, *given)
    spent += time.perf_counter() - start
    return said


Causal.run = timed  # type: ignore[method-assign]
print("method | ms per commit outside the nets | share of wall time")
for spec in ["greedy", *sys.argv[1].split(",")]:
    name, *options = spec.split(":")
    given = dict(option.split("=", 1) for option in options)
    model.memory = {}
    for _ in "ab":  # the second time counts
        wall, spent, commits = 0.0, 0.0, 0
        for text, chat in prompts:
            model.target.forget()
            request = model.request(text, name, max_tokens=128, chat=chat, **given)
            start = time.perf_counter()
            commits += sum(1 for _ in decode(deque([request])))
            wall += time.perf_counter() - start
    print(f"{spec} | {1e3 * (wall - spent) / commits:.2f} | {100 * (wall - spent) / wall:.1f} %")
