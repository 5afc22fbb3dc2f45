"""Static unmasking: the paper's schedule, step by step, and its law when it samples."""

import warnings

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.types import Ask, Commit
from anyorder.methods.diffusion.static import schedule
from anyorder.registry import build
from anyorder.testing import ToyTwoWay, distance, enumerate_outcomes, play, restarted

OPTIONS = [{}, {"steps": 2}]

PROMPT, SEED = [2, 0, 1], Chance(1)


def run(net, budget, block, greedy=True, chance=SEED, wrap=lambda method: method, eos=(), **options):
    canvas = Canvas(PROMPT, budget, mask=net.mask, block=block, eos=eos)
    method = wrap(build("static", options, Setting(greedy=greedy, vocab=net.vocab)))
    return play([Request(canvas, method, {"target": net}, chance=chance)])[0]


def quotas(cells, steps):
    """The paper's table: m // S, and one more in the first m % S steps; steps with nothing to do left out."""
    return [q for q in (cells // steps + (s < cells % steps) for s in range(steps)) if q]


@pytest.mark.parametrize("budget, block", [(8, 8), (8, 4), (7, 3)])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 20])
def test_each_step_writes_its_quota(budget, block, steps):
    net = ToyTwoWay()
    record = run(net, budget, block, steps=steps)
    sizes = [len(b) for b in record.canvas.blocks()]
    assert [len(c.token[0]) for c in record.commits] == [q for n in sizes for q in quotas(n, steps or n)]
    assert record.canvas.rows[0][: len(PROMPT)] == PROMPT
    assert net.mask not in record.canvas.rows[0]


def test_surest_cells_first_and_never_changed():
    """Against the definition: the quota of cells whose likeliest token has the highest probability."""
    net = ToyTwoWay()
    record, row = run(net, 6, 6, steps=3), [*PROMPT, *[net.mask] * 6]
    for commit in record.commits:
        laws = net.plain(row).softmax(-1)
        holes = [i for i, t in enumerate(row) if t == net.mask]
        surest = sorted(sorted(holes, key=lambda i: -float(laws[i].max()))[:2])
        assert list(commit.at[0]) == surest
        for i in surest:
            row[i] = int(laws[i].argmax())
    assert record.canvas.rows[0] == row


def test_one_block_is_no_block():
    assert run(ToyTwoWay(), 6, 6).texts == run(ToyTwoWay(), 6, None).texts


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
def test_restarted_from_the_canvas_it_keeps_its_schedule(steps):
    """Seven cells in three steps are 3, 2, 2, also for a flow that knows only what is left."""
    one, two = (run(ToyTwoWay(), 7, 7, wrap=w, steps=steps) for w in (lambda m: m, restarted))
    assert one.commits == two.commits


def test_cut_at_the_first_end_of_text():
    plain = run(ToyTwoWay(), 6, 6)
    text = plain.texts[0]
    for eos in set(text):
        found = run(ToyTwoWay(), 6, 6, eos=[eos])
        assert found.texts[0] == text[: text.index(eos) + 1]
        assert found.canvas.ended == ["eos"]


def test_law_when_it_samples():
    """Each step draws afresh for every hole and keeps the draw with the highest probability; by hand."""
    net = ToyTwoWay(3, vocab=4)

    def by_hand(row):
        holes = [i for i, t in enumerate(row) if t == net.mask]
        if not holes:
            return {tuple(row[len(PROMPT) :]): 1.0}
        laws, draws = net.plain(row).softmax(-1), [((), 1.0)]
        for i in holes:
            draws = [((*d, t), w * p) for d, w in draws for t, p in enumerate(laws[i].tolist()) if p > 0]
        out = {}
        for draw, weight in draws:
            best = max(range(len(holes)), key=lambda k: (float(laws[holes[k], draw[k]]), -k))
            nxt = list(row)
            nxt[holes[best]] = draw[best]
            for text, w in by_hand(nxt).items():
                out[text] = out.get(text, 0.0) + weight * w
        return out

    found = enumerate_outcomes(lambda chance: tuple(run(net, 3, 3, greedy=False, chance=chance).texts[0]))
    assert distance(found, by_hand([*PROMPT, *[net.mask] * 3])) < 1e-6


def test_asks_only_for_holes():
    for step, nxt in zip((steps := run(ToyTwoWay(), 5, 5).steps), steps[1:]):
        if isinstance(step, Ask) and isinstance(nxt, Commit):
            assert set(nxt.at[0]) <= set(step.at[0])


@pytest.mark.parametrize(
    "steps, block, said", [(3, 8, "the first 2 write one more"), (4, 8, ""), (0, 7, ""), (9, 4, "")]
)
def test_steps_that_do_not_divide_a_block_are_said(steps, block, said):
    canvas = Canvas([1], block, mask=12, block=block)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        schedule(canvas, steps, "confidence")
    assert [said in str(one.message) for one in heard] == [True] * bool(said)
