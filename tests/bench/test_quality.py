"""Quality: answers known from suites, texts judged after measuring, what it cost beside it."""

from __future__ import annotations

import json
from io import StringIO

import pytest

from anyorder.bench import quality, report
from anyorder.bench.entries import Entry, Plan, entries
from anyorder.bench.measure import Bench
from anyorder.bench.quality import judged, matches, number, passes
from anyorder.bench.record import Measured, Run, Take, Weights
from anyorder.bench.rows import rows
from anyorder.bench.suites import EXACT, PASS, Prompt, read_suite
from anyorder.errors import UserError
from anyorder.sandbox import Outcome

GSM = {"question": "2 + 3?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"}
HUMAN = {
    "task_id": "HumanEval/0", "entry_point": "double", "prompt": "def double(x):\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate('a') == 'aa'\n",
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Writes a suite of JSON lines."""

    def suite(*lines) -> str:
        file = tmp_path / "suite.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(file)

    return suite


# suites -----------------------------------------------------------------------------------------------------


def test_answers_come_with_suites(write):
    (prompt,) = read_suite(write(GSM))
    assert (prompt.measure, prompt.answer, prompt.text, prompt.stop) == (EXACT, "5", "2 + 3?", ())
    (prompt,) = read_suite(write(HUMAN))
    assert (prompt.measure, prompt.answer) == (PASS, HUMAN["test"] + "\ncheck(double)\n")
    for unknown in ({**GSM, "answer": "five"}, {"task_id": "1", "prompt": "x"}):
        assert read_suite(write(unknown))[0].measure == ""
    assert {prompt.measure for prompt in read_suite("quick")} == {""}


def test_solved_problems_before_each(write):
    name = write(GSM, GSM)
    first, second = read_suite(f"{name}#steps")
    assert first.text == second.text
    assert first.text.endswith("\n#### 6\n\nQuestion: 2 + 3?\nAnswer:")
    assert (first.chat, first.stop, first.measure, first.answer) == (False, ("\nQuestion:",), EXACT, "5")
    problems = [block.rpartition("\n####") for block in first.text.split("\n\nQuestion:")[:-1]]
    from anyorder.scorers.equations import EQUATION, right

    for text, _, answer in problems:  # what is shown is right
        found = [right(m[1], m[2]) for m in EQUATION.finditer(text)]
        assert found
        assert all(found)
        assert number(answer) == number(text.rpartition("=")[2])


def test_code_behind_an_open_fence(write):
    (prompt,) = read_suite(f"{write(HUMAN)}#fenced")
    assert (prompt.text, prompt.chat) == ("```python\ndef double(x):", False)
    assert "\n```" in prompt.stop
    assert passes(prompt, "\n    return x * 2\n```\nIt doubles.")
    assert not passes(prompt, "\n    return x * 3\n```")


@pytest.mark.parametrize(
    "line, form, said", [(GSM, "step", "asks for #step; allowed are #steps"), (HUMAN, "steps", "like GSM8K")]
)
def test_other_forms_are_refused(write, line, form, said):
    with pytest.raises(UserError, match=said):
        read_suite(f"{write(line)}#{form}")


def test_a_file_may_have_such_a_name(tmp_path):
    (tmp_path / "a#steps").write_text(json.dumps(GSM))
    assert read_suite(str(tmp_path / "a#steps"))[0].chat


# measures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, found",
    [
        ("It is 5.", 5), ("so $1,200.", 1200), ("#### 7 and then 9", 7), ("####  $1,200.50", 1200.5),
        ("x = -3", -3), ("from 5-10", 10), ("= .5", 0.5), ("10%", 10), ("7.50.", 7.5), ("none", None),
        ("", None), ("3 4", 4), ("#### none, so 6", 6),
    ],
)  # fmt: skip
def test_the_number_a_text_ends_with(text, found):
    assert number(text) == found


def test_exact_match():
    prompt = Prompt("1", "gsm8k", "?", measure=EXACT, answer="1,200")
    assert matches(prompt, "It is $1200.00")
    assert not matches(prompt, "It is 1200 or 1300")
    assert not matches(prompt, "")
    stops = Prompt("1", "gsm8k", "?", measure=EXACT, answer="5", stop=("\nQuestion:",))
    assert matches(stops, " 5\n\nQuestion: 7 of")
    assert not matches(Prompt("1", "", "?", answer="none"), "none")


@pytest.mark.parametrize(
    "text, right",
    [
        ("    return x + x\n", True),
        ("    return x + x\n\nprint(1 / 0)\n", True),
        ("    return x + x\n\ndef check(f): pass", True),
        ("    return x * 3\n", False),
        ("    return x + x", True),
        ("    exit(0)\n", False),
        ("    import os\n    os._exit(0)\n", False),
        ("    return (x\n", False),
        ("", False),
    ],
)
def test_pass_at_1(write, text, right):
    (prompt,) = read_suite(write(HUMAN))
    assert passes(prompt, text) is right


def test_a_solution_cannot_replace_its_tests(write):
    (prompt,) = read_suite(write(HUMAN))
    assert not passes(prompt, "    return 1\n\ndef check(candidate): pass\n")


def test_a_program_that_hangs_is_wrong(write, monkeypatch):
    monkeypatch.setattr(quality, "SECONDS", 0.1)
    (prompt,) = read_suite(write(HUMAN))
    assert not passes(prompt, "    while True: pass\n")


def test_a_sandbox_that_fails_is_said_before_measuring(write, monkeypatch):
    quality.check(read_suite(write(HUMAN)))
    monkeypatch.setattr(quality, "run", lambda source: Outcome("failed", "no room"))
    with pytest.raises(UserError, match=r"cannot be judged, the sandbox failed \(no room\)"):
        quality.check(read_suite(write(HUMAN)))
    quality.check(read_suite(write(GSM)))  # needs none


# rows -------------------------------------------------------------------------------------------------------


def measured(*texts: str, repeat: int = 1) -> Measured:
    """Two prompts with the answers 5 and 7 and one without; rows `greedy` and `other`, texts in turn."""
    prompts = [
        Prompt("1", "gsm8k", "?", measure=EXACT, answer="5"),
        Prompt("2", "gsm8k", "?", measure=EXACT, answer="7"), Prompt("3", "gsm8k", "?"),
    ]  # fmt: skip
    rows = [Entry("greedy", "greedy", claim="text"), Entry("other", "beam")]
    takes = [
        Take(row.label, (i,), r, Run([[ord(c) for c in text]], 1.0, 10, 20))
        for r in range(repeat) for row in rows for i, text in enumerate(texts[r :: repeat])
    ]  # fmt: skip
    weights = {row.label: Weights("fp32", None) for row in rows}
    return Measured(Plan("beam"), rows, prompts, weights, takes)


def spell(tokens: list[int]) -> str:
    return "".join(map(chr, tokens))


def test_rows_carry_their_quality():
    of = measured("is 5", "is 8", "is 9")
    of.right = judged(of, spell)
    assert of.right == {("greedy", 0): 1, ("greedy", 1): 0, ("other", 0): 1, ("other", 1): 0}
    for row in rows(of):
        assert (row["quality"], row["quality_of"], row["judged"]) == (0.5, EXACT, 2)
        assert quality.error(row) == pytest.approx(0.5 / 2**0.5)
    head, first, other = quality.table(rows(of))
    assert dict(zip(head, other, strict=True)) == {
        "method": "other", "quality": "50.0%", "±": "35.4%", "runs": "10", "cells": "20", "tokens": "4",
    }  # fmt: skip
    assert first[0] == "greedy"


def test_repeats_are_averaged():
    of = measured("5", "8", "7", "7", "", "", repeat=2)
    assert judged(of, spell)["greedy", 0] == 0.5
    assert judged(of, spell)["other", 1] == 1.0


def test_suites_without_answers_say_nothing_of_quality():
    of = measured("5", "7", "9")
    assert all("quality" not in row for row in rows(of))
    assert len(quality.table(rows(of))) == 1
    assert report.columns(rows(of)) == list(report.HEAD)


@pytest.fixture
def ready(write, model, tiny_model_folder):
    """A bench on the tiny checkpoint with a suite that has answers."""

    def bench(methods: str, *lines, mark: str = "") -> Bench:
        plan = Plan(methods, suite=write(*lines) + mark, model=str(tiny_model_folder), precision="fp32",
                    max_tokens=6)  # fmt: skip
        return Bench(model, entries(plan), read_suite(plan.suite), plan)

    return bench


def test_a_bench_judges_and_reports(ready, tmp_path, monkeypatch):
    bench = ready("beam:width=2,jacobi", GSM, GSM)
    monkeypatch.setitem(quality.MEASURES, EXACT, lambda prompt, text: prompt.id == "1")
    said = report.report(bench.measure(), bench.spell)
    assert [row["quality"] for row in said["rows"]] == [0.5] * 3
    assert report.columns(said["rows"])[-1] == "quality"
    page = report.markdown(said)
    assert "| jacobi |" in page
    assert "Quality: exact match, 2 prompts" in page
    assert page.count("50.0%") == 6  # three rows of two tables
    names = [file.name for file in report.write(said, tmp_path)]
    assert names == ["bench.json", "bench.md", "bench.png", "quality.png", "report.html"]
    assert (tmp_path / "quality.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "bench.json").read_text())["rows"][1]["quality_of"] == EXACT


def test_the_tables_are_shown(ready):
    from rich.console import Console

    bench = ready("jacobi", GSM)
    console = Console(record=True, width=120, file=StringIO())
    report.show(report.report(bench.measure()), console)
    shown = console.export_text()
    assert "quality: exact match, 1 prompts" in shown
    assert "cells" in shown


def test_texts_end_where_a_next_problem_would_begin(ready, model):
    bench = ready("jacobi", GSM, mark="#steps")
    request = bench.request(bench.rows[0], 0, 6)
    assert request.canvas.stop is not None
    assert request.canvas.rows[0] == model.encode(bench.prompts[0].text, chat=False)


def test_ctrl_c_while_judging_keeps_what_was_measured(ready, monkeypatch):
    def stops(prompt, text):
        raise KeyboardInterrupt

    monkeypatch.setitem(quality.MEASURES, EXACT, stops)
    of = ready("jacobi", GSM).measure()
    assert (of.stopped, of.finished, of.right) == (True, 1, {})


# a row's own temperature ------------------------------------------------------------------------------------


def test_rows_may_be_shaped_on_their_own(ready):
    named = "sample:temperature=0.8,jacobi:temperature=0,jacobi:top_k=5,beam:banned=3+4"
    rows_ = entries(Plan(named))
    assert [(row.options, row.claim) for row in rows_] == [
        ({}, "text"), ({"temperature": 0.8}, None), ({"temperature": 0.0}, "text"), ({"top_k": 5}, None),
        ({"banned": (3, 4)}, None),
    ]  # fmt: skip
    same = entries(Plan("jacobi:temperature=0.7,jacobi:temperature=0.8", temperature=0.7))
    assert [row.claim for row in same] == ["text", "text", None]
    bench = ready("sample:temperature=0.8:top_k=3,jacobi", GSM)
    drawn = bench.request(bench.rows[1], 0, 6)
    plain = bench.request(bench.rows[0], 0, 6)
    assert drawn.shape != plain.shape
    assert bench.measure().finished == 1


def test_a_peer_is_not_shaped():
    with pytest.raises(UserError, match="transformers has no option 'temperature'; its options: none"):
        entries(Plan("transformers:temperature=0.8"))
    with pytest.raises(
        UserError, match="jacobi has no option 'hot'; its options: nodes, verify; choose one of "
    ):
        entries(Plan("jacobi:hot=1"))
