"""The file of a sweep survives what can happen to a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyorder.errors import UserError
from anyorder.scale.results import Key, Results

SETTINGS = {"precision": "fp32", "prompts": None, "max_tokens": 8, "temperature": 0.0}
A, B = Key("jacobi", "m", "s", 0), Key("jacobi", "m", "s", 1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "results.jsonl"


def filled(file: Path) -> bytes:
    with Results(file, SETTINGS) as results:
        results.add(A, {"report": {"text": "größer 漢字"}})
        results.add(B, {"failed": "no"})
    return file.read_bytes()


def test_what_is_added_is_there_the_next_time(file: Path) -> None:
    filled(file)
    with Results(file, SETTINGS) as results:
        assert list(results.lines) == [A, B]
        assert results.lines[A]["report"] == {"text": "größer 漢字"}
        assert (results.done(A), results.done(B)) == (True, False)
        results.add(B, {"report": {}})
    with Results(file, SETTINGS) as results:
        assert results.done(B)
    assert len(file.read_bytes().splitlines()) == 4


def test_an_interrupted_call_is_read_from_the_disk(file: Path, monkeypatch) -> None:
    def stops(self, line):
        raise KeyboardInterrupt

    with Results(file, SETTINGS) as results:
        with monkeypatch.context() as patched:
            patched.setattr(Results, "_take", stops)
            with pytest.raises(KeyboardInterrupt):
                results.add(A, {"report": {}})
        assert not results.done(A)
        results.read()
        assert results.done(A)


@settings(max_examples=60)
@given(st.data())
def test_a_file_cut_anywhere_loses_only_the_line_that_was_cut(tmp_path_factory, data) -> None:
    file = tmp_path_factory.mktemp("cut") / "results.jsonl"
    whole = filled(file)
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    cut = file.read_bytes()
    with Results(file, SETTINGS) as results:
        assert len(results.lines) == max(0, cut.count(b"\n") - 1)
        results.add(B, {"report": {}})
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert lines[0]["anyorder_sweep"] == 1
    assert lines[-1] == {**B._asdict(), "report": {}}
    assert file.read_bytes().startswith(cut[: cut.rfind(b"\n") + 1])


@pytest.mark.parametrize(
    "text", ["my notes", "my notes\n", '{"question": 1}\n{"question', "\n", "[1]\n", "\xff\xfe\n"]
)
def test_a_file_of_something_else_is_left_as_it_is(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="a file of something else"):
        Results(file, SETTINGS)
    assert file.read_text(encoding="latin-1") == text


@pytest.mark.parametrize(
    "line",
    [
        "{no json", "[]", '{"method": "jacobi"}', "3", "", '{"report": {}, "method": []}',
        '{"method": "jacobi", "model": "m", "suite": "s", "seed": 1}',
        '{"method": [], "model": "m", "suite": "s", "seed": 1, "failed": ""}',
    ],
)  # fmt: skip
def test_a_broken_line_is_named(file: Path, line: str) -> None:
    whole = filled(file)
    file.write_bytes(whole + line.encode() + b"\n")
    with pytest.raises(UserError, match=r"line 4 of .* is no cell"):
        Results(file, SETTINGS)


def test_another_configuration_is_refused(file: Path) -> None:
    whole = filled(file)
    with pytest.raises(UserError, match="--max-tokens was 8 and is 9; allowed is one configuration"):
        Results(file, {**SETTINGS, "max_tokens": 9})
    assert file.read_bytes() == whole


def test_two_sweeps_do_not_write_to_one_file(file: Path) -> None:
    with Results(file, SETTINGS), pytest.raises(UserError, match="another sweep writes"):
        Results(file, SETTINGS)
    Results(file, SETTINGS).__exit__()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        Results(tmp_path, SETTINGS)
