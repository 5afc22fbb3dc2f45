"""Suites: three formats, recognised; broken files are refused with the line's number."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from anyorder.bench.suites import QUICK, read_suite
from anyorder.errors import UserError

SPEC = {"question_id": 81, "category": "writing", "turns": ["Write.", "Again."]}
GSM = {"question": "2 + 3?", "answer": "#### 5"}
HUMAN = {"task_id": "HumanEval/0", "prompt": "def f():\n", "entry_point": "f"}


def write(folder, *lines) -> str:
    file = folder / "suite.jsonl"
    file.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines) + "\n")
    return str(file)


def test_the_quick_suite_has_four_prompts_of_each_of_seven_categories():
    prompts = read_suite("quick")
    assert set(Counter(p.category for p in prompts).values()) == {4}
    assert len(prompts) == 28
    assert len({p.id for p in prompts}) == 28
    long = [p for p in prompts if p.category in ("summarization", "qa", "retrieval")]
    assert all(80 <= len(p.text.split()) <= 210 for p in long)
    assert QUICK.is_file()


@pytest.mark.parametrize(
    "line, id, category, text, chat",
    [
        (SPEC, "81", "writing", "Write.", True),
        (GSM, "1", "gsm8k", "2 + 3?", True),
        (HUMAN, "HumanEval/0", "humaneval", "def f():\n", False),
    ],
)
def test_formats(tmp_path, line, id, category, text, chat):
    (prompt,) = read_suite(write(tmp_path, line))
    assert (prompt.id, prompt.category, prompt.text, prompt.chat) == (id, category, text, chat)


def test_the_first_of_each_category(tmp_path):
    lines = [{**SPEC, "question_id": i, "category": "ab"[i % 2]} for i in range(6)]
    assert [p.id for p in read_suite(write(tmp_path, *lines), first=2)] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "lines, said",
    [
        ([SPEC, "{no json"], "line 2 .* is not JSON"),
        ([SPEC, "", "[1]"], "line 3 .* is a list"),
        ([GSM, {"question": "and?"}, {"answer": "no question"}], "line 3 .* has no 'question'"),
        ([SPEC, {**SPEC, "turns": []}], "line 2 .* turns is not a list"),
        ([SPEC, {**SPEC, "turns": [7]}], "line 2 .* turn is 7, which is no text"),
        ([HUMAN, {**HUMAN, "prompt": " "}], "line 2 .* prompt is ' '"),
        ([{"text": "hello"}], "has lines with the keys text; allowed are Spec-Bench"),
        (["", ""], "is empty"),
    ],
)
def test_broken_files_are_refused(tmp_path, lines, said):
    with pytest.raises(UserError, match=said):
        read_suite(write(tmp_path, *lines))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="is not there; allowed is quick, parallelbench or the path"):
        read_suite(str(tmp_path / "nothing.jsonl"))
    with pytest.raises(UserError, match="cannot be read"):
        read_suite(str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read_suite(str(tmp_path / "binary"))
