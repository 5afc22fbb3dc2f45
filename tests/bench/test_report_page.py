"""The page of a benchmark: its figures, its recordings, and that it asks nobody for anything."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from anyorder.bench import page, report
from anyorder.bench.entries import Plan, entries
from anyorder.bench.measure import Bench
from anyorder.bench.replays import PROMPTS, replays
from anyorder.bench.suites import Prompt
from tests.browser import Visit, launched

EVIL = "</script><img src=x onerror=\"window.hit = 1\"><script>window.hit = 2</script>"  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


def test_replays_are_of_what_was_measured_and_change_none_of_it(make):
    bench = make("jacobi,beam:width=2,transformers")
    measured = bench.measure()
    before = list(measured.takes)
    runs = replays(bench, measured)
    assert measured.takes == before
    assert [(run.label, run.prompt) for run in runs] == [
        (label, prompt)
        for label in ("greedy", "jacobi", "beam:width=2")
        for prompt in ("1 · a", "2 · a", "3 · b")
    ]
    assert len(runs) == 3 * PROMPTS
    takes = {(take.label, take.prompts[0]): take.run for take in measured.takes}
    for i, run in enumerate(runs):
        first, *steps, last = run.records
        take = takes[run.label, i % PROMPTS]
        assert first["prompt"] == bench.prompts[i % PROMPTS].text
        assert last["end"]["text"] == bench.text(take.tokens[0])
        assert last["end"]["runs"] == take.runs
        assert last["end"]["seconds"] == pytest.approx(take.seconds, abs=1e-4)
        times = [step["ms"] for step in steps]
        assert times == sorted(times)
        assert 0 < times[-1] <= 1000 * take.seconds + 1e-3


def test_prompts_measured_side_by_side_and_mixes(make):
    bench = make("jacobi,mix(greedy+jacobi)", batch=2)
    runs = replays(bench, bench.measure())
    assert {run.label for run in runs} == {"greedy", "jacobi"}
    said = report.report(bench.measure())
    assert "its speed is not the table's" in page.page(said, [], runs)


def test_ctrl_c_keeps_what_was_recorded(make, monkeypatch):
    bench = make("jacobi")
    measured = bench.measure()
    request, calls = Bench.request, []

    def stops(self, *given):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return request(self, *given)

    monkeypatch.setattr(Bench, "request", stops)
    assert [run.label for run in replays(bench, measured)] == ["greedy"] * 2


def test_the_page_says_what_the_markdown_says_and_holds_all_it_needs(make, tmp_path):
    bench = make("jacobi,beam")
    measured = bench.measure()
    said = report.report(measured, bench.spell)
    files = report.write(said, tmp_path, replays(bench, measured))
    text = files[-1].read_text()
    assert files[-1].name == "report.html"
    cells = re.findall(r'<t[hd](?: class="word")?>(.*?)</t[hd]>', text)
    for _, lines, _ in report.tables(said):
        at = cells.index(html.escape(lines[0][0]))
        assert [html.unescape(c) for c in cells[at : at + len(lines) * len(lines[0])]] == [*chain(*lines)]
    for line in (tmp_path / "bench.md").read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            assert all(html.escape(cell.strip()) in cells for cell in line.strip("| ").split(" | "))
    assert html.escape(said["command"]) in text
    assert text.count("data:image/png;base64,") == 1
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert not re.search(r"^\s*(import|export) ", text, re.MULTILINE)


def test_the_page_replays_in_a_browser_and_prompts_are_only_text(model, tmp_path, browser):
    plan = Plan("jacobi,beam:width=2", model="tiny", precision="fp32", max_tokens=8)
    prompts = [Prompt("1", EVIL, EVIL), Prompt("2", "plain", "abab")]
    bench = Bench(model, entries(plan), prompts, plan)
    measured = bench.measure()
    said = report.report(measured, bench.spell)
    runs = replays(bench, measured)
    files = report.write(said, tmp_path, runs)
    here = Visit(browser, files[-1].as_uri(), color_scheme="dark")
    heads = here.page.locator(".column h2")
    heads.nth(2).wait_for()
    assert heads.all_inner_texts() == ["greedy", "jacobi", "beam:width=2"]
    assert here.page.locator("#viewer .asked").inner_text() == EVIL
    here.turn()
    for column, run in enumerate((runs[0], runs[2])):
        parts = [part for step in run.records[1:-1] for part in step["committed"]]
        assert here.rows(column) == ["".join(chain(*(part["texts"] for part in parts)))]
    assert here.page.locator(".stage").nth(0).locator(".token").count() == 8
    here.seek(2)
    assert here.page.locator(".stage").nth(0).locator(".token").count() == 2
    here.page.get_by_role("button", name="Replay side by side").click()
    here.page.locator("#which").select_option("2 · plain")
    here.page.get_by_label("jacobi", exact=True).uncheck()
    here.turn()
    assert heads.all_inner_texts() == ["greedy", "beam:width=2"]
    assert here.page.evaluate("window.hit") is None
    assert here.page.locator("img").count() == 1, "the plot"
    here.keep("report")
    here.page.set_viewport_size({"width": 360, "height": 740})
    assert here.page.evaluate("document.documentElement.scrollWidth") <= 360
    here.clean()
    here.close()


def test_modules_become_one_script():
    made = page.script("report")
    assert json.dumps("./") not in made
    assert made.index("const dom_ =") < made.index("const viewer_ =") < made.index("const report_ =")
    with pytest.raises(AssertionError, match="close no element"):
        page._inside("x = '</script>'")
