"""The report on a cached run: what can be said beforehand."""

import pytest

from anyorder.bench.health import health
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.nets.adapter import Adapter
from anyorder.registry import build
from anyorder.testing import ToyTwoWay
from tests.nets.test_two_way import MASK
from tests.nets.test_two_way import net as model


def asked(name, net, budget=8, block=4, greedy=True, **options):
    """Makes new requests of the same kind on one net."""

    def make():
        method = build(name, options, Setting(greedy=greedy, vocab=net.vocab))
        canvas = Canvas([2, 0, 1], budget, mask=net.mask, block=block)
        return Request(canvas, method, {"target": net}, chance=Chance(4))

    return make


@pytest.mark.parametrize("greedy", [True, False])
def test_no_cache_is_in_perfect_health(greedy):
    found = health(asked("static", ToyTwoWay(), greedy=greedy))
    assert (found.runs, found.refreshes, found.fed) == (8, 8, 11.0)
    assert (found.off, found.same_top, found.same_text, found.healthy) == (0.0, 1.0, 1.0, True)


def test_dual_cache_refreshes_once_a_block():
    found = health(asked("dual_cache", ToyTwoWay(), then="static"))
    assert (found.runs, found.refreshes) == (8, 2)
    assert found.fed == (2 * 11 + 6 * 4) / 8
    assert found.off > 1e-6


def test_delayed_cache_refreshes_as_stated():
    found = health(asked("dkv_cache", ToyTwoWay(), block=8, refresh=3))
    assert (found.runs, found.refreshes) == (8, 4)  # steps 0, 1, 3, 6


def test_a_cache_that_changes_choices_is_not_healthy():
    """Kept for a whole canvas of a net whose states move much, what is said is often another token."""
    found = [health(asked("dkv_cache", ToyTwoWay(seed), 10, 10, variant="greedy", refresh=50, window=0))
             for seed in range(6)]  # fmt: skip
    assert min(one.same_top for one in found) < 0.99
    assert not all(one.healthy for one in found)
    assert min(one.same_text for one in found) < 1


def test_drift_counts_as_refresh():
    never, always = (
        health(asked("elastic_cache", model(Adapter(MASK)), window=3, threshold=2.0, drift=drift))
        for drift in (-1.0, 2.0)
    )
    assert (never.refreshes, always.refreshes) == (1, 8)
    assert always.off < 1e-10 < never.off
    assert always.same_text == 1
