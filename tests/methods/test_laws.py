"""Every registered method passes the eight laws, at several values of its options."""

from pathlib import Path

import pytest

from anyorder import registry
from anyorder.testing import check_laws

GOLDEN = Path(__file__).parents[1] / "golden"
OPTIONS = {  # the first ones write the golden file
    "beam": [{}, {"width": 1}, {"width": 3, "length_penalty": 0.0, "stop": "full"}, {"stop": "never"}],
    "chained": [{}, {"drafters": "jacobi,lookahead"}],
    "draft_model": [{}, {"tokens": 1}, {"tokens": 2, "draw": "sampled"}],
    "early_exit": [{}, {"tokens": 2, "draw": "sampled"}],
    "jacobi": [{}, {"nodes": 1}, {"nodes": 12}],
    "lookahead": [{}, {"window": 5, "ngram": 2, "guesses": 1}, {"window": 1, "ngram": 5, "guesses": 4}],
    "merged": [{}, {"drafters": "lookahead,jacobi,prompt_lookup"}],
    "prompt_lookup": [{}, {"ngram": 1, "nodes": 2, "tie": "first"}, {"whole": True, "nodes": 3}],
    "raster": [{"width": 1}],
    "static": [{}, {"steps": 2}],
    "token_recycling": [{}, {"nodes": 1, "keep": False}, {"nodes": 80}],
}
CASES = [(name, options) for name in registry.cards() for options in OPTIONS.get(name, [{}])]


@pytest.mark.parametrize("name, options", CASES, ids=lambda x: x if isinstance(x, str) else str(x or ""))
def test_laws(name, options):
    first = options == OPTIONS.get(name, [{}])[0]
    report = check_laws(name, options=options, golden=GOLDEN / f"{name}.txt" if first else None)
    skipped = [f"law {law} {why}" for law, why in report.items() if why.startswith("does not apply")]
    print(name, options, *skipped, sep="; ")
    allowed = {2: ("row", True), 3: ("row", True)}  # only these two depend on canvas and card
    card = registry.card(name)
    for law, why in report.items():
        if why.startswith("does not apply"):
            assert law in allowed, f"law {law} was not applied: {why}"
            assert (card.canvas, card.exact) != allowed[law] or name == "greedy"
