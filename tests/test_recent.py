"""What was used last stays."""

from __future__ import annotations

import random

import pytest

import anyorder
from anyorder import api
from anyorder.recent import Recent


def test_it_holds_the_entries_used_last_like_a_list_that_is_searched() -> None:
    rng = random.Random(0)
    held: Recent[int, int] = Recent(most=5)
    order: list[int] = []
    for i in range(2000):
        key = rng.randrange(9)
        match rng.randrange(4):
            case 0:
                held[key] = i
            case 1:
                if held.get(key) is None:
                    continue
            case 2:
                held.setdefault(key, i)
            case _:
                assert (key in held) == (key in order), "a look is no use"
                continue
        order = [k for k in order if k != key] + [key]
        order = order[-5:]
        assert list(held) == order
    assert len(held) == 5


def test_schemas_and_nets_of_other_requests_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "KEPT", 8)
    monkeypatch.setattr(api, "NETS", 2)
    model = anyorder.load(precision="fp32")
    for i in range(12):
        model.request(
            "x", "greedy", json_schema={"type": "object", "properties": {f"a{i}": {"type": "string"}}}
        )
    for layer in range(3, 8):
        model.request("x", "early_exit", layer=layer)
    assert len(model.memory) <= 8
    assert len(model._others) <= 2
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    assert '"a"' in model.generate("JSON.", "early_exit", json_schema=schema, layer=5, max_tokens=12).text


def test_what_goes_is_told() -> None:
    gone: list[int] = []
    held: Recent[str, int] = Recent({"a": 1, "b": 2}, most=2, forget=gone.append)
    assert held["a"] == 1
    held["c"] = 3
    assert (list(held), gone, held.get("b", 0)) == (["a", "c"], [2], 0)
