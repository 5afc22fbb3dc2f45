"""The benchmark on a tiny checkpoint: equality, the gate, rows, reports, the command."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from anyorder.bench import machine, report
from anyorder.bench.entries import METHODS, Plan, drawing, entries
from anyorder.bench.measure import Bench
from anyorder.bench.rows import rows
from anyorder.cli.bench import bench
from anyorder.errors import UserError
from anyorder.methods.speculative import speculative

ROW = {
    "method", "tokens_per_second", "speedup", "speedup_overall", "tokens_per_run", "runs", "cells", "prompts",
    "equal", "ties", "bugs", "exact", "claim", "precision", "roofline", "by_category", "divergences",
}  # fmt: skip


def lenient(answer, chance):
    """A wrong rule: every guess of a chain is accepted."""
    last = answer.logits.argmax(-1).tolist()
    return [[*lines.tree.token, last[lines.start + len(lines.tree)]] for lines in answer.rows]


def by_name(measured, spell=str):
    return {row["method"]: row for row in rows(measured, spell)}


# rows asked for ---------------------------------------------------------------------------------------------


def test_rows_as_they_are_named():
    plan = Plan(
        "token_recycling:nodes=16:keep=false,greedy,merged:drafters=prompt_lookup+jacobi,transformers"
    )
    plain, recycling, merged, peer = entries(plan)
    assert (plain.label, plain.claim) == ("greedy", "text")
    assert recycling.options == {"nodes": 16, "keep": False}
    assert recycling.label == "token_recycling:nodes=16:keep=false"
    assert merged.options == {"drafters": "prompt_lookup,jacobi"}
    assert (peer.peer, peer.exact, peer.claim) == (True, False, None)


def test_what_is_claimed_when_sampling():
    plan = Plan("greedy,jacobi,jacobi:verify=residual,beam", temperature=0.7)
    assert [(row.label, row.claim) for row in entries(plan)] == [
        ("sample", "text"), ("greedy", None), ("jacobi", "text"), ("jacobi:verify=residual", "law"),
        ("beam", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "methods, said",
    [
        ("jacobbi", "did you mean 'jacobi'.*peers are transformers"),
        ("jacobi:nods=3", "has no option 'nods'"),
        ("jacobi:nodes=0", "nodes is '0'; allowed is int from 1"),
        ("jacobi,jacobi", "names jacobi twice"),
        ("jacobi:nodes", "allowed is name:option=value"),
        ("transformers:a=1", "transformers has no option 'a'; its options: none"),
        ("llama.cpp-pld:tokens=0", "tokens is '0'; allowed is int from 1"),
        ("mix(greedy+sample)", "--batch is 1; give --batch 2 or more"),
    ],
)
def test_rows_that_cannot_be(methods, said):
    with pytest.raises(UserError, match=said):
        entries(Plan(methods))


def test_the_command_line_that_measures_it_again(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert Plan().command == f"anyorder bench --methods {METHODS}"
    assert Plan("jacobi", max_tokens=32, out="a b").command == (
        "anyorder bench --methods jacobi --max-tokens 32 --out 'a b'"
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert Plan("mix(a+b)", batch=2, temperature=0.5, seed=7).command == (
        "OMP_NUM_THREADS=2 anyorder bench --methods 'mix(a+b)' --batch 2 --temperature 0.5:7"
    )
    for wrong in ({"repeat": 0}, {"batch": 0}):
        with pytest.raises(UserError, match=r"is 0; allowed is 1 or more"):
            Plan(**wrong)


def test_temperature_and_seed_are_one_option():
    assert drawing("0.8") == (0.8, 0)
    assert drawing("0.8:7") == (0.8, 7)
    for wrong in ("hot", ":7", "1:2:3"):
        with pytest.raises(UserError, match="allowed is a number or number:seed"):
            drawing(wrong)
    with pytest.raises(UserError, match="--temperature is nan; allowed is 0 or more"):
        Plan(temperature=float("nan"))


# measuring --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_exact_methods_write_the_plain_text(make, temperature):
    ready = make("jacobi,token_recycling,prompt_lookup,beam:width=2", temperature=temperature)
    measured = ready.measure()
    table = by_name(measured)
    for row in list(table.values())[:-1]:
        assert (row["equal"], row["ties"], row["bugs"], row["prompts"]) == (4, 0, 0, 4)
        assert row["speedup"] > 0
    beam = table["beam:width=2"]
    assert (beam["equal"], beam["ties"], beam["bugs"], beam["exact"]) == (None, None, None, False)
    assert beam["speedup"] > 0
    assert not measured.stopped


def test_counts_and_figures(make):
    measured = make("jacobi", repeat=3, prompts=1).measure()
    plain, jacobi = rows(measured)
    assert set(plain) == set(jacobi) == ROW
    tokens = sum(t.run.written for t in measured.takes if t.label == "greedy" and t.repeat == 0)
    assert (plain["speedup"], plain["tokens_per_run"], plain["runs"]) == (1.0, 1.0, tokens)
    assert jacobi["runs"] <= tokens
    assert jacobi["tokens_per_run"] == round(tokens / jacobi["runs"], 3)
    assert list(jacobi["by_category"]) == ["a", "b"]
    assert len(measured.takes) == 2 * 2 * 3


def test_a_drafters_memory_is_its_rows_own_and_repeats_are_alike(make):
    ready = make("token_recycling:nodes=8,token_recycling:nodes=4", repeat=2)
    before = dict(ready.model.memory)
    measured = ready.measure()
    runs = {(t.label, t.prompts, t.repeat): t.run.runs for t in measured.takes}
    alone = {t.prompts: t.run.runs for t in make("token_recycling:nodes=4").measure().takes if "4" in t.label}
    for prompt, count in alone.items():
        assert (
            runs["token_recycling:nodes=4", prompt, 0] == runs["token_recycling:nodes=4", prompt, 1] == count
        )
    assert ready.model.memory == before


def test_the_gate_refuses_a_wrong_method(make, monkeypatch):
    monkeypatch.setitem(speculative.RULES, "greedy", lenient)
    ready = make("jacobi")
    said = report.report(ready.measure(), ready.spell)
    plain, wrong = said["rows"]
    assert plain["speedup"] == 1.0
    assert wrong["speedup"] is None
    assert wrong["speedup_overall"] is None
    assert all(part["speedup"] is None for part in wrong["by_category"].values())
    assert wrong["bugs"] > 0
    assert wrong["equal"] + wrong["ties"] + wrong["bugs"] == wrong["prompts"] == 4
    place = next(d for d in wrong["divergences"] if d["verdict"] == "bug")
    assert place["margin"] > 2 * place["noise"]
    assert place["plain"] != place["method"]
    (note,) = [n for n in report.notes(said) if n.startswith("jacobi")]
    assert f"prompt {place['prompt']}, token {place['position']}" in note
    assert "refused" in report.markdown(said)


def test_a_tie_is_counted_and_keeps_its_speedup(make, monkeypatch):
    monkeypatch.setitem(speculative.RULES, "greedy", lenient)
    ready = make("jacobi")
    ready.judge.noise = 1e9  # so that everything is a tie
    said = report.report(ready.measure())
    row = said["rows"][1]
    assert row["bugs"] == 0
    assert row["ties"] > 0
    assert row["speedup"] > 0
    assert f"{row['equal']}/4 + {row['ties']} tie" in report.equality(row)
    assert any(note.startswith("tie:") for note in report.notes(said))


def test_ctrl_c_keeps_whole_prompts(make, monkeypatch):
    ready = make("jacobi")
    run, calls = Bench.run, []

    def stops(self, *given):
        calls.append(1)
        if len(calls) == 2 + 2 * 2 + 2:  # warm-up, two prompts, and the plain loop of the third
            raise KeyboardInterrupt
        return run(self, *given)

    monkeypatch.setattr(Bench, "run", stops)
    measured = ready.measure()
    assert (measured.stopped, measured.finished) == (True, 2)
    said = report.report(measured)
    assert [row["prompts"] for row in said["rows"]] == [2, 2]
    assert "stopped after 2 of 4 prompts" in report.notes(said)


def test_a_prompt_that_does_not_fit_is_named(make):
    with pytest.raises(UserError, match=r"prompt 1 of suite .* and 5000 are asked for"):
        make("jacobi", max_tokens=5000)


# the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tiny_model_folder, suite):
    app = typer.Typer()
    app.command()(bench)

    def invoke(*arguments):
        given = ["--model", str(tiny_model_folder), "--suite", str(suite), "--precision", "fp32"]
        return CliRunner().invoke(app, [*given, "--max-tokens", "8", *arguments])

    return invoke


def test_the_json_contract(command, tmp_path):
    done = command("--methods", "jacobi,beam", "--json", "--out", str(tmp_path / "deep" / "out"))
    assert done.exit_code == 0, done.exception
    (line,) = done.stdout.strip().splitlines()
    said = json.loads(line)
    assert {"rows", "hardware", "versions", "seed", "commit", "model", "precision", "max_tokens"} <= set(said)
    assert {"batch", "prompt_tokens", "command", "noise", "stopped", "suite"} <= set(said)
    assert {"cpu", "cores", "memory_gb", "threads", "bandwidth_gb_s"} <= set(said["hardware"])
    assert set(said["versions"]) == {"python", *machine.PACKAGES}
    assert all(set(row) == ROW for row in said["rows"])
    assert "speed-up" in done.stderr
    out = tmp_path / "deep" / "out"
    assert json.loads((out / "bench.json").read_text()) == said
    assert said["command"] in (out / "bench.md").read_text()
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_tables_go_to_stdout_without_json(command):
    done = command("--methods", "jacobi", "--prompts", "1")
    assert done.exit_code == 0, done.exception
    assert "jacobi" in done.stdout
    assert "2/2" in done.stdout


def test_a_folder_that_cannot_be_written_is_refused_before_measuring(command, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(Bench, "__init__", lambda *given: pytest.fail("measured"))
    done = command("--methods", "jacobi", "--out", str(tmp_path / "file"))
    assert isinstance(done.exception, UserError)
    assert "cannot be written" in str(done.exception)


def test_a_missing_matplotlib_is_said_only_if_a_plot_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(report.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'anyorder\[bench\]'"):
        report.check_folder(str(tmp_path))


def test_ctrl_c_ends_the_command_with_130_and_writes_what_there_is(command, tmp_path, monkeypatch):
    run, calls = Bench.run, []

    def stops(self, *given):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return run(self, *given)

    monkeypatch.setattr(Bench, "run", stops)
    done = command("--methods", "jacobi", "--json", "--out", str(tmp_path))
    assert done.exit_code == 130
    assert json.loads(done.stdout)["measured"] == 1
    assert "stopped after 1 of 4 prompts" in done.stderr
    assert json.loads((tmp_path / "bench.json").read_text())["stopped"] is True


def test_ctrl_c_before_the_first_prompt(command, tmp_path, monkeypatch):
    monkeypatch.setattr(Bench, "warm_up", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    done = command("--methods", "jacobi", "--out", str(tmp_path))
    assert done.exit_code == 130
    assert "stopped after 0 of 4 prompts" in done.stdout
    assert not (tmp_path / "bench.png").exists()


def test_the_machine_is_named():
    assert machine.cpu_model()
    assert machine.cores() >= 1
    assert machine.versions()["torch"]
