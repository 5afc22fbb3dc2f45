"""Any-order models from Python and the command line: canvases, templates, streams, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import anyorder
from anyorder.cli.canvas import drawn
from anyorder.cli.main import main
from anyorder.core.canvas import Canvas
from anyorder.errors import UserError
from anyorder.holes import canvas, filled
from anyorder.nets.adapter import Adapter

MASK = 299  # a spare token of the tiny model


def folder(source: Path, target: Path, **entry: Any) -> Path:
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    config["anyorder"] = {"mask": MASK, **entry}
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tiny_model_folder, tmp_path_factory.mktemp("any-order") / "full")


@pytest.fixture(scope="module")
def model(tiny: Path) -> anyorder.api.Model:
    return anyorder.load(str(tiny), precision="fp32")


def test_a_canvas_is_filled_and_auto_is_static(model):
    result = model.generate("ab", max_tokens=6, block=3)
    assert result.tokens == len(result.token_ids) <= 6
    assert MASK not in result.token_ids
    assert result.token_ids == model.generate("ab", "static", max_tokens=6, block=3).token_ids
    assert result.runs <= 6


def test_a_block_is_filled_before_the_next(model):
    cells = [c for piece in model.stream("ab", "static", max_tokens=6, block=2) for c in piece.cells]
    assert [set(cells[i : i + 2]) for i in range(0, len(cells) - 1, 2)] == [{0, 1}, {2, 3}, {4, 5}][
        : len(cells) // 2
    ]


def test_pieces_name_their_cells_and_the_canvas_is_the_whole(model):
    written: dict[int, str] = {}
    for piece in model.stream("ab", "static", max_tokens=5, block=5):
        assert len(piece.cells) == 1
        assert piece.cells[0] not in written
        written[piece.cells[0]] = str(piece)
        tokens = piece.request.canvas.generated()
    assert set(range(len(tokens))) <= set(written)
    assert [written[i] for i in range(len(tokens))] == [model.tokenizer.decode([t]) for t in tokens]


def test_fixed_text_stays_where_the_template_puts_it(model):
    result = model.request("ab", "static", template="xy<2>z<1>")
    assert result.canvas.rows[0][-6:] == [
        *model.encode("xy", False),
        MASK,
        MASK,
        *model.encode("z", False),
        MASK,
    ]
    text = model.generate("ab", "static", template="xy<2>z<1>")
    ids = text.token_ids
    assert ids[:2] == model.encode("xy", False)
    assert len(ids) < 5 or ids[4:5] == model.encode("z", False)


def test_many_requests_share_runs_and_each_is_what_it_is_alone(model):
    prompts = ["ab", "c", "some longer prompt", "d e"]
    together = model.batch(prompts, "static", max_tokens=7, block=4)
    assert [r.token_ids for r in together] == [
        model.generate(p, "static", max_tokens=7, block=4).token_ids for p in prompts
    ]


@pytest.mark.parametrize(
    "prompt, method, options, said",
    [
        ("ab", "greedy", {}, "writes from left to right"),
        ("ab", "static", {"max_tokens": 0}, "allowed is 1 or more"),
        ("ab", "static", {"max_tokens": 2000}, "holds 1024 in all"),
        ("ab", "static", {"template": "no holes"}, "has no holes"),
        ("ab", "static", {"template": "a<4>", "max_tokens": 3}, "the template has 5 cells"),
        ("ab", "static", {"block": -1}, "option block is -1"),
        ("ab", "static", {"sreps": 3}, "has no option 'sreps'"),
    ],
)
def test_refused_with_what_was_seen_and_what_to_do(model, prompt, method, options, said):
    with pytest.raises(UserError, match=said):
        model.request(prompt, method, **options)


def test_cells_methods_need_an_any_order_model(tiny_model_folder):
    with pytest.raises(UserError, match="writes from left to right; choose a method"):
        anyorder.load(str(tiny_model_folder)).request("ab", "static")


def test_blocks_of_a_block_causal_model_are_its_own_and_begin_at_cell_0(tiny_model_folder, tmp_path):
    made = folder(tiny_model_folder, tmp_path / "block", attention="block", block=4)
    model = anyorder.load(str(made), precision="fp32")
    request = model.request([1, 2, 3, 4, 5, 6], "static", max_tokens=7)
    assert [list(b) for b in request.canvas.blocks()] == [[6, 7], [8, 9, 10, 11], [12]]
    with pytest.raises(UserError, match="trained with blocks of 4"):
        model.request("ab", "static", block=8)


def test_a_hybrid_model_also_writes_from_left_to_right(tiny_model_folder, tmp_path):
    made = folder(tiny_model_folder, tmp_path / "hybrid", attention="hybrid", shift=True)
    both, plain = (
        anyorder.load(str(made), precision="fp32"),
        anyorder.load(str(tiny_model_folder), precision="fp32"),
    )
    assert (
        both.generate("ab", "greedy", max_tokens=9).token_ids
        == plain.generate("ab", "greedy", max_tokens=9).token_ids
    )
    assert MASK not in both.generate("ab", "static", max_tokens=6, block=3).token_ids


def test_templates():
    assert filled("<2>", 9, lambda text: []) == [9, 9]
    assert filled("a<1>b", 9, lambda text: [len(text)]) == [1, 9, 1]
    with pytest.raises(UserError, match="has no holes"):
        filled("a<0>", 9, lambda text: [1])


def test_block_of_a_canvas():
    def made(adapter: Adapter, cells: int | None, block: int = 0) -> Canvas:
        return canvas([1], cells, adapter, {"block": block, "template": ""}, lambda text: [], (), None)

    assert made(Adapter(0), 100).block == 32
    assert made(Adapter(0), 8).block == 8
    assert made(Adapter(0), None).budget == 128
    assert made(Adapter(0, block=16), 64).block == 16
    assert made(Adapter(0, block=16), 64, block=4).block == 4


def test_command_line(tiny, tmp_path, capsys):
    def run(*more: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["generate", "ab", "--model", str(tiny), "--max-tokens", "4", "--precision", "fp32", *more])
        return int(ended.value.code or 0), capsys.readouterr().out

    trace = tmp_path / "trace.jsonl"
    code, out = run("--set", "block=2", "--json", "--trace", str(trace))
    assert code == 0
    assert json.loads(out.splitlines()[-1])["tokens"] <= 4
    first, *lines, _ = [json.loads(line) for line in trace.read_text().splitlines()]
    assert first["cells"] == 4
    assert all(len(line["committed"][0]["at"]) == 1 for line in lines)
    assert all(0 < line["committed"][0]["probability"][0] <= 1 for line in lines)
    code, shown = run("--set", "block=2")
    assert (code, shown.strip("\n")) == (0, json.loads(out.splitlines()[-1])["text"].strip("\n"))
    assert run("--method", "static", "--set", "steps=x")[0] == 2


def test_a_canvas_is_drawn_with_its_holes(model):
    canvas = Canvas([1], 4, mask=MASK)
    canvas.rows[0][1:] = [*model.encode("a", False), MASK, *model.encode("bc", False)]
    text = drawn(canvas, model.tokenizer, {3})
    assert text.plain == "a░bc"
    assert any("bold" in str(span.style) for span in text.spans)
