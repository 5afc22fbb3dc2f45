"""Runs that widen where attention drifts: never, always and in between; against plain runs of all cells."""

import pytest
import torch

from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Commit
from anyorder.errors import UserError
from anyorder.nets.adapter import Adapter
from anyorder.nets.drift import Followed, cosine
from anyorder.nets.memory import Memory
from anyorder.nets.two_way import TwoWay
from tests.nets.test_two_way import MASK, model, net, views

BUDGET, WINDOW = 12, 4


def trajectory(two: TwoWay, drift: float, check=lambda canvas, cells, answer: None) -> list[int]:
    """Fill a canvas, two cells a step, with a window of holes and everything kept; cells fed in each run."""
    canvas, fed = Canvas([1, 5, 2], BUDGET, mask=MASK), []
    while not canvas.done:
        window = canvas.holes(range(3 + BUDGET))[0][:WINDOW]
        (answer,) = two([(Ask(lambda a, c: None, at=[window], drift=drift), canvas)])
        check(canvas, window, answer)
        fed.append(answer.cells)
        at = window[:3:2]
        keep = [i for i in range(3 + BUDGET) if i not in at]
        commit = Commit([[(7 * i) % MASK for i in at]], at=[at], keep=[keep])
        canvas.write(commit)
        two.follow(canvas, commit)
    two.follow(canvas, None)
    assert two.used == 0
    return fed


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize(
    "body, loose", [("stock", 1e-10), pytest.param("lean", 2e-4, marks=pytest.mark.slow)]
)
def test_always_computing_all_is_no_cache(body, loose, shift):
    """Above 1 every run goes over all cells, and its answers are those of nothing kept."""
    adapter = Adapter(MASK, shift=shift)

    def check(canvas, cells, answer):
        off = (answer.logits - views(adapter, canvas, canvas.rows[0], cells)).nan_to_num().abs().max()
        assert off < loose
        assert torch.equal(answer.logits.isinf().nonzero()[:, 1], torch.full((len(cells),), MASK))

    fed = trajectory(net(adapter, body), 1.5, check)
    assert fed == [3 + BUDGET] * 7


@pytest.mark.parametrize("body", ["stock", pytest.param("lean", marks=pytest.mark.slow)])
def test_never_computing_more_is_the_plain_cache(body):
    """The lowest threshold that is watched gives the answers and the cells of no watching at all."""
    answers = []
    for drift in (-1.0, -0.999):
        said = []
        fed = trajectory(
            net(Adapter(MASK), body), drift, lambda canvas, cells, a, said=said: said.append(a.logits)
        )
        answers.append((fed, said))
    (fed, plain), (again, watched) = answers
    assert fed == again == [3 + BUDGET, *[2 + n for n in (4, 4, 4, 4, 2)], 2]
    for one, two in zip(plain, watched, strict=True):
        assert (one - two).nan_to_num().abs().max() < (1e-10 if body == "stock" else 2e-4)


@pytest.mark.parametrize("body", ["stock", pytest.param("lean", marks=pytest.mark.slow)])
def test_the_higher_the_threshold_the_more_is_computed(body):
    fed = [sum(trajectory(net(Adapter(MASK), body), drift)) for drift in (-0.999, 0.9, 0.99, 0.9999, 1.5)]
    assert fed == sorted(fed)
    assert len(set(fed)) >= 4, "thresholds in between compute some blocks again"


def test_both_bodies_widen_alike():
    one, two = (trajectory(net(Adapter(MASK), body), 0.97) for body in ("stock", "lean"))
    assert one == two


def by_hand(text, last, states, fed, least, window, inputs, followed):
    """The paper's rule for a model of full attention, on transformers' own blocks and dense scores."""
    inner, n, work = model().double().model, len(text), 0
    x, now, drifted = inner.embed_tokens(torch.tensor(text)), set(fed), None
    told = []
    for i, block in enumerate(inner.layers):
        x = torch.stack([x[k] if k in now else inputs[i][k] for k in range(n)])
        inputs[i] = x.clone()
        cos, sin = inner.rotary_emb(x[None], torch.arange(n)[None])
        normed, attention = block.input_layernorm(x), block.self_attn
        query, key, value = (
            f(normed).view(n, -1, 8).transpose(0, 1)
            for f in (attention.q_proj, attention.k_proj, attention.v_proj)
        )

        def turned(y, cos=cos, sin=sin):
            return y * cos[0] + torch.cat([-y[..., 4:], y[..., :4]], -1) * sin[0]

        query, key = turned(query), turned(key).clone()
        for k in range(n):
            if k in now:
                states[i][k] = (key[:, k].clone(), value[:, k].clone())
        keys = torch.stack([states[i][k][0] for k in range(n)], 1).repeat_interleave(2, 0)
        values = torch.stack([states[i][k][1] for k in range(n)], 1).repeat_interleave(2, 0)
        weights = (query @ keys.transpose(1, 2) * 8**-0.5).softmax(-1)
        mean = weights.mean(0)
        work += len(now)
        if followed and len(now) < n:
            cell, column = followed[i]
            common = [k for k in window if k in column]
            then, this = torch.tensor([column[k] for k in common], dtype=mean.dtype), mean[common, cell]
            if float(then @ this / then.norm() / this.norm()) < least:
                work += n - len(now)
                drifted, now = i if drifted is None else drifted, set(range(n))
        x = x + attention.o_proj((weights @ values).transpose(0, 1).reshape(n, -1))
        x = x + block.mlp(block.post_attention_layernorm(x))
        written = [k for k in range(n) if text[k] != MASK]
        cell = max(written, key=lambda k: (float(mean[window, k].sum()), -k))
        told.append((cell, {k: float(mean[k, cell]) for k in window}))
    said = (inner.norm(x) @ inner.embed_tokens.weight.T)[window]
    said[:, MASK] = -torch.inf
    return said, told, -(-work // len(inner.layers)), drifted


@torch.no_grad()
@pytest.mark.parametrize("least", [0.9, 0.97, 0.995])
def test_against_the_rule_spelt_out(least):
    """Answers and cells: which token is followed, in which block it drifts, what is computed from there."""
    inputs = [torch.zeros(3 + BUDGET, 32, dtype=torch.float64) for _ in range(3)]
    states, seen, before, widened = [{} for _ in range(3)], [], None, []

    def check(canvas, cells, answer):
        nonlocal before
        text = canvas.rows[0]
        fresh = [i for i in range(len(text)) if before is None or i in cells or text[i] != before[1][i]]
        said, told, work, at = by_hand(text, None, states, fresh, least, cells, inputs, before and before[0])
        before = (told, list(text))
        assert (answer.logits - said).nan_to_num().abs().max() < 1e-9
        assert answer.cells == work
        widened.append(at)
        seen.append(work)

    assert trajectory(net(Adapter(MASK)), least, check) == seen
    assert set(widened) - {None}, "nothing drifted, so this shows little"


def test_cosine_is_of_one_token_over_the_cells_asked_about_twice():
    weights = torch.tensor([[0.1, 0.6], [0.1, 0.3], [0.1, 0.2]])
    before = Followed(1, {4: 0.3, 5: 0.6, 9: 0.7})
    then, now = torch.tensor([0.3, 0.6]), torch.tensor([0.6, 0.3])
    wanted = float(then @ now / then.norm() / now.norm())
    assert cosine(before, [4, 5, 6], weights) == pytest.approx(wanted)
    assert cosine(None, [4, 5, 6], weights) == 1
    assert cosine(before, [6, 7, 8], weights) == -1


def test_a_run_that_was_not_watched_leaves_nothing_to_go_by():
    """After it all is computed once, whatever is kept."""
    two, canvas, fed = net(Adapter(MASK)), Canvas([1, 5, 2], 6, mask=MASK), []
    for cell, drift in zip(range(3, 8), (0.9, -1.0, 0.9, 0.9, 0.9)):
        (answer,) = two([(Ask(lambda a, c: None, at=[[cell]], drift=drift), canvas)])
        fed.append(answer.cells)
        commit = Commit([[4]], at=[[cell]], keep=[[i for i in range(9) if i != cell]])
        canvas.write(commit)
        two.follow(canvas, commit)
    assert fed[:3] == [9, 2, 9]


def test_what_is_remembered_counts_as_memory():
    two, canvas = net(Adapter(MASK)), Canvas([1, 5, 2], 6, mask=MASK)
    two([(Ask(lambda a, c: None, at=[[3]], drift=0.5), canvas)])
    assert two.used == 9 * (two.cell_bytes + 3 * 32 * 8)
    (refused,) = net(Adapter(MASK), memory=Memory(10 * two.cell_bytes))(
        [(Ask(lambda a, c: None, at=[[3]], drift=0.5), canvas)]
    )
    assert isinstance(refused, UserError)


def test_other_attention_is_refused():
    two, canvas = net(Adapter(MASK, "block", block=4)), Canvas([1, 5, 2], 6, mask=MASK)
    (refused,) = two([(Ask(lambda a, c: None, at=[[3]], drift=0.5), canvas)])
    assert isinstance(refused, UserError)
    assert "drift" not in two.can
    assert "drift" in net(Adapter(MASK)).can


def test_in_company():
    """Watched and other asks of one round are answered as they are alone."""
    two = net(Adapter(MASK))
    canvases = [Canvas([1, 5, 2], 6, mask=MASK), Canvas([3, 4], 5, mask=MASK)]
    asks = [Ask(lambda a, c: None, at=[[3, 4]], drift=d) for d in (0.5, -1.0)]
    together = two(list(zip(asks, canvases, strict=True)))
    for ask, canvas, answer in zip(asks, canvases, together, strict=True):
        (alone,) = net(Adapter(MASK))([(ask, canvas)])
        assert torch.allclose(alone.logits, answer.logits)
        assert alone.cells == answer.cells
