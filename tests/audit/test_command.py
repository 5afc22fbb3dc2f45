"""`anyorder audit`: its table, its JSON, its files, its exit codes, and what wrong input prints."""

from __future__ import annotations

import json

import pytest

from anyorder.audit import endpoint, transformers_
from anyorder.audit.verdict import judge
from anyorder.cli.main import main
from anyorder.methods.speculative import rules


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of an audit."""
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def call(tiny_model_folder, tmp_path):
    file = tmp_path / "two.jsonl"
    lines = [
        {"question_id": i, "category": "a", "turns": [t]} for i, t in enumerate(("xyxyxy", "one two one"))
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [
        "--model",
        str(tiny_model_folder),
        "--precision",
        "fp32",
        "--suite",
        str(file),
        "--max-tokens",
        "6",
    ]


def test_no_broken_claim_is_exit_code_0_and_the_json_has_the_contract(capsys, call, tmp_path):
    out = tmp_path / "out"
    code, said, err = run(
        capsys, *call, "--methods", "prompt_lookup,beam", "--no-laws", "--out", str(out), "--json"
    )
    assert code == 0
    rows = json.loads(said.splitlines()[-1])
    assert [row["method"] for row in rows] == ["prompt_lookup", "beam"]
    assert all({"method", "greedy", "sampling", "verdict"} <= row.keys() for row in rows)
    assert rows[0]["verdict"] in ("exact", "exact up to ties")
    assert (rows[0]["claims"], rows[1]["claims"]) == (True, False)
    assert "no claim is broken" in err
    written = json.loads((out / "audit.json").read_text())
    assert written["rows"] == rows
    assert written["command"].startswith("anyorder")
    page = (out / "audit.md").read_text()
    assert "| prompt_lookup | exact |" in page
    assert "| beam | nothing |" in page


def test_a_broken_claim_is_exit_code_1_and_its_places_are_told(capsys, call, monkeypatch):
    def last(answer, chance):
        return [[int(answer.logits[lines.start].topk(2).indices[1])] for lines in answer.rows]

    monkeypatch.setitem(rules.RULES, "greedy", last)
    methods = ["--methods", "greedy,prompt_lookup", "--temperature", "0"]
    code, said, _ = run(capsys, *call, *methods, "--no-laws")
    assert code == 1
    assert "1 of 2 methods that claim to be exact are not: prompt_lookup" in said
    assert "prompt_lookup: greedy: prompt 0, token 0" in said
    assert "margin" in said
    code, said, _ = run(capsys, *call, *methods, "--no-laws", "--json")
    rows = json.loads(said.splitlines()[-1])
    assert [row["verdict"] for row in rows] == ["exact", "not exact"]
    assert rows[1]["greedy"]["bugs"] == len(rows[1]["greedy"]["divergences"]) > 0
    assert rows[0]["sampling"] is None


def test_laws_are_in_the_table(capsys, call):
    code, said, _ = run(capsys, *call, "--methods", "greedy", "--temperature", "0")
    assert code == 0
    assert "hold" in said


def test_others_are_asked_as_the_user_said(capsys, monkeypatch):
    calls = []

    def answer(*place, **given):
        calls.append((place, given))
        return [judge("theirs", "endpoint", True, laws={3: "law 3, broken"})]

    monkeypatch.setattr(transformers_, "audit", answer)
    monkeypatch.setattr(endpoint, "audit", answer)
    code, said, _ = run(capsys, "--against", "transformers", "--methods", "plain,assistant", "--json")
    assert code == 1
    assert json.loads(said.splitlines()[-1])[0]["verdict"] == "not exact"
    assert calls[0][1]["only"] == ["plain", "assistant"]
    assert "prompts" not in calls[0][1]
    run(capsys, "--against", "http://a:1/v1", "--methods", "jacobi,auto", "--prompts", "1")
    assert [given["body"] for _, given in calls[1:]] == [{"method": "jacobi"}, {"method": "auto"}]
    assert all(place == ("http://a:1/v1", None) for place, _ in calls[1:])
    assert len(calls[1][1]["prompts"]) == 7
    run(capsys, "--against", "http://a:1/v1", "--plain", "http://b:1/v1")
    assert calls[-1][0] == ("http://a:1/v1", "http://b:1/v1")
    assert calls[-1][1]["body"] is None


@pytest.mark.parametrize(
    "wrong, says",
    [
        (["--methods", "gredy"], "did you mean 'greedy'"),
        (["--methods", "transformers"], "another library"),
        (["--temperature", "warm"], "--temperature is 'warm'"),
        (["--max-tokens", "0"], "--max-tokens is 0"),
        (["--plain", "http://b"], "--against does not"),
        (["--out", "/proc/no/such"], "cannot be written"),
        (["--suite", "/no/such/file"], "is not there"),
    ],
)
def test_wrong_input_ends_with_one_sentence_and_code_2(capsys, wrong, says):
    code, _, err = run(capsys, *wrong)
    assert code == 2
    assert says in err
    assert "Traceback" not in err
