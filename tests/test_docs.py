"""The examples people are shown work as shown."""

import re
import types
from itertools import pairwise
from pathlib import Path

import pytest

import anyorder
from anyorder import registry
from anyorder.api import load
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.testing import ToyCausal, check_laws

ROOT = Path(__file__).parent.parent


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_the_worked_example_is_a_method_that_passes_the_laws() -> None:
    module = types.ModuleType("no_stutter")
    exec(compile(blocks("docs/adding-a-method.md")[0], "no_stutter", "exec"), module.__dict__)
    report = check_laws(module.no_stutter, module.CARD)
    assert report
    canvas, net = Canvas([1, 2], 30), ToyCausal()
    method = module.no_stutter(Setting(), **module.CARD.settle({"times": 2}))
    for _ in decode([Request(canvas, method, {"target": net})]):
        pass
    text = canvas.generated()
    assert all(a != b for a, b in pairwise(text))


def test_the_readme_s_python_example_runs(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(anyorder, "load", lambda: load(str(tiny_model_folder), precision="fp32"))
    space: dict = {}
    exec(blocks("README.md")[0], space)
    exec(blocks("README.md")[1], space)
    assert "tokens" in dir(space["answer"])
    assert len(space["both"]) == 2
    assert capsys.readouterr().out


def test_the_examples_of_any_order_run(capsys) -> None:
    (shown,) = [block for block in blocks("README.md") if "list-diffusion" in block]
    exec(shown, {"anyorder": anyorder})
    assert capsys.readouterr().out.startswith("Cid Ben Ann\n")
    space: dict = {}
    exec(blocks("docs/diffusion.md")[0], space)
    assert "Cid Ben Ann" in capsys.readouterr().out
    model = space["model"]
    assert model.generate("copy: Ann, Ben, Cid", template="Ann <2> Dan").text == "Ann Ben Cid Dan"
    assert set(model.generate("shuffle: Ann, Ben", grammar='start: ("Ann" | "Ben")+').text.split()) <= {
        "Ann",
        "Ben",
    }


def test_the_readme_shows_the_loop_that_runs() -> None:
    (shown,) = [block for block in blocks("README.md") if "def autoregressive" in block]
    code = "".join(
        (ROOT / "anyorder/methods" / file).read_text()
        for file in ("autoregressive/greedy.py", "speculative/speculative.py")
    )
    lines = [line.split("#")[0].strip() for line in shown.splitlines()]
    lines = [words for words in lines if words.startswith(("token", "yield", "trees", "paths", "drafter"))]
    assert len(lines) >= 5
    assert all(words in code for words in lines), lines


def test_every_method_has_a_page_and_the_pages_name_real_methods() -> None:
    pages = {page.stem for page in (ROOT / "docs/methods").glob("*.md")}
    assert pages == set(registry.cards())
