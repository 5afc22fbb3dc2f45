"""The tiny checkpoint, loaded, and a tiny suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anyorder import api
from anyorder.bench.entries import Plan, entries
from anyorder.bench.measure import Bench
from anyorder.bench.suites import read_suite


@pytest.fixture(scope="session")
def model(tiny_model_folder: Path) -> api.Model:
    return api.load(str(tiny_model_folder), precision="fp32")


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four prompts of two categories."""
    file = tmp_path_factory.mktemp("suite") / "small.jsonl"
    prompts = [
        ("a", "red green red green red"),
        ("a", "one two one two"),
        ("b", "xyxyxy"),
        ("b", "to and fro"),
    ]
    lines = [
        {"question_id": i + 1, "category": category, "turns": [text, "and then?"]}
        for i, (category, text) in enumerate(prompts)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture
def make(model: api.Model, tiny_model_folder: Path, suite: Path):
    """A bench on the tiny checkpoint."""

    def bench(methods: str, **options) -> Bench:
        given = {
            "max_tokens": 12,
            "precision": "fp32",
            "suite": str(suite),
            "model": str(tiny_model_folder),
            **options,
        }
        plan = Plan(methods=methods, **given)
        return Bench(model, entries(plan), read_suite(plan.suite, plan.prompts), plan)

    return bench
