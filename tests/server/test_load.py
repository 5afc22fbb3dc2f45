"""A crowd of clients whose methods mix, some of which go away: each text is what the library writes alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from anyorder.testing.clients import Outcome, Plan, counted, crowd, tried, unequal
from tests.server.conftest import Running, running


@pytest.fixture(scope="module")
def busy(tiny_model: Any) -> Iterator[Running]:
    """Place for six texts, so that some of eight clients are refused now and then."""
    with running(tiny_model, most=4, queue=2) as made:
        yield made


def test_a_crowd_writes_what_each_writes_alone(busy: Running) -> None:
    plan = Plan(most=24, leaving=0.25)
    outcomes = asyncio.run(crowd(busy.url, 8, 4, plan))
    counts = counted(outcomes)
    assert not counts.get("other"), [o.wrong for o in outcomes if o.wrong]
    assert set(counts) == {"200", "cancelled", "refused"}
    assert counts["200"] + counts["cancelled"] == 32
    assert counts["200"] > 16
    assert counts["cancelled"], "nobody went away, so nothing was tried"
    assert counts["refused"], "nobody was refused, so nothing was tried"
    known: dict[str, str] = {}
    assert not unequal(busy.model, outcomes, known)
    assert busy.empties()


def test_a_wrong_text_is_seen(busy: Running) -> None:
    ask = {"prompt": "hello", "method": "greedy", "max_tokens": 3}
    wrong = Outcome(ask, status=200, text="no such text")
    assert unequal(busy.model, [wrong], {})[0]["got"] == "no such text"


def test_who_goes_away_is_no_error(busy: Running) -> None:
    ask = {"prompt": "hello", "method": "beam", "width": 8, "max_tokens": 400}

    async def gone(stream: bool) -> Outcome:
        async with httpx.AsyncClient(base_url=busy.url, timeout=60) as client:
            return await tried(client, ask, stream=stream, leave=1)

    for stream in (True, False):
        outcome = asyncio.run(gone(stream))
        assert outcome.cancelled
        assert not outcome.wrong
        assert busy.empties()
