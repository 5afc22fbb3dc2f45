"""ParallelBench as a suite of `anyorder bench`: prompts, verdicts, figures, tables, plots."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest

from anyorder.bench import quality, report
from anyorder.bench.entries import Entry, Plan, entries
from anyorder.bench.measure import Bench, most
from anyorder.bench.parallelbench.__main__ import main
from anyorder.bench.parallelbench.figures import decoding
from anyorder.bench.parallelbench.plots import _frontier
from anyorder.bench.record import Measured, Run, Take, Weights
from anyorder.bench.rows import rows
from anyorder.bench.suites import VALID, Prompt, read_suite
from anyorder.errors import UserError


def test_the_form_follows_the_model():
    assert read_suite("parallelbench", 1)[0].text.startswith("Here is an example")
    words = read_suite("parallelbench", 1, "list-diffusion")
    assert words[0].text.startswith("copy: ")
    assert [p.text for p in read_suite("parallelbench#words", 1, "smollm2")] == [p.text for p in words]
    assert "desk" in read_suite("parallelbench#text", 1, "list-diffusion")[0].text
    assert read_suite("parallelbench", 1, "/models/list-diffusion/")[0].text == words[0].text


def test_prompts():
    prompts = read_suite("parallelbench#words", 2)
    assert len(prompts) == 24
    assert prompts[1].id == "copy/2"
    assert {prompt.measure for prompt in prompts} == {VALID}
    assert {prompt.cells for prompt in prompts} == {8, 16}
    assert most(prompts[0], 128) == 8
    assert most(prompts[0], 4) == 4
    assert most(Prompt("1", "a", "x"), 128) == 128
    for prompt in prompts:
        assert quality.valid(prompt, prompt.answer)
        assert quality.strictly_valid(prompt, prompt.answer)
        assert not quality.valid(prompt, "Nobody")


def test_an_unknown_form():
    with pytest.raises(UserError, match="no form 'steps'; allowed are text, words, long"):
        read_suite("parallelbench#steps")


def test_without_rapidfuzz(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    quality.check([Prompt("1", "a", "x")])
    with pytest.raises(UserError, match=r"pip install 'anyorder\[bench\]'"):
        quality.check(read_suite("parallelbench#words", 1))


# figures ----------------------------------------------------------------------------------------------------


def measured() -> Measured:
    """Two prompts answered by static, one word a run, and by threshold, which gets the second wrong."""
    prompts = [p for p in read_suite("parallelbench#words", 1) if p.category in ("copy", "remove_random")]
    entries = [Entry("static", "static", claim="text"), Entry("threshold:threshold=0.9", "threshold")]
    texts = {"static": [p.answer for p in prompts], entries[1].label: [prompts[0].answer + ",", "Nobody"]}
    takes = []
    for entry, forwards in zip(entries, (6, 3)):
        for i, text in enumerate(texts[entry.label]):
            run = Run([[ord(c) for c in text]], 1.0, forwards, 10 * forwards, forwards)
            takes.append(Take(entry.label, (i,), 0, run, (None,) if entry.claim else ()))
    weights = {entry.label: Weights("fp32", None) for entry in entries}
    made = Measured(Plan("threshold", suite="parallelbench#words"), entries, prompts, weights, takes)

    def spell(tokens: list[int]) -> str:
        return "".join(map(chr, tokens))

    made.right = quality.judged(made, spell)
    made.strict = quality.judged(made, spell, quality.STRICT)
    return made


def test_rows_tell_everything():
    static, threshold = rows(measured())
    assert (static["quality"], static["strict"], static["agreement"]) == (1, 1, 1)
    assert (threshold["quality"], threshold["strict"], threshold["agreement"]) == (0.5, 0, 0)
    assert 0 < threshold["edit_agreement"] < 1
    assert (static["forwards"], threshold["forwards"]) == (6, 3)
    assert threshold["quality_by"] == {"copy": 1, "remove_random": 0}
    assert threshold["quality_of"] == VALID


def test_figures_by_hand():
    takes = [
        Take("static", (0, 1), 0, Run([[1, 2, 3], [1]], 1.0, 4, 40, 8)),
        Take("other", (0, 1), 0, Run([[1, 2], [1]], 1.0, 2, 20, 3)),
    ]
    assert decoding(takes, "static", "other") == {
        "agreement": 0.5, "edit_agreement": round((2 / 3 + 1) / 2, 4), "forwards": 1.5,
        "tokens_per_forward": 1.0, "fed_per_token": round(20 / 3, 3),
    }  # fmt: skip


def test_a_peer_counts_less():
    takes = [
        Take("greedy", (0,), 0, Run([[1]], 1.0, 1, 5, 1)),
        Take("peer", (0,), 0, Run([[1]], 1.0, 1, None)),
    ]
    assert decoding(takes, "greedy", "peer") == {"agreement": 1.0, "edit_agreement": 1.0}


def said(**more: Any) -> dict[str, Any]:
    return json.loads(json.dumps({**report.report(measured()), **more}))


def test_tables():
    table = said()["rows"]
    assert quality.by_task(table)[1:] == [["copy", "100.0%", "100.0%"], ["remove_random", "100.0%", "0.0%"]]
    assert quality.decodings(table)[1][:4] == ["static", "100.0%", "100.0%", "6.00"]
    assert [line[0] for line in quality.frontier(table)] == ["policy", "static", "threshold"]
    assert quality.frontier(table)[2][2:4] == ["never", "never"]
    from rich.console import Console

    out = StringIO()
    report.show(said(), Console(file=out, width=160))
    for text in (out.getvalue(), report.markdown(said()).lower()):
        assert "quality by task" in text
        assert "agreement is with the first row" in text
        assert "pb80" in text.lower()


def test_other_suites_have_no_such_tables():
    for make, _ in quality.TABLES.values():
        assert len(make([{"method": "greedy", "quality": 0.5, "quality_of": "exact match"}])) == 1


# plots ------------------------------------------------------------------------------------------------------


def test_the_plot_of_policies(tmp_path):
    files = report.write(said(), tmp_path)
    assert [file.name for file in files] == [
        "bench.json", "bench.md", "bench.png", "quality.png", "forwards.png", "report.html",
    ]  # fmt: skip
    assert files[-2].read_bytes().startswith(b"\x89PNG")


def test_the_frontier_is_never_crossed():
    points = [(4, 0.9), (2, 0.5), (3, 0.4), (8, 0.9), (2, 0.3)]
    assert _frontier(points) == [(2, 0.5), (4, 0.9), (8, 0.9)]


def test_batch_sizes_side_by_side(tmp_path):
    files = []
    for batch in (1, 4):
        files.append(str(tmp_path / f"{batch}.json"))
        (tmp_path / f"{batch}.json").write_text(json.dumps(said(batch=batch)))
    main([*files, str(tmp_path / "batches.png")])
    assert (tmp_path / "batches.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="two bench"):
        main([files[0], "x.png"])
    (tmp_path / "4.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be drawn"):
        main([*files, str(tmp_path / "batches.png")])


# a model ----------------------------------------------------------------------------------------------------


def test_a_causal_model_can_be_asked(model):
    """The tiny checkpoint knows nothing, and every figure is there."""
    plan = Plan(methods="prompt_lookup", suite="parallelbench#words", precision="fp32", max_tokens=6)
    ready = Bench(model, entries(plan), read_suite(plan.suite, 1)[:2], plan)
    table = rows(ready.measure())
    assert [row["quality_of"] for row in table] == [VALID] * 2
    assert all(row["tokens_per_forward"] > 0 for row in table)
    assert table[1]["agreement"] == 1


def test_static_is_the_plain_loop_of_any_order_methods():
    static, less, free, other, seven = entries(
        Plan("static:steps=1,freedave,freedave:steps=2,threshold:threshold=0.7")
    )
    assert (static.method, static.claim) == ("static", "text")
    assert less.claim is None, "fewer steps are not static's text"
    assert free.claim == "text"
    assert (other.claim, seven.claim) == (None, None)
    assert entries(Plan("static,beam"))[0].method == "greedy"


def test_a_parting_without_a_margin_says_so():
    place = {
        "prompt": "copy/1",
        "position": 2,
        "plain": "Ann",
        "method": "Ben",
        "margin": None,
        "verdict": "bug",
    }
    assert "margin not measured" in report.place(place)
    assert "ends" in report.place({**place, "plain": None})
