"""Prophet: the policy itself below its gaps, one run above them, and in between the jump of the paper."""

import math

import numpy as np
import pytest

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.types import Commit
from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [
    {"early": 1.0, "middle": 0.8, "late": 0.5},
    {"then": "threshold/threshold=0.3", "gaps": "lowest", "early": 0.4, "middle": 0.2, "late": 0.1},
    {"then": "freedave/drafts=3", "region": 2, "early": 1.0, "middle": 0.5, "late": 0.5},
]

NEVER = {"early": math.inf, "middle": math.inf, "late": math.inf}
ALWAYS = {"early": -math.inf, "middle": -math.inf, "late": -math.inf}
POLICIES = ["static", "static/steps=2", "threshold/threshold=0.3", "freedave/drafts=3", "freedave_pp"]


@pytest.mark.parametrize("then", POLICIES)
@pytest.mark.parametrize("region, gaps", [(0, "mean"), (3, "lowest")])
@pytest.mark.parametrize("greedy", [True, False])
def test_gaps_that_are_never_reached(then, region, gaps, greedy):
    """The policy's own commits, also its draws: it sees the cells that it asked for and no others."""
    name, options = registry.parsed(then)
    given = {"greedy": greedy, "seed": 4}
    plain = run(name, ToyTwoWay(), [1, 2], 9, 4, **given, **options)
    found = run("prophet", ToyTwoWay(), [1, 2], 9, 4, then=then, region=region, gaps=gaps, **NEVER, **given)
    assert found.commits == plain.commits
    assert runs(found) == runs(plain)


@pytest.mark.parametrize("then", POLICIES)
def test_gaps_that_are_always_reached(then):
    """One forward, in which every cell takes its likeliest token, also above temperature 0."""
    net = ToyTwoWay()
    best = net.plain([1, 2, *[net.mask] * 9]).argmax(-1).tolist()[2:]
    for greedy in (True, False):
        found = run("prophet", net, [1, 2], 9, 4, then=then, greedy=greedy, **ALWAYS)
        assert (runs(found), found.texts) == (1, [best])


def filled_at(record):
    """Cells written before the last commit, which is the jump if it writes more than one."""
    return sum(len(commit.at[0]) for commit in record.commits[:-1])


@pytest.mark.parametrize("gaps", ["mean", "lowest"])
def test_lower_thresholds_never_stop_later(gaps):
    for seed in range(4):
        stops = [
            filled_at(run("prophet", ToyTwoWay(seed), [1, 2], 9, gaps=gaps, early=g, middle=g, late=g))
            for g in (math.inf, 2.0, 1.0, 0.5, 0.2, 0.1, -math.inf)
        ]
        assert stops == sorted(stops, reverse=True)
        assert (stops[0], stops[-1]) == (8, 0)


@pytest.mark.parametrize("region", [0, 3])
def test_where_the_paper_stops(region):
    """By hand over static's path: the first state whose mean gap reaches that of its third."""
    met = set()
    for seed in range(8):
        net, cells = ToyTwoWay(seed), 9
        row, stop = [1, 2, *[net.mask] * cells], None
        for commit in run("static", net, [1, 2], cells).commits:
            z = net.plain(row).topk(2).values
            holes = [i for i, t in enumerate(row) if t == net.mask]
            answer = [i for i in holes if i >= 2 + cells - (region or cells)]
            gap = float(np.mean([float(z[i, 0] - z[i, 1]) for i in answer])) if answer else math.inf
            progress = (cells - len(holes)) / cells
            if gap >= (1.2 if progress < 1 / 3 else 0.8 if progress < 2 / 3 else 0.5):
                stop = cells - len(holes)
                break
            row[commit.at[0][0]] = commit.token[0][0]
        found = run("prophet", net, [1, 2], cells, region=region, early=1.2, middle=0.8, late=0.5)
        best = net.plain(row).argmax(-1).tolist()
        assert runs(found) == (cells if stop is None else stop + 1)
        assert found.canvas.rows[0] == [best[i] if t == net.mask else t for i, t in enumerate(row)]
        met.add(stop)
    assert len(met) > 2, met


def test_thirds_of_the_canvas():
    """Each third has its own gap: 3 of 9 cells are the second third, 6 the last."""
    net = Said(lambda cells: [(0, 0.5)] * len(cells))
    for place, early, middle, late in [(0, 0, 9, 9), (3, 99, 0, 99), (6, 99, 99, 0)]:
        found = run("prophet", net, [1], 9, early=early, middle=middle, late=late)
        assert filled_at(found) == place


def test_an_answer_without_holes_is_settled():
    net = Said(lambda cells: [(0, 0.5 + i / 100) for i in range(len(cells))])  # from the right
    found = run("prophet", net, [1], 6, region=2, early=99, middle=99, late=99)
    assert [len(commit.at[0]) for commit in found.commits] == [1, 1, 4]


def test_only_the_ask_about_the_text_is_watched():
    """Drafts are asked as ever; the canvas' other holes are asked beside the text's, in the same run."""
    found = run("prophet", ToyTwoWay(), [1, 2], 9, 3, then="freedave/drafts=3", **NEVER)
    row, drafts = [19] * 9, 0
    for step in found.steps:
        if isinstance(step, Commit):
            for i, token in zip(step.at[0], step.token[0], strict=True):
                row[i - 2] = token
            continue
        text, *others = step
        assert sorted(text.at[0]) == [i + 2 for i, token in enumerate(row) if token == 19]
        assert all(len(ask.at[0]) <= 3 for ask in others)
        drafts += len(others)
    assert drafts > 3


def test_runs_only_what_fills_cells():
    with pytest.raises(ValueError, match=r"greedy writes from left to right.*fills cells in any order"):
        registry.build("prophet", {"then": "greedy"}, Setting())
    with pytest.raises(ValueError, match=r"static fills cells in any order.*writes from left to right"):
        registry.build("momentum", {"then": "static"}, Setting())
