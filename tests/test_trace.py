"""Traces replay to the text they are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import anyorder
from anyorder.core.decode import decode
from anyorder.errors import UserError
from anyorder.trace import FORMAT, Steps, Tracer, read


@pytest.fixture(scope="module")
def model() -> Any:
    return anyorder.load(precision="fp32")


def traced(model: Any, path: Path, method: str, prompt: str, **options: Any) -> Any:
    request, tracer = model.request(prompt, method, **options), Tracer(path)
    tracer.begin(model, request, method, prompt)
    for event in decode([request], tracer.watch):
        tracer.write(event)
    result = model.result(request, method, 1.0)
    tracer.close(result.figures())
    return result


def replayed(steps: list[dict[str, Any]]) -> list[str]:
    """The rows that the steps spell."""
    rows = [""]
    for step in steps:
        before = rows
        rows = rows + [""] * (max((part["row"] for part in step["committed"]), default=0) + 1 - len(rows))
        for part in step["committed"]:
            rows[part["row"]] = before[part["parent"]] + "".join(part["texts"])
    return rows


@pytest.mark.parametrize("method", ("greedy", "prompt_lookup", "token_recycling", "beam"))
def test_the_steps_of_a_trace_spell_its_text(model: Any, tmp_path: Path, method: str) -> None:
    prompt = "Repeat: café 🙂 naïve 🙂 café. Once more: café 🙂"
    result = traced(model, tmp_path / "t.jsonl", method, prompt, max_tokens=24)
    first, steps, end = read(tmp_path / "t.jsonl")
    assert first["method"] == method
    assert first["prompt"] == prompt
    assert end == json.loads(json.dumps(result.figures()))
    assert result.text.rstrip("\ufffd") in replayed(steps)
    assert [s["step"] for s in steps] == list(range(len(steps)))
    assert len([a for s in steps for a in s["asked"] if a["net"] == "target"]) == result.runs


def test_accepted_guesses_name_their_drafter_and_the_rest_is_the_targets(model: Any, tmp_path: Path) -> None:
    prompt = "one two three four one two three four one two three"
    options = {"max_tokens": 24, "chat": False}
    traced(model, tmp_path / "t.jsonl", "prompt_lookup", prompt, **options)
    _, steps, _ = read(tmp_path / "t.jsonl")
    seen = set()
    for step in steps:
        (part,) = step["committed"]
        guess = step["asked"][-1]["rows"][0]["guess"]
        for place, (by, token) in enumerate(zip(part["by"], part["token"], strict=True)):
            seen.add(by)
            if place < len(part["accepted"]):
                assert by == guess[part["accepted"][place]]["by"] == "prompt_lookup"
                assert token == guess[part["accepted"][place]]["token"]
            else:
                assert by == "own"
        assert all(0 < p <= 1 for p in part["probability"])
    assert seen == {"own", "prompt_lookup"}


def test_cells_count_from_the_end_of_the_prompt_and_reopened_ones_are_null(tmp_path: Path) -> None:
    lists = anyorder.load("list-diffusion", precision="fp32")
    prompt = "shuffle: Ann, Ben, Cid, Dan"
    result = traced(lists, tmp_path / "t.jsonl", "remdm", prompt, seed=3, temperature=1.0)
    first, steps, _ = read(tmp_path / "t.jsonl")
    row: list[str | None] = [None] * first["cells"]
    hole = False
    for step in steps:
        for part in step["committed"]:
            assert set(part["by"]) <= {"step"}
            for cell, text in zip(part["at"], part["texts"], strict=True):
                row[cell] = text
                hole |= text is None
    assert first["canvas"] == "cells"
    assert " ".join(text for text in row if text) == result.text
    assert hole, "remdm opens cells again"


def test_other_versions_and_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    later = json.dumps({"anyorder_trace": FORMAT + 1})
    cases = {later: f"version {FORMAT + 1}", "[]\n": "unknown", "no json": "is no trace", "": "unknown"}
    for text, said in cases.items():
        file.write_text(text)
        with pytest.raises(UserError, match=said):
            read(file)
    with pytest.raises(UserError, match="is no trace"):
        read(tmp_path / "missing.jsonl")


def test_a_record_is_of_its_own_request_alone(model: Any) -> None:
    """Two requests in one loop, each with its own steps."""
    requests = [model.request(f"Count to {n}.", "greedy", max_tokens=4) for n in (3, 5)]
    steps = {request: Steps(model.tokenizer) for request in requests}
    said: dict[Any, str] = dict.fromkeys(requests, "")
    for event in decode(requests, lambda r, ask, answer: steps[r].watch(r, ask, answer)):
        record = steps[event.request].step(event)
        assert len(record["asked"]) == 1
        said[event.request] += "".join(record["committed"][0]["texts"])
    for request in requests:
        assert said[request] == model.spell(request.canvas)
