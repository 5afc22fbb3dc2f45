"""Rows of a benchmark of any-order models: groups, what is left out, and the canvas options of rows."""

import pytest

from anyorder import registry
from anyorder.bench.entries import Plan, attention, entries, left_out, named
from anyorder.errors import UserError

MODEL = "list-diffusion"


def test_groups_name_what_the_model_can_run():
    family = {name for name, card in registry.cards().items() if card.family == "diffusion"}
    assert set(named("all-diffusion", MODEL)) == family - {"wedlm"}
    assert attention(MODEL) == "full"
    (reason,) = left_out(Plan("all-diffusion", model=MODEL))
    assert reason == "wedlm needs a model of reordered attention, and list-diffusion's is full"
    assert not left_out(Plan("threshold", model=MODEL))


def test_every_policy_under_every_cache():
    rows = named("all-caches", MODEL)
    caches = {row.partition(":")[0] for row in rows}
    assert caches == {"prefix_cache", "dual_cache", "dkv_cache"}
    assert len(rows) == len(set(rows)) == 3 * len({row.partition("=")[2] for row in rows})
    assert "dual_cache:then=freedave" in rows
    assert "dkv_cache:then=slowfast/cache=false" in rows
    assert not [row for row in rows if "then=elastic" in row or "then=prophet" in row]


def test_the_plain_loop_is_static_and_canvas_options_end_the_claim():
    rows = entries(Plan("freedave,freedave:block=4,freedave:drafts=2,threshold", model=MODEL))
    assert [(row.label, row.claim) for row in rows] == [
        ("static", "text"), ("freedave", "text"), ("freedave:block=4", None), ("freedave:drafts=2", "text"),
        ("threshold", None),
    ]  # fmt: skip
    with pytest.raises(UserError, match="greedy has no option 'block'"):
        entries(Plan("greedy:block=4"))
