"""Dream's sampler: its schedule of times, "origin" as a law, drawn orders, and runs that it does not make."""

import math
from itertools import combinations, pairwise

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.methods.diffusion.dream import left_after
from anyorder.registry import build
from anyorder.testing import ToyTwoWay, enumerate_outcomes, play, restarted
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [{"steps": 4}, {}, {"alg": "origin"}, {"alg": "topk_margin", "alg_temp": 0.5, "steps": 6}]

PROMPT = [2, 0, 1]
RANKS = {"maskgit_plus": "confidence", "topk_margin": "margin", "entropy": "entropy"}


def sizes(record):
    return [len(c.at[0]) for c in record.commits]


def published(cells, steps, eps):
    """The paper's loop over times; how many cells each of its runs fills, also none."""
    times = [1 + (eps - 1) * i / steps for i in range(steps + 1)]
    left, filled = cells, []
    for i, (t, s) in enumerate(pairwise(times)):
        filled.append(left if i == steps - 1 else int(left * (1 - s / t)))
        left -= filled[-1]
    return filled


@pytest.mark.parametrize("cells", [1, 2, 7, 8, 30, 128])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 33, 300])
@pytest.mark.parametrize("eps", [1e-3, 0.02])
def test_the_schedule_without_its_idle_runs(cells, steps, eps):
    left = [cells, *left_after(cells, steps, eps)]
    assert [a - b for a, b in pairwise(left)] == [n for n in published(cells, steps, eps) if n]


def test_idle_runs_are_what_it_says_they_are():
    """As many steps as cells: the first comes to 0.999 cells and so to none, and the last fills two."""
    assert published(8, 8, 1e-3) == [0, 1, 1, 1, 1, 1, 1, 2]
    assert sizes(run("dream", ToyTwoWay(), PROMPT, 8, 8)) == [1, 1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("alg", RANKS)
def test_without_eps_and_with_a_step_for_each_cell_it_is_static(alg):
    net = ToyTwoWay(1)
    one = run("static", net, PROMPT, 7, 3, order=RANKS[alg])
    assert one.commits == run("dream", net, PROMPT, 7, 3, eps=0, alg=alg).commits


@pytest.mark.parametrize("alg", RANKS)
def test_restarted_it_keeps_its_schedule(alg):
    net = ToyTwoWay(1)
    one = run("dream", net, PROMPT, 9, 9, steps=4, alg=alg)
    assert one.commits == run("dream", net, PROMPT, 9, 9, steps=4, alg=alg, wrap=restarted).commits


def test_a_template_joins_the_schedule_where_it_stands():
    """Eight cells in four steps leave 6, 4, 2, 0; with five of them holes the first step fills one."""
    given = [1, 19, 19, 19, 2, 19, 19, 3]
    net = Said(lambda cells: [(5, 0.5)] * len(cells))
    assert sizes(run("dream", net, PROMPT, 8, given=given, steps=4, eps=0)) == [1, 2, 2]


def outcomes(budget, what, **options):
    net = ToyTwoWay(vocab=4)

    def once(chance):
        method = build("dream", options, Setting(vocab=net.vocab))
        request = Request(Canvas(PROMPT, budget, mask=net.mask), method, {"target": net}, chance=chance)
        return what(play([request])[0])

    return enumerate_outcomes(once)


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_origin_fills_each_cell_once_at_its_time(eps):
    """Against the chain by hand: each step a hole falls with 1 - s/t; steps without a fall do not show."""
    steps, budget = 3, 3
    times = [1 - (1 - eps) * i / steps for i in range(steps + 1)]

    def by_hand(holes, i):
        if not holes:
            return {(): 1.0}
        fall = 1.0 if i == steps - 1 else 1 - times[i + 1] / times[i]
        found: dict = {}
        for n in range(len(holes) + 1):
            for some in combinations(holes, n):
                weight = fall**n * (1 - fall) ** (len(holes) - n)
                if not weight:
                    continue
                rest = by_hand(tuple(h for h in holes if h not in some), i + 1)
                for tail, w in rest.items():
                    path = (some, *tail) if some else tail
                    found[path] = found.get(path, 0.0) + weight * w
        return found

    def order(record):
        return tuple(tuple(i - len(PROMPT) for i in c.at[0]) for c in record.commits)

    found, true = outcomes(budget, order, alg="origin", steps=steps, eps=eps), by_hand((0, 1, 2), 0)
    assert found == {path: pytest.approx(weight) for path, weight in true.items()}


def test_origin_fills_as_much_as_time_passes():
    """The expected fill of the first step is cells (1 - s/t), counting the times when nothing falls."""
    record = [run("dream", ToyTwoWay(), PROMPT, 40, alg="origin", steps=4, seed=seed) for seed in range(20)]
    filled = [sum(sizes(r)[i] for r in record) / 20 for i in range(4)]
    assert filled == [pytest.approx(10, abs=5 * math.sqrt(40 * 0.25 * 0.75 / 20))] * 4
    assert all(runs(r) == 4 for r in record)


def test_drawn_order_follows_the_softmax_of_ranks():
    """One cell first, by hand; then it is deterministic where the temperature vanishes."""
    net = ToyTwoWay(vocab=4)
    laws = net.plain([*PROMPT, *[net.mask] * 3]).softmax(-1)[len(PROMPT) :]
    weights = [math.exp(float(law.max()) / 0.2) for law in laws]

    def first(record):
        return record.commits[0].at[0][0] - len(PROMPT)

    found = outcomes(3, first, alg="maskgit_plus", alg_temp=0.2, eps=0.0)
    assert found == {i: pytest.approx(w / sum(weights), abs=1e-6) for i, w in enumerate(weights)}
    one, cold = (run("dream", net, PROMPT, 6, alg_temp=t, eps=0.0) for t in (0.0, 1e-6))
    assert one.texts == cold.texts


def test_ranks_are_of_the_law_that_is_drawn_from():
    """Confidence is the drawn token's; entropy and margin are the law's."""
    net = ToyTwoWay(3)
    for alg in RANKS:
        one, other = (
            run(name, net, PROMPT, 6, greedy=False, **given)
            for name, given in [("static", {"order": RANKS[alg]}), ("dream", {"alg": alg, "eps": 0.0})]
        )
        assert one.texts == other.texts
