"""`anyorder bench --cost` on the tiny checkpoint: table, plot, JSON, and where it is kept."""

from __future__ import annotations

import io
import json
from functools import partial

import pytest
from rich.console import Console

from anyorder.bench import costs
from anyorder.bench.entries import Plan
from anyorder.cli.main import main
from anyorder.engine import cost
from anyorder.errors import UserError

SAID = {
    "cost": [
        {"k": k, "batch": batch, "context": context, "ms": k * batch + context / 100}
        for context in (64, 512) for batch in (1, 16) for k in (1, 8, 64) if k * batch <= 256
    ],
    "net": "mine", "precision": "bf16", "hardware": {"cpu": "a processor", "threads": 2}, "versions": {},
    "file": "/somewhere/1.json",
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    """A short measuring, an empty cache, and no measuring of the bandwidth."""
    monkeypatch.setenv("ANYORDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cost, "measure", partial(cost.measure, limit=0.01))
    monkeypatch.setattr(costs.machine, "bandwidth", lambda: 1e9)


def shown(said) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    costs.show(said, console)
    return console.export_text()


def test_a_table_for_each_context_and_where_it_is_kept():
    text = shown(SAID)
    assert "mine bf16, a processor, 2 threads" in text.splitlines()[0]
    assert text.count("texts of ") == 2
    words = [line.split() for line in text.splitlines()]
    assert ["batch", "1", "8", "64"] in words
    assert ["1", "1.64", "8.64", "64.64"] in words
    assert ["16", "21.12", "133.12"] in words  # 64 cells of each were not measured
    assert words[-1] == ["kept", "in", "/somewhere/1.json"]
    assert "not kept: the cache folder cannot be written" in shown(SAID | {"file": None})


def test_files(tmp_path):
    files = costs.write(SAID, tmp_path)
    assert [file.name for file in files] == ["cost.json", "cost.png"]
    assert json.loads(files[0].read_text()) == SAID
    assert files[1].read_bytes().startswith(b"\x89PNG")


def test_what_is_said_is_what_is_kept(model):
    said = costs.figures(model.target, model.name, "fp32")
    kept = cost.known(model.target, model.name, "fp32")
    assert kept is not None
    assert said["file"] == str(cost.file_of(cost.facts(model.target, model.name, "fp32")))
    assert {(p["k"], p["batch"], p["context"]): p["ms"] for p in said["cost"]} == pytest.approx(
        {point: 1e3 * seconds for point, seconds in kept.seconds.items()}, abs=1e-3
    )
    assert {p["context"] for p in said["cost"]} <= {64, 512}  # the tiny net holds 1024 and no guess beyond


def test_it_is_measured_anew_and_not_kept_where_nothing_can_be(model, tmp_path, monkeypatch):
    before = costs.figures(model.target, model.name, "fp32")
    after = costs.figures(model.target, model.name, "fp32")
    assert before["file"] == after["file"]
    assert before["cost"] != after["cost"]
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("ANYORDER_CACHE", str(tmp_path / "taken"))
    assert costs.figures(model.target, model.name, "fp32")["file"] is None


def test_the_command(capsys, tiny_model_folder, tmp_path):
    call = ["bench", "--cost", "--model", str(tiny_model_folder), "--precision", "fp32"]
    with pytest.raises(SystemExit) as ended:
        main([*call, "--json", "--out", str(tmp_path / "out")])
    out, err = capsys.readouterr()
    assert not ended.value.code
    said = json.loads(out.splitlines()[-1])
    assert said.keys() == {"cost", "net", "precision", "hardware", "versions", "file", "quick"}
    assert said["quick"].keys() == said.keys() - {"quick"}
    assert "4-bit copy" in said["quick"]["net"]
    assert said["cost"][0].keys() == {"k", "batch", "context", "ms"}
    assert said["net"] == str(tiny_model_folder)
    assert json.loads((tmp_path / "out" / "cost.json").read_text()) == said
    assert (tmp_path / "out" / "cost.png").exists()
    assert "written: " in err
    assert "texts of 64 tokens" in err
    assert len(out.splitlines()) == 1
    with pytest.raises(SystemExit):
        main(call)
    assert "kept in" in capsys.readouterr().out


@pytest.mark.parametrize("given", [{"suite": "x"}, {"max_tokens": 9}, {"batch": 4}, {"methods": "jacobi"}])
def test_flags_that_cannot_matter_are_refused(given):
    flag = "--" + next(iter(given)).replace("_", "-")
    with pytest.raises(UserError, match=f"{flag} is given with --cost; .*; leave {flag} out"):
        costs.check(Plan(**given))
    costs.check(Plan(model="m", precision="fp32", out="o"))
