"""The registry: cards read without running files, names found, outside methods through an entry point."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from anyorder import registry
from anyorder.card import Card, Setting
from anyorder.testing import check_laws, subject

FILES = [p for p in [*registry.HERE.glob("methods/*/*.py"), *registry.HERE.glob("drafters/*.py")]
         if registry.read_card(p)]  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_cards_read_are_the_modules_own(path):
    dotted = ".".join(path.relative_to(registry.HERE.parent).with_suffix("").parts)
    module = importlib.import_module(dotted)
    assert registry.read_card(path) == module.CARD == registry.card(path.stem.rstrip("_"))
    parameters = list(inspect.signature(registry.builder(path.stem.rstrip("_"))).parameters)
    assert parameters == ["setting", *(option.name for option in module.CARD.options)]


def test_every_file_has_one_name():
    assert len(FILES) == len({p.stem for p in FILES}) > 10
    assert [p.stem for p in FILES if p.parent.name != "drafters"] != []
    for path in FILES:
        kind = registry.card(path.stem.rstrip("_")).kind
        assert bool(kind) == (path.parent.name == "drafters")


@pytest.mark.parametrize("name", registry.cards())
def test_defaults_are_allowed(name):
    settled = registry.card(name).settle({})
    assert registry.card(name).settle(settled) == settled
    assert callable(registry.build(name, {}, Setting(vocab=13)))


@pytest.mark.parametrize(
    "name, near", [("gredy", "greedy"), ("prompt-lookup", "prompt_lookup"), ("beams", "beam")]
)
def test_unknown_names(name, near):
    sentence = f"unknown method '{name}'; did you mean '{near}'\\? see: anyorder methods"
    for ask in (registry.card, registry.builder, lambda n: registry.build(n, {}, Setting())):
        with pytest.raises(ValueError, match=sentence):
            ask(name)
    with pytest.raises(ValueError, match="unknown method 'qqq'; see: anyorder methods"):
        registry.card("qqq")


def test_options_are_the_cards_and_the_verifier():
    def names(method):
        return [option.name for option in registry.options(method)]

    assert names("greedy") == []
    assert names("jacobi") == ["nodes", "verify"]
    with pytest.raises(ValueError, match=r"verify is 'hope'; allowed is auto | greedy"):
        registry.build("jacobi", {"verify": "hope"}, Setting())
    with pytest.raises(ValueError, match="method jacobi has no option 'node'; its options: nodes"):
        registry.build("jacobi", {"node": 1}, Setting())


def test_files_without_a_card(tmp_path):
    (tmp_path / "plain.py").write_text("import nothing_that_exists\nx = 1\n")
    assert registry.read_card(tmp_path / "plain.py") is None
    card = "Card(name='{}', family='search', paper='', exact=False, summary='', cost='')"
    text = f"import nothing_that_exists\nCARD = {card}"
    (tmp_path / "mine.py").write_text(text.format("mine"))
    assert registry.read_card(tmp_path / "mine.py").name == "mine"
    (tmp_path / "mine.py").write_text(text.format("other"))
    with pytest.raises(AssertionError, match="named like its file"):
        registry.read_card(tmp_path / "mine.py")


OUTSIDE = '''
"""Two tokens a step is a lie: this is the plain loop under another name."""
from anyorder.card import Card
from anyorder.core.readers import argmax, sample
from anyorder.core.types import Ask, Commit

CARD = Card(name="outsider", family="autoregressive", paper="none", exact=True, summary="the plain loop",
            cost="1 target run per token, 1 cell each")


def outsider(setting):
    def method(canvas):
        while True:
            token = yield Ask(argmax if setting.greedy else sample)
            yield Commit([[t] for t in token])
    return method
'''


@pytest.fixture
def entry(monkeypatch):
    """Installs a module as an entry point of the group, for one test."""

    def install(name, value):
        module = types.ModuleType("outside_of_anyorder")
        if isinstance(value, str):
            exec(value, module.__dict__)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        point = EntryPoint(
            name, module.__name__ if isinstance(value, str) else f"{module.__name__}:thing", registry.GROUP
        )
        module.thing = value

        def fake(group, name=None):
            return [point] if group == registry.GROUP and name in (None, point.name) else []

        monkeypatch.setattr(registry, "entry_points", fake)
        for cached in (registry.cards, registry._outside, registry.builder):
            cached.cache_clear()

    yield install
    monkeypatch.undo()
    for cached in (registry.cards, registry._outside, registry.builder):
        cached.cache_clear()


def test_outside_method(entry):
    entry("outsider", OUTSIDE)
    assert isinstance(registry.cards()["outsider"], Card)
    assert set(check_laws("outsider")) == set(range(1, 9))
    prompt = [0, 1, 2]
    assert subject("outsider").run(prompt, 9).texts == subject("greedy").run(prompt, 9).texts


def test_outside_thing_that_is_no_method(entry):
    entry("outsider", 42)
    with pytest.raises(
        ValueError, match=r"entry point 'outsider' of anyorder.methods loads to 42; it must be"
    ):
        registry.cards()


def test_files_are_found_without_being_run():
    """No method is imported to list the cards: reading them must not need torch."""
    import subprocess

    code = "import sys; from anyorder import registry; registry.cards(); print('torch' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert out.stdout.strip() == "False", out.stderr


def test_a_method_inside_another_writes_from_left_to_right():
    with pytest.raises(ValueError, match="static fills cells in any order"):
        registry.build("momentum", {"then": "static"}, Setting(vocab=13))
    assert callable(registry.build("momentum", {"then": "prompt_lookup/nodes=2"}, Setting(vocab=13)))


def test_a_method_s_own_options_go_before_those_of_shaping():
    """Typical acceptance has an epsilon of its own, which is not the cutoff that other methods take."""
    assert registry.shaping("typical", {"epsilon": 0.2})[1] == {"epsilon": 0.2}
    assert registry.shaping("sample", {"epsilon": 0.2}) == ({"temperature": 1.0, "epsilon": 0.2}, {})


@pytest.mark.parametrize(
    "method, options, said",
    [
        ("corpus_lookup", {"corpus": "/etc/passwd"}, "option corpus"),
        ("draft_model", {"draft": "some/model"}, "option draft"),
        ("token_recycling", {"matrix": "m.npy"}, "option matrix"),
        ("merged", {"drafters": "prompt_lookup,(corpus_lookup/corpus=x)"}, "option corpus"),
        ("contrastive_decoding", {"second": "/models/x"}, "exit:"),
        ("momentum", {"then": "(corpus_lookup/corpus=x)"}, "option corpus"),
        ("best_of_n", {"scorer": "python/file=x.py"}, "option file"),
        ("best_of_n", {"scorer": "weighted/of=2*(python/file=x.py)+1*(likelihood)"}, "option file"),
        ("best_of_n", {"scorer": "examples"}, "runs code"),
        ("self_consistency", {"answer": "(a+)+$"}, "number | line"),
        ("early_exit", {"layer": 10**6}, "1024 at most"),
    ],
)
def test_what_names_this_machine_is_refused_to_those_who_are_not_trusted(
    method: str, options: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        registry.build(method, options, Setting(trusted=False, encode=lambda text: [1]))


def test_what_stays_inside_the_request_is_taken() -> None:
    for method, options in (("contrastive_decoding", {"second": "exit:4"}), ("token_recycling", {})):
        registry.build(method, options, Setting(trusted=False, layers=8, vocab=99))
