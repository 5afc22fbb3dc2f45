"""Any-order requests in the engine: policies and caches mixed in shared runs, each text as it is alone."""

from __future__ import annotations

import random

import anyorder

METHODS = (
    "static", "threshold", "freedave", "wino", "dual_cache", "dkv_cache", "elastic_cache", "learn2pd",
    "remdm", "dd_vla", "prophet", "edit", "klass", "random_order", "guided",
)  # fmt: skip
PROMPTS = (
    "reverse: Ann, Ben, Cid",
    "shuffle: Ann, Ben, Cid, Dan",
    "insert_random Zoe: Ann, Ben",
    "latin: A B C D",
)


def test_a_mix_of_policies_writes_what_each_writes_alone() -> None:
    model = anyorder.load("list-diffusion", precision="fp32")
    rng = random.Random(0)
    asked = [
        {"prompt": rng.choice(PROMPTS), "method": method, "temperature": rng.choice((0.0, 0.8)), "seed": seed}
        for seed, method in enumerate(METHODS * 2)
    ]
    for one in asked:
        one["block"] = rng.choice((4, 8, 16))
    alone = [model.generate(**one).token_ids for one in asked]
    with anyorder.Engine() as engine:
        tickets = [engine.submit(model.request(**one)) for one in asked]
        for ticket in tickets:
            for _ in ticket:
                pass
    assert [ticket.request.canvas.generated() for ticket in tickets] == alone
    assert model.filler is not None
    assert model.filler.used == 0
