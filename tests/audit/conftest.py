"""The tiny checkpoint, loaded, and a few short prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyorder import api
from anyorder.bench.suites import Prompt

WORDS = ("red green red green red", "one two one two", "xyxyxy", "to and fro")


@pytest.fixture(scope="package")
def tiny(tiny_model_folder: Path) -> api.Model:
    return api.load(str(tiny_model_folder), precision="fp32")


@pytest.fixture(scope="package")
def prompts() -> list[Prompt]:
    return [Prompt(str(i), "short", text) for i, text in enumerate(WORDS)]
