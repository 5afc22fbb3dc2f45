"""The page about correction shows what runs."""

import re
from pathlib import Path

import pytest

import anyorder
from anyorder.nbest.ways import WAYS

PAGE = (Path(__file__).parents[2] / "docs" / "correction.md").read_text()


def test_the_python_example_runs(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    load = anyorder.load
    monkeypatch.setattr(anyorder, "load", lambda: load(str(tiny_model_folder), precision="fp32"))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    assert "wer_o_cp" in capsys.readouterr().out


def test_every_way_is_explained() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(WAYS)
