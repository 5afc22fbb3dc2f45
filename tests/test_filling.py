"""What policies see of an answer, and the loop they share."""

import math

import torch

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, decode
from anyorder.core.readers import read_together
from anyorder.core.types import Answer, Lines
from anyorder.filling import at_least_one, confidence, fill, look, surest, unmask
from anyorder.testing import ToyTwoWay

LOGITS = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CELLS = Answer(LOGITS, (Lines(0, 0, 9, cells=(3, 5, 8)), Lines(1, 3, 9, cells=(4, 5, 6, 7))))


def test_what_is_seen_is_what_the_laws_say():
    laws = LOGITS.softmax(-1)
    two = laws.topk(2, -1).values
    for seen, start, count in zip(look(True)(CELLS, Chance()), (0, 3), (3, 4), strict=True):
        mine = slice(start, start + count)
        assert seen.token == seen.best == tuple(laws[mine].argmax(-1).tolist())
        assert torch.allclose(torch.tensor(seen.sure), two[mine, 0])
        assert torch.allclose(torch.tensor(seen.margin), two[mine, 0] - two[mine, 1])
        assert torch.allclose(torch.tensor(seen.gap), (two[mine, 0] / two[mine, 1]).log())
        assert torch.allclose(torch.tensor(seen.entropy), -(laws[mine] * laws[mine].log()).sum(-1))
        assert torch.equal(seen.law(), laws[mine])
    drawn = look(False)(CELLS, Chance(1))[1]
    own = torch.stack([laws[3 + i, t] for i, t in enumerate(drawn.token)])
    assert torch.allclose(torch.tensor(drawn.sure), own)
    part = drawn.part([2, 0])
    assert (part.cells, part.token) == ((6, 4), (drawn.token[2], drawn.token[0]))
    assert torch.equal(part.logits, LOGITS[[5, 3]])


def test_a_law_of_one_token_is_certain():
    flat = torch.full((1, 4), -torch.inf)
    flat[0, 2] = 0.0
    (seen,) = look(True)(Answer(flat, (Lines(0, 0, 9, cells=(3,)),)), Chance())
    assert (seen.token, seen.sure[0], seen.margin[0], seen.entropy[0]) == ((2,), 1.0, 1.0, 0.0)
    assert math.isinf(seen.gap[0])


def test_a_cell_asked_again_is_drawn_afresh():
    """A cell that lost against surer ones must not meet the noise it lost with again."""
    flat = torch.zeros(3, 2)
    again = 0
    for seed in range(200):
        first = look(False)(Answer(flat, (Lines(0, 0, 9, cells=(3, 5, 8)),)), Chance(seed))
        then = look(False)(Answer(flat[:2], (Lines(0, 0, 9, cells=(3, 5)),)), Chance(seed))
        again += first[0].token[0] == then[0].token[0]
    assert 70 < again < 130


def test_read_together_is_read_alone():
    other = Answer(LOGITS[:2].flip(0), (Lines(0, 0, 9, cells=(1, 2)),))
    together = read_together(look(True), [CELLS, other])
    for answer, seen in zip((CELLS, other), together, strict=True):
        for one, alone in zip(seen, look(True)(answer, Chance()), strict=True):
            assert (one.cells, one.token) == (alone.cells, alone.token)
            assert one.sure.tolist() == alone.sure.tolist()


def test_ranks_and_ties():
    assert surest([0.5, 0.7, 0.5, 0.7]) == [1, 3, 0, 2]
    (seen, _) = look(True)(CELLS, Chance())
    assert at_least_one(seen, []) == surest(seen.sure)[:1]
    assert at_least_one(seen, [2, 1, 2]) == [1, 2]
    assert confidence("entropy")(seen).tolist() == (-seen.entropy).tolist()
    commit = fill([seen], [[2, 0]])
    assert (commit.token, commit.at) == ([[seen.token[2], seen.token[0]]], [[8, 3]])


def test_the_loop_fills_block_after_block_at_least_a_cell_a_run():
    net = ToyTwoWay()
    canvas = Canvas([1, 2], 7, mask=net.mask, block=3)
    request = Request(canvas, lambda c: unmask(c, look(True), lambda seen: []), {"target": net})
    order = [event.written.at[0][0] for event in decode([request])]
    assert request.runs == {"target": 7}
    assert [sorted(order[i : i + 3]) for i in (0, 3, 6)] == [[2, 3, 4], [5, 6, 7], [8]]
