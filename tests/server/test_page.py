"""The playground in a real browser: runs, replays, traces, keys, themes, phones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anyorder.core.decode import decode
from anyorder.trace import Tracer, read
from tests.browser import Visit, launched, trace_of
from tests.server.conftest import running

PROMPT = "Repeat this list twice: red, green, blue, yellow, black, white."
REFUSED = "the server responded with a status of"  # what a browser's console says of every 4xx


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


@pytest.fixture
def visit(browser) -> Iterator[Any]:
    """Visits a server's page once its columns are there; nothing may go wrong on it."""
    made: list[Visit] = []

    def at(server, **how) -> Visit:
        made.append(Visit(browser, server.url + "/", **how))
        made[-1].page.locator(".column").first.wait_for()
        return made[-1]

    yield at
    for one in made:
        one.clean(REFUSED)
        one.close()


def expect(locator):
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    return expect(locator)


def recorded(model, file: Path, method: str, prompt: str, **options) -> tuple[str, list[dict], Any]:
    """A trace as text, its steps, and the result."""
    request, tracer = model.request(prompt, method, **options), Tracer(file)
    tracer.begin(model, request, method, prompt)
    for event in decode([request], tracer.watch):
        tracer.write(event)
    result = model.result(request, method, 1.0)
    tracer.close(result.figures())
    return file.read_text(), read(file)[1], result


# runs -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_methods_side_by_side_write_what_the_library_writes(visit, server):
    here = visit(server)
    page = here.page
    page.fill("#prompt", PROMPT)
    page.fill("input[name=max_tokens]", "30")
    page.keyboard.press("Control+Enter")
    for column, method in enumerate(("greedy", "token_recycling")):
        expect(here.said(column)).to_contain_text("Ended")
        expect(page.locator(".method").nth(column)).to_have_value(method)
        answer = server.model.generate(PROMPT, method, max_tokens=30)
        assert here.rows(column) == [answer.text]
        figures = page.locator(".figures").nth(column)
        expect(figures).to_contain_text("exact")
        assert f"tokens{answer.tokens}" in figures.inner_text().replace("\n", "")
    assert page.locator(".stage").nth(0).locator(".by-own").count() > 5
    assert page.locator(".stage").nth(1).locator(".by-0").count() > 1
    expect(page.locator(".legend")).to_contain_text("accepted from token_recycling")
    page.locator(".stage").nth(1).locator(".by-0").last.hover()
    detail = page.locator(".detail").nth(1)
    expect(detail).to_contain_text("a guess of token_recycling, accepted")
    assert detail.locator(".tree .node.taken").count() >= 1
    assert detail.locator(".rejected li").count() >= 1
    here.keep("side-by-side")
    here.seek(3)
    assert len(here.rows()[0]) < 20
    page.get_by_role("button", name="Replay side by side").click()
    here.turn()
    page.locator(".scrub select").nth(0).select_option("16")
    page.locator(".scrub select").nth(1).select_option("16")
    expect(page.locator(".play").nth(0)).to_have_attribute("aria-label", "Play")
    assert here.rows() == [server.model.generate(PROMPT, max_tokens=30).text]


@pytest.mark.slow
def test_escape_stops_a_run_here_and_at_the_server(visit, server):
    here = visit(server)
    here.page.fill("#prompt", "Count from one to one thousand, every number.")
    here.page.fill("input[name=max_tokens]", "900")
    here.page.get_by_role("button", name="Run").click()
    here.page.locator(".stage .token").nth(3).wait_for()
    here.page.keyboard.press("Escape")
    expect(here.said()).to_have_text("Stopped.")
    expect(here.page.locator(".scrub").first).to_be_visible()
    assert here.rows(1) == [], "the second method never began"
    assert server.empties()


def test_a_canvas_fills_in_any_order_and_methods_of_rows_are_named_with_the_reason(visit, diffusion_server):
    here = visit(diffusion_server)
    page = here.page
    page.fill("#prompt", "reverse: Ann, Ben, Cid, Dan")
    page.keyboard.press("Control+Enter")
    expect(here.said(1)).to_contain_text("Ended")
    for column, method in enumerate(("static", "threshold")):
        answer = diffusion_server.model.generate("reverse: Ann, Ben, Cid, Dan", method)
        assert " ".join(filter(None, here.cells(column))) == answer.text
        expect(page.locator(".place, .scrub output").nth(column)).to_have_text(
            f"{answer.runs} / {answer.runs}"
        )
    here.seek(5)
    shown = here.cells()
    assert sum(cell is not None for cell in shown) == 5
    assert None in shown[: max(i for i, cell in enumerate(shown) if cell is not None)], "not left to right"
    here.keep("canvas-half-filled")
    greedy = page.locator(".method").first.locator("option[value=greedy]")
    expect(greedy).to_be_disabled()
    assert len(greedy.inner_text()) > len("greedy — ")


def test_what_the_server_refuses_is_shown_as_it_says_it(visit, diffusion_server):
    here = visit(diffusion_server)
    here.page.fill("#prompt", "reverse: Ann, zebra")
    here.page.get_by_role("button", name="Run").click()
    expect(here.said()).to_contain_text("the prompt has words that list-diffusion does not know: zebra")
    here.page.fill("input[name=temperature]", "-1")
    here.page.get_by_role("button", name="Run").click()
    assert here.page.evaluate("document.activeElement.name") == "temperature"


def test_options_are_those_of_the_card_and_are_sent(visit, diffusion_server):
    here = visit(diffusion_server)
    column = here.page.locator(".column").first
    column.locator("summary").click()
    column.locator("input[name=steps]").fill("2")
    here.page.get_by_role("button", name="Remove this column").nth(1).click()
    with here.page.expect_request("**/chat/completions") as sent:
        here.page.keyboard.press("Control+Enter")
    body = json.loads(sent.value.post_data)
    assert body["method"] == "static"
    assert body["method_options"] == {"steps": 2}
    expect(here.said()).to_contain_text("Ended")
    expect(column.locator(".scrub output")).to_have_text("2 / 2")


def test_a_key_is_asked_for_and_kept_in_memory_only(browser, tiny_model):
    with running(tiny_model, keys=("secret",)) as server:
        here = Visit(browser, server.url + "/")
        expect(here.page.get_by_role("alert")).to_contain_text("API key")
        here.page.keyboard.type("secret")
        here.page.keyboard.press("Enter")
        here.page.locator(".column").first.wait_for()
        here.page.fill("input[name=max_tokens]", "4")
        here.page.keyboard.press("Control+Enter")
        expect(here.said(1)).to_contain_text("Ended")
        assert "secret" not in json.dumps(here.page.evaluate("({...localStorage, ...sessionStorage})"))
        here.clean(REFUSED)
        here.close()


# hands, eyes ------------------------------------------------------------------------------------------------


def test_everything_by_keyboard(visit, diffusion_server):
    here = visit(diffusion_server)
    press, focused = here.page.keyboard.press, "document.activeElement"
    for _ in range(6):
        press("Tab")
        if here.page.evaluate(f"{focused}.id") == "prompt":
            break
    press("Control+A")
    here.page.keyboard.type("sort: Eva, Ann")
    press("Control+Enter")
    expect(here.said(1)).to_contain_text("Ended")
    for _ in range(40):
        press("Tab")
        outline = here.page.evaluate(
            f"getComputedStyle({focused}.closest('.file') ?? {focused}).outlineStyle"
        )
        assert outline != "none", "focus is seen"
        if here.page.evaluate(f"{focused}.className") == "stage":
            break
    press("ArrowRight")
    detail = here.page.locator(".detail").first
    expect(detail.locator("h3")).to_contain_text("Ann")
    press("End")
    expect(detail.locator("h3")).not_to_contain_text("Ann")
    press("Home")
    expect(detail.locator("h3")).to_contain_text("Ann")
    press("Tab")
    press("Space")  # play
    here.turn()
    expect(here.page.locator(".play").first).to_have_attribute("aria-label", "Play")
    press("Tab")
    press("ArrowLeft")
    here.turn()
    steps = int(here.page.locator(".scrub input").first.get_attribute("max"))
    expect(here.page.locator(".scrub output").first).to_have_text(f"{steps - 1} / {steps}")


def test_a_phone_shows_one_column_and_never_scrolls_sideways(visit, diffusion_server):
    here = visit(diffusion_server, viewport={"width": 360, "height": 740}, has_touch=True)
    here.page.keyboard.press("Control+Enter")
    expect(here.said(1)).to_contain_text("Ended")
    here.page.locator(".cell").first.tap()
    here.page.locator(".composer summary").click()
    here.page.locator(".column summary").first.click()
    here.drop("long.jsonl", trace_of(["a" * 300, " b"], prompt="c" * 500, method="d" * 90))
    expect(here.page.locator(".column")).to_have_count(3)
    assert here.page.evaluate("document.documentElement.scrollWidth") <= 360
    left = [box["x"] for box in (c.bounding_box() for c in here.page.locator(".column").all())]
    assert len(set(left)) == 1
    here.keep("phone")


def test_dark_as_the_system_is_and_light_by_the_button(visit, diffusion_server):
    here = visit(diffusion_server, color_scheme="dark", reduced_motion="reduce")
    here.page.keyboard.press("Control+Enter")
    expect(here.said(1)).to_contain_text("Ended")

    def brightness() -> float:
        style = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        return sum(here.page.evaluate(style)) / 3

    assert brightness() < 60
    moves = "cell => { cell.classList.add('flash'); return getComputedStyle(cell).animationName }"
    assert here.page.locator(".cell").first.evaluate(moves) == "none", "less motion was asked for"
    here.keep("dark")
    here.page.get_by_role("button", name="Switch to light").click()
    assert brightness() > 200
    here.page.reload()
    assert brightness() > 200, "remembered"


# traces -----------------------------------------------------------------------------------------------------


def test_a_trace_of_beams_shows_every_row_at_every_step(visit, diffusion_server, tiny_model, tmp_path):
    text, steps, _ = recorded(tiny_model, tmp_path / "t.jsonl", "beam", "abab", width=3, max_tokens=6)
    here = visit(diffusion_server)
    here.drop("beams.jsonl", text)
    expect(here.page.locator(".column")).to_have_count(3)
    rows = [""]
    states = [rows]
    for step in steps:
        before, rows = rows, (rows + [""] * step["rows"])[: step["rows"]]
        for part in step["committed"]:
            rows[part["row"]] = before[part["parent"]] + "".join(part["texts"])
        states.append(rows)
    for k in (len(steps), 0, 3, 1, 2, len(steps)):
        here.seek(k, 2)
        assert here.rows(2) == states[k]
    here.keep("beams")


def test_a_replay_keeps_the_end_in_sight_unless_its_reader_went_up(visit, diffusion_server):
    here = visit(diffusion_server)
    here.drop("long.jsonl", trace_of(["a line\n"] * 300))
    stage, play = here.page.locator(".stage").nth(2), here.page.locator(".play").nth(2)
    below = "stage => stage.scrollHeight - stage.clientHeight - stage.scrollTop"
    here.turn()
    assert stage.evaluate("stage => stage.scrollHeight > 3 * stage.clientHeight"), "it does not fit"
    assert stage.evaluate(below) < 8
    for went_up in (False, True):
        here.seek(150, 2)
        here.turn()
        if went_up:
            stage.evaluate("stage => { stage.scrollTop = 40 }")
            here.turn()
        play.click()
        expect(here.page.locator(".scrub output").nth(2)).to_have_text("300 / 300")
        here.turn()
        assert stage.evaluate("stage => stage.scrollTop") == 40 if went_up else stage.evaluate(below) < 8


def test_cells_written_again_flash_and_holes_come_back(visit, diffusion_server, tmp_path):
    options = {"temperature": 1.0, "seed": 3}
    prompt = "shuffle: Ann, Ben, Cid, Dan"
    text, steps, _ = recorded(diffusion_server.model, tmp_path / "t.jsonl", "remdm", prompt, **options)
    cells: list[str | None] = [None] * json.loads(text.splitlines()[0])["cells"]
    states = [list(cells)]
    for step in steps:
        for part in step["committed"]:
            for at, word in zip(part["at"], part["texts"], strict=True):
                cells[at] = word
        states.append(list(cells))
    here = visit(diffusion_server)
    here.drop("remdm.jsonl", text)
    for k in (*range(len(states)), 2, 0):
        here.seek(k, 2)
        assert here.cells(2) == states[k]
    again = [k for k in range(2, len(states)) if _rewrites(states[k - 1], states[k])]
    assert again, "this seed writes a cell again"
    here.seek(again[0] - 1, 2)
    here.seek(again[0], 2)
    assert here.page.locator(".cell.flash").count() >= 1


def _rewrites(before: list[str | None], after: list[str | None]) -> bool:
    return any(a is not None and a != b for a, b in zip(before, after))


def test_a_template_s_fixed_text_is_there_from_the_start(visit, diffusion_server, tmp_path):
    text, steps, _ = recorded(
        diffusion_server.model, tmp_path / "t.jsonl", "threshold", "copy: Ann, Ben, Cid",
        template="Ann <2> Dan",
    )  # fmt: skip
    here = visit(diffusion_server)
    here.drop("template.jsonl", text)
    here.seek(0, 2)
    assert here.cells(2) == ["Ann", None, None, "Dan"]
    here.seek(len(steps), 2)
    assert here.cells(2) == ["Ann", "Ben", "Cid", "Dan"]


def test_the_documentation_names_every_field(tiny_model, tmp_path):
    text, _, _ = recorded(tiny_model, tmp_path / "t.jsonl", "prompt_lookup", "abcabcabcabc", max_tokens=6)
    page = (Path(__file__).parents[2] / "docs" / "playground.md").read_text()

    def names(record: Any) -> set[str]:
        if isinstance(record, list):
            return set().union(*map(names, record))
        return set(record) | names([*record.values()]) if isinstance(record, dict) else set()

    lines = [json.loads(line) for line in text.splitlines()]
    known = names(lines[:-1])
    assert {"guess", "probability", "by"} <= known
    assert [name for name in known if f"`{name}" not in page] == []


@pytest.mark.parametrize(
    "text, said",
    [
        (trace_of(["a"], anyorder_trace=1), "is a trace of version 1; this page reads version 2"),
        (trace_of(["a"], anyorder_trace=3), "is a trace of version 3; this page reads version 2"),
        ('{"step": 0, "asked": []}\n', "its first line has no \"anyorder_trace\""),
        ("", "its first line has no \"anyorder_trace\""),
        (trace_of(["a"])[:-9], "line 3, is not a JSON object"),
        (trace_of(["a"]).replace("committed", "omitted"), "line 2, is neither a step nor the end"),
        (trace_of(["a"]).replace('"token": [0]', '"token": 7'), "line 2, is neither a step nor the end"),
        (trace_of(["a"], canvas="cells", cells=10**12), "names 1000000000000 cells, which no canvas has"),
        (trace_of(["a"]).replace('"row": 0, "parent"', '"row": {}, "parent"'), "line 2, is neither a step"),
        ("\x00\xff", "line 1, is not a JSON object"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_trace_is_named(shared, text, said):
    shared.drop("some.jsonl", text)
    alert = shared.page.get_by_role("alert")
    expect(alert).to_contain_text(said)
    expect(alert).to_contain_text("some.jsonl")
    expect(shared.page.locator(".column")).to_have_count(2)


@pytest.fixture(scope="module")
def shared(browser, diffusion_server) -> Iterator[Visit]:
    here = Visit(browser, diffusion_server.url + "/")
    here.page.locator(".column").first.wait_for()
    yield here
    here.clean()
    here.close()


def test_dropped_files_open_too(visit, diffusion_server):
    here = visit(diffusion_server)
    here.page.evaluate(
        """text => {
          const files = new DataTransfer();
          files.items.add(new File([text], "dropped.jsonl"));
          document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true}));
        }""",
        trace_of(["one", " two"]),
    )
    expect(here.page.locator(".column")).to_have_count(3)
    here.turn()
    assert here.rows(2) == ["one two"]


def test_what_a_trace_says_is_text_and_nothing_else(visit, diffusion_server):
    evil = '<script>window.hit = 1</script><img src="/x" onerror="window.hit = 2">'
    here = visit(diffusion_server)
    text = trace_of([evil, evil], method=evil, prompt=evil, model=evil).replace('"drafter"', json.dumps(evil))
    here.drop("<b>evil</b>.jsonl", text)
    expect(here.page.locator(".column")).to_have_count(3)
    here.turn()
    assert here.rows(2) == [evil + evil]
    here.page.locator(".stage").nth(2).locator(".token").first.click()
    expect(here.page.locator(".detail").nth(2).locator(".tree")).to_be_visible()
    assert here.page.locator("main img, main script, main b").count() == 0
    assert here.page.evaluate("window.hit") is None


# speed ------------------------------------------------------------------------------------------------------

FRAMES = """() => {
  window.frames_ = []; let last = performance.now();
  const tick = now => { window.frames_.push(now - last); last = now; requestAnimationFrame(tick) };
  requestAnimationFrame(tick);
}"""


def test_no_task_of_a_long_replay_takes_50_ms_of_the_processor(browser, visit, diffusion_server):
    """Processor time, so that it holds on a busy machine too; one paragraph, the most to be laid out."""
    here = visit(diffusion_server)
    here.drop("long.jsonl", trace_of([f" word{i}" for i in range(2000)]))
    expect(here.page.locator(".stage").nth(2).locator(".token")).to_have_count(2000)
    browser.start_tracing(page=here.page, categories=["toplevel"])
    here.page.locator(".scrub select").nth(2).select_option("4")
    here.page.locator(".play").nth(2).click()
    for label in ("Pause", "Play"):
        expect(here.page.locator(".play").nth(2)).to_have_attribute("aria-label", label)
    for step in (0, 2000):
        here.seek(step, 2)
        expect(here.page.locator(".stage").nth(2).locator(".token")).to_have_count(step)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    mains = {(e["pid"], e["tid"]) for e in events if e.get("args") == {"name": "CrRendererMain"}}
    times = [e.get("tdur", 0) / 1000 for e in events if e["ph"] == "X" and (e["pid"], e["tid"]) in mains]
    print(f"{len(times)} tasks, the longest {max(times):.1f} ms of the processor")
    assert len(times) > 100
    assert 0 < max(times) <= 50


@pytest.mark.quiet
def test_two_thousand_tokens_replay_without_a_frame_over_50_ms(visit, diffusion_server):
    here = visit(diffusion_server)
    words = [f" word{i}" + ".\n" * (i % 97 == 96) for i in range(2000)]
    here.drop("long.jsonl", trace_of(words))
    expect(here.page.locator(".stage").nth(2).locator(".token")).to_have_count(2000)
    here.page.evaluate(FRAMES)
    here.page.wait_for_timeout(300)  # the recorder's own first frames
    longest = min(_longest_frame(here) for _ in range(3))  # the machine has other things to do, too
    print(f"2,000 tokens: longest frame {longest:.1f} ms")
    assert here.rows(2) == ["".join(words[:10])]
    assert longest <= 50


def _longest_frame(here: Visit) -> float:
    """Milliseconds, of a replay and of scrubbing far."""
    here.seek(0, 2)
    here.page.evaluate("window.frames_.length = 0")
    here.page.locator(".play").nth(2).click()
    for label in ("Pause", "Play"):
        expect(here.page.locator(".play").nth(2)).to_have_attribute("aria-label", label)
    assert here.page.evaluate("window.frames_.length") > 100
    for step in (0, 2000, 1000, 1500, 10):
        here.seek(step, 2)
        here.page.wait_for_timeout(250)
    return max(here.page.evaluate("window.frames_"))


@pytest.mark.quiet
def test_the_first_paint_comes_within_a_second(visit, diffusion_server):
    here = visit(diffusion_server)
    paints = "performance.getEntriesByType('paint').map(entry => entry.startTime)"
    times = here.page.evaluate(paints)
    print(f"first paints after {times} ms")
    assert times
    assert max(times) <= 1000
