"""Every registered method passes the eight laws, at several values of its options.

The values stand in the method's own test, as OPTIONS; the first ones write the golden file, the others are
slow.
"""

import ast
from pathlib import Path

import pytest

from anyorder import registry
from anyorder.testing import check_laws

TESTS = Path(__file__).parents[1]


def options(name):
    """OPTIONS of tests/**/test_NAME.py, read without running it."""
    for path in TESTS.rglob(f"test_{name}.py"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "OPTIONS":
                return ast.literal_eval(statement.value)
    return [{}]


CASES = [
    pytest.param(name, given, marks=[pytest.mark.slow] * (i > 0))
    for name in registry.cards()
    for i, given in enumerate(options(name))
]


@pytest.mark.parametrize("name, given", CASES, ids=lambda x: x if isinstance(x, str) else str(x or ""))
def test_laws(name, given):
    golden = TESTS / "golden" / f"{name}.txt" if given == options(name)[0] else None
    report = check_laws(name, options=given, golden=golden)
    skipped = [f"law {law} {why}" for law, why in report.items() if why.startswith("does not apply")]
    print(name, given, *skipped, sep="; ")
    allowed = {2: ("row", True), 3: ("row", True)}  # only these two depend on canvas and card
    card = registry.card(name)
    for law, why in report.items():
        if why.startswith("does not apply: stale"):
            assert not card.exact
        elif why.startswith("does not apply"):
            assert law in allowed, f"law {law} was not applied: {why}"
            assert (card.canvas, card.exact) != allowed[law] or name == "greedy"
