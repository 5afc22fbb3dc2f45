"""Learn2PD: the filter's arithmetic, what it is told and what follows from it; and the cut behind an end."""

import json

import numpy as np
import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.core.types import Commit
from anyorder.errors import UserError
from anyorder.filling import look, unmask
from anyorder.methods.diffusion import learn2pd as module
from anyorder.methods.diffusion.learn2pd import Filter, ended, read_filter
from anyorder.registry import build
from anyorder.testing import ToyTwoWay, play
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [
    {"filter": "tests/methods/diffusion/filter.json"},
    {"filter": "tests/methods/diffusion/filter.json", "theta": 0.1, "eotp": False},
]
PROMPT = [2, 0, 1]


@pytest.fixture
def made(tmp_path):
    """Writes a filter: sigma(scale c_i + bias) for cell i, plus cross c_0."""

    def write(width, scale=0.0, bias=0.0, cross=0.0, **more):
        inner = np.eye(width).tolist()
        outer = scale * np.eye(width)
        outer[:, 0] += cross
        parts = {
            "inner": inner,
            "inner_bias": [0.0] * width,
            "outer": outer.tolist(),
            "outer_bias": [bias] * width,
        }
        file = tmp_path / f"{width} {scale} {bias} {cross}.json"
        file.write_text(json.dumps(parts | more))
        return str(file)

    return write


def test_the_perceptron():
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=(3, 5)), rng.normal(size=3)
    net, sure = Filter(a, b, c, d), np.array([0.2, 0.9, 0.4])
    hidden = [max(0.0, sum(a[j, i] * sure[i] for i in range(3)) + b[j]) for j in range(5)]
    logits = [sum(c[k, j] * hidden[j] for j in range(5)) + d[k] for k in range(3)]
    assert net(sure) == pytest.approx([1 / (1 + np.exp(-x)) for x in logits])
    assert net(sure[:2]) == pytest.approx(net(np.array([0.2, 0.9, 1.0]))[:2])  # padded


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("given", [{"theta": 1.0, "bias": 100.0}, {"theta": 0.96, "bias": -100.0}])
def test_a_filter_that_accepts_nothing_is_static(made, greedy, given):
    file = made(4, bias=given["bias"])
    for seed in range(3):
        one = run("static", ToyTwoWay(seed), PROMPT, 7, 4, greedy=greedy, seed=seed)
        more = {"filter": file, "theta": given["theta"], "eotp": False}
        two = run("learn2pd", ToyTwoWay(seed), PROMPT, 7, 4, greedy=greedy, seed=seed, **more)
        assert two.commits == one.commits
        assert runs(two) == runs(one)


def test_a_filter_that_accepts_everything_takes_a_run_a_block(made):
    assert runs(run("learn2pd", ToyTwoWay(), PROMPT, 10, 4, filter=made(4, bias=100.0))) == 3


@pytest.mark.parametrize("greedy", [True, False])
def test_a_filter_that_is_a_threshold(made, greedy):
    """sigma(40 c - 8) > 0.5 where c > 0.2, c being the likeliest token's probability, drawn or not."""
    file = made(6, scale=40.0, bias=-8.0)
    for seed in range(4):
        net = ToyTwoWay(seed)

        def threshold(canvas):
            def policy(seen):
                sure = seen.law().amax(-1)
                best = max(range(len(seen)), key=lambda i: (seen.sure[i], -i))
                return {i for i in range(len(seen)) if sure[i] > 0.2} | {best}

            return unmask(canvas, look(greedy), policy)

        canvas = Canvas(PROMPT, 9, mask=net.mask, block=6)
        (plain,) = play([Request(canvas, threshold, {"target": net})])
        found = run("learn2pd", net, PROMPT, 9, 6, greedy=greedy, filter=file, theta=0.5)
        assert found.commits == plain.commits


def test_the_filter_sees_filled_cells(made):
    """All other cells wait until the first is filled and looks sure."""

    def says(text):
        return [(1, 0.4 if text[0] == 19 else 0.9), (2, 0.3), (3, 0.2), (4, 0.1)]

    record = run("learn2pd", Said(says), PROMPT, 4, filter=made(4, cross=40.0, bias=-20.0), theta=0.5)
    assert [c.at[0] for c in record.commits] == [[3], [4, 5, 6]]


def test_the_canvas_is_cut_behind_an_end_of_text(made):
    """64 cells in blocks of 8, the end in cell 5: the second run is over 6 cells."""
    file = made(8, scale=0.0, bias=-100.0)  # one cell a step: the first ones, up to the end of text

    def says(text):
        return [(18 if i >= 5 else i, 0.99 if i == 5 else 0.9 - i / 1000) for i in range(len(text))]

    record = run("learn2pd", Said(says), PROMPT, 64, 8, eos=[18], filter=file)
    assert record.texts == [[0, 1, 2, 3, 4, 18]]
    assert [answer.cells for _, answer in record.answers] == [67, *[9] * 5]
    whole = run("learn2pd", Said(says), PROMPT, 64, 8, eos=[18], filter=file, eotp=False)
    assert whole.texts == record.texts
    assert [answer.cells for _, answer in whole.answers] == [67] * 6


def test_an_accepted_end_of_text_is_never_cut_off(made):
    file = made(4, scale=40.0, bias=-6.0)
    cuts = 0
    for seed in range(12):
        for eos in range(4):
            record = run("learn2pd", ToyTwoWay(seed), PROMPT, 12, 4, eos=[eos], filter=file, theta=0.5)
            for commit in record.commits:
                if commit.cut:
                    cuts += 1
                    written = dict(zip(commit.at[0], commit.token[0], strict=True))
                    assert written[commit.cut[0] - 1] == eos
            text = record.texts[0]
            assert record.canvas.ended == (["eos"] if eos in text else ["length"])
            assert eos not in text[:-1]
    assert cuts > 5


def test_what_a_template_gave_is_not_cut_off():
    canvas = Canvas([1], 6, eos=[9], mask=12, given=[12, 12, 12, 5, 12, 12])
    mine = {0: frozenset({1, 2, 3, 5, 6})}
    assert ended(canvas, Commit([[9]], at=[[2]]), mine).cut == [5]
    assert ended(canvas, Commit([[9, 9]], at=[[6, 5]]), mine).cut == [6]
    assert ended(canvas, Commit([[3]], at=[[2]]), mine).cut == ()
    assert ended(canvas, Commit([[9]], at=[[6]]), mine).cut == ()  # nothing is behind it


def test_without_a_filter():
    with pytest.raises(UserError, match=r"no filter for this model.*python -m anyorder.recipes.learn2pd"):
        build("learn2pd", {}, Setting(spelling="of another model"))


def test_the_shipped_filter_is_for_its_own_model(made, monkeypatch):
    monkeypatch.setattr(module, "SHIPPED", module.Path(made(4, spelling="abc")))
    assert build("learn2pd", {}, Setting(spelling="abc"))
    with pytest.raises(UserError, match="no filter for this model"):
        build("learn2pd", {}, Setting(spelling="abd"))


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"inner": 1}', '{"inner": [[1]], "inner_bias": [0], "outer": [[1, 2]], "outer_bias": [0]}'],
)
def test_a_file_that_is_no_filter(tmp_path, text):
    file = tmp_path / "some.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"cannot be read .*; allowed is a \.json file"):
        read_filter(str(file))
    with pytest.raises(UserError, match="cannot be read"):
        read_filter(str(tmp_path / "none.json"))


def test_blocks_wider_than_the_filter(made):
    with pytest.raises(UserError, match="for blocks of 4 cells and the canvas has blocks of 7; allowed"):
        run("learn2pd", ToyTwoWay(), PROMPT, 7, filter=made(4))
