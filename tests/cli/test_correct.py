"""`anyorder correct`."""

import io
import json
from pathlib import Path

import pytest

from anyorder.cli import correct
from anyorder.nbest import EXAMPLE
from anyorder.nbest.ways import OPTIONS, WAYS

from .test_commands import run


def test_first_needs_no_model_and_prints_lines_then_figures(capsys) -> None:
    code, out, err = run(capsys, "correct", str(EXAMPLE), "--way", "first", "--model", "nomodel")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(lines) == 30
    assert lines[0].keys() == {"id", "text", "chosen"}
    assert all(line["chosen"] == 0 for line in lines)
    assert "30 lists, 0 changed; word error rate 17.1 %, of the first hypothesis 17.1 %" in err
    assert len(err.strip().splitlines()) == 1


def test_json_ends_with_one_object(capsys, monkeypatch: pytest.MonkeyPatch, tiny_model_folder: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(EXAMPLE.read_text().split("\n")[0]))
    code, out, err = run(
        capsys, "correct", "-", "--model", str(tiny_model_folder), "--precision", "fp32", "--json",
        "--set", "per_token=true", "--n", "3",
    )  # fmt: skip
    line, said = map(json.loads, out.splitlines())
    assert code == 0
    assert err == ""
    assert len(line["scores"]) == 3
    assert said.keys() >= {
        "way",
        "model",
        "lists",
        "wer_first",
        "wer_result",
        "wer_o_nb",
        "wer_o_cp",
        "gated",
    }


def test_lines_go_to_a_file(capsys, tmp_path: Path, tiny_model_folder: Path) -> None:
    file, given, solved = (tmp_path / name for name in ("made.jsonl", "given.jsonl", "solved.jsonl"))
    solved.write_text('{"input": ["x z", "x y"], "output": "x y"}')
    file.write_text("old")
    given.write_text('{"hypotheses": ["a b", "a c"]}\n{"hypotheses": ["d"]}\n')
    code, out, err = run(
        capsys, "correct", str(given), "--way", "few_shot", "--model", str(tiny_model_folder), "--out",
        str(file), "--precision", "fp32", "--method", "beam", "--set", "width=2", "--set", "gate=0",
        "--examples", str(solved),
    )  # fmt: skip
    assert code == 0
    assert out == ""
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [1, 2]
    assert "word error rate" not in err  # nobody said what was really said


@pytest.mark.parametrize(
    "call, says",
    [
        ([], "Missing argument"),
        (["none.jsonl"], "none.jsonl cannot be read"),
        ([str(EXAMPLE), "--way", "best"], "unknown way 'best'"),
        ([str(EXAMPLE), "--way", "tuned"], "give its folder by --model"),
        ([str(EXAMPLE), "--way", "zero_shot", "--method", "bem"], "did you mean 'beam'"),
        ([str(EXAMPLE), "--way", "zero_shot", "--set", "widht=3"], "no option 'widht'"),
        ([str(EXAMPLE), "--set", "gate=1"], "way choose has no option 'gate'"),
        ([str(EXAMPLE), "--method", "beam"], "way choose takes no method"),
        ([str(EXAMPLE), "--weight", "2"], "option weight is 2.0"),
        ([str(EXAMPLE), "--n", "0"], "n is 0"),
        ([str(EXAMPLE), "--normalize", "german"], "normalize is 'german'"),
        ([str(EXAMPLE), "--out", "/no/such/folder/x"], "cannot be written"),
        ([str(EXAMPLE), "--examples", str(EXAMPLE)], "takes no examples"),
        ([str(EXAMPLE), "--model", "nomodel"], "unknown model 'nomodel'"),
    ],
)  # fmt: skip
def test_wrong_input_ends_with_one_sentence(capsys, call: list[str], says: str) -> None:
    code, out, err = run(capsys, "correct", *call)
    assert code == 2
    assert says in err
    assert out == ""
    assert len(err.strip().splitlines()) == 1


def test_help_names_every_way_and_option() -> None:
    assert all(way in correct.WAYS for way in WAYS)
    assert all(option.name in correct.SET for options in OPTIONS.values() for option in options)
