"""The page and the example run as they are written, on a tiny model with random weights."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

import anyorder
from anyorder.constraints.rhyme import rhyming

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tiny(tiny_model_folder: Path, monkeypatch) -> anyorder.Model:
    model = anyorder.load(str(tiny_model_folder), precision="fp32")
    monkeypatch.setattr(anyorder, "load", lambda: model)
    return model


def test_the_page(tiny):
    text = (ROOT / "docs/constraints.md").read_text()
    space: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        lines = block.rstrip().splitlines()
        exec("\n".join(lines[:-1]), space)
        space["last"] = eval(lines[-1], space)
        if "person" in block:
            assert {"name", "age"} == set(json.loads(space["last"][0]))
    assert space["last"].isdigit()
    assert len(space["last"]) % 2 == 0
    options = {option.name for option in anyorder.registry.SHAPING}
    assert set(re.findall(r"--set '?\"?(\w+)=", text)) <= options


@pytest.mark.parametrize("word", ["night", "moon"])
def test_the_example(tiny, word, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rhyme.py", word])
    space = runpy.run_path(str(ROOT / "examples/rhyme.py"), run_name="__main__")
    last = re.findall(r"[a-z]+", capsys.readouterr().out.lower())[-1]
    assert last in rhyming(word, space["WORDS"])
