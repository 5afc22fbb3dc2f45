"""Every wrong rule that the kit keeps is found by the audit, and no right one is."""

from __future__ import annotations

from functools import partial

import pytest

from anyorder import audit
from anyorder.audit.laws import checked
from anyorder.audit.verdict import EXACT, NOT_EXACT
from anyorder.card import Card
from anyorder.core.canvas import Canvas
from anyorder.methods.speculative import rules
from anyorder.testing import ToyCausal, table
from tests.testing import test_wrong_rules as wrong

CELLS = {"family": "diffusion", "canvas": "cells", "nets": ("target",), "cost": "1 run per cell"}
RULES = [  # builder, its card, laws that it breaks
    (wrong.stops_before_eos, {}, {2, 3}),
    (wrong.likeliest_with_q, {}, {3}),
    (wrong.draws_for_each_path, {}, {3}),
    (wrong.throws_away, {}, {3}),
    (wrong.counts_its_steps, {}, {1}),
    (wrong.Ticking(), {}, {4, 6}),
    (wrong.draws_elsewhere, {}, {6}),
    (wrong.writes_itself, {}, {5}),
    (wrong.never_ends, {}, {5}),
    (wrong.reuses, CELLS, {7}),
    (wrong.asks_twice, {}, {8}),
]


def named(case) -> str:
    return getattr(case, "__name__", type(case).__name__)


@pytest.mark.slow
@pytest.mark.parametrize("build, facts, laws", RULES, ids=lambda x: named(x) if callable(x) else "")
def test_every_wrong_rule_is_found(build, facts, laws):
    verdict = audit.of(build, wrong.card(**facts))
    assert verdict.verdict == NOT_EXACT
    assert verdict.alarm
    assert laws <= verdict.laws.keys()
    assert all(verdict.laws[law].startswith(f"law {law}, ") for law in verdict.laws)


def test_the_list_has_every_wrong_rule_of_the_kit():
    """A rule that is planted later has to be found, too."""
    kit = {
        name for name, made in vars(wrong).items()
        if callable(made) and getattr(made, "__module__", "") == wrong.__name__
    }  # fmt: skip
    planted = {named(build) for build, _, _ in RULES} | {
        "Follows",
        "Forgets",
    }  # the last two below, with nets
    assert {name for name in kit if not name.startswith("test_")} - planted == {
        "card",
        "caught_by",
        "read_for",
    }


@pytest.mark.slow
@pytest.mark.parametrize("net", [wrong.Follows, wrong.Forgets])
def test_wrong_caches_are_found(net):
    verdict = audit.of(
        "draft_model",
        nets=lambda card, vocab: {"target": net(0, vocab), "draft": ToyCausal(0, vocab, blur=0.5)},
    )
    assert verdict.alarm
    assert 1 in verdict.laws


@pytest.mark.slow
def test_an_end_of_text_looked_for_too_late_is_found(monkeypatch):
    right = Canvas._cut

    def late(self, row, token):
        keep, why = right(self, row, token)
        return (min(keep + 1, len(token)), why) if why == "eos" else (keep, why)

    monkeypatch.setattr(Canvas, "_cut", late)
    verdict = audit.of("draft_model")
    assert verdict.alarm
    assert {2, 5} <= verdict.laws.keys()


@pytest.mark.slow
def test_a_wrong_residual_is_found(monkeypatch):
    given = {"draw": "sampled", "tokens": 1, "verify": "residual"}
    assert audit.of("draft_model", options=given).verdict == EXACT
    monkeypatch.setattr(rules, "rest", lambda owed, q: (owed - q).softmax(-1))
    verdict = audit.of("draft_model", options=given)
    assert verdict.alarm
    assert verdict.laws.keys() == {3}
    assert verdict.sampling.tv > 1e-3


def built(kind, verify):
    """A pair of the exactness table as a builder."""
    drafter = (table.DRAFTS | table.LIES)[kind]
    return lambda setting: table.judged(drafter, "greedy" if setting.greedy else verify, setting.greedy)


def nets(made, card: Card, vocab: int):
    """The table's nets where law 3 enumerates; toy nets for the other laws."""
    if vocab == len(table.P):
        return made()
    return {"target": ToyCausal(0, vocab), "draft": ToyCausal(0, vocab, blur=0.5)}


@pytest.mark.slow
@pytest.mark.parametrize("verify", list(rules.RULES))
@pytest.mark.parametrize("kind", [*table.DRAFTS, *table.LIES])
def test_every_pair_of_the_exactness_table(kind, verify):
    """What the table refutes is found, and what it proves is not accused, under the worst of its nets."""
    off = table.cell(kind, verify).warm > table.CLOSE
    build, facts = built(kind, verify), wrong.card()
    found = [checked(build, facts, nets=partial(nets, made), chosen=[3]) for made in table.NETS]
    assert not any(one.unchecked for one in found)
    assert any(3 in one.broken for one in found) == off
