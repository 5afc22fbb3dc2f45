"""Readers, over several live rows with trees of different sizes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from anyorder.core import readers
from anyorder.core.chance import Chance
from anyorder.core.readers import PART, likeliest, top
from anyorder.core.types import Answer, Lines, Tree, chain

TREES = (Tree(), chain([1, 2]), Tree((1, 2), (-1, -1)))
LOGITS = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
STARTS = (0, 1, 4)
ANSWER = Answer(LOGITS, tuple(Lines(2 * i, s, 6, t) for i, (s, t) in enumerate(zip(STARTS, TREES))))


def test_ends_and_argmax():
    assert readers.argmax(ANSWER, Chance()) == [int(LOGITS[s].argmax()) for s in STARTS]
    plain = Answer(LOGITS[:2], (Lines(0, 0, 1), Lines(1, 1, 1)))
    assert readers.ends(plain) is plain.logits


def test_log_probs():
    law = readers.log_probs(ANSWER, Chance()).exp()
    assert torch.allclose(law, LOGITS[list(STARTS)].softmax(-1))
    assert readers.log_probs(Answer(LOGITS.half(), ANSWER.rows), Chance()).dtype == torch.float32


def test_sample_draws_at_row_and_position():
    chance = Chance(3)
    found = [readers.sample(ANSWER, Chance(seed)) for seed in range(50)]
    assert readers.sample(ANSWER, chance) == [
        chance.pick(LOGITS[s].float(), 2 * i, 6) for i, s in enumerate(STARTS)
    ]
    assert len({tuple(f) for f in found}) > 10


def test_every_line_of_each_row():
    best, top = LOGITS.argmax(-1), LOGITS.topk(2)[1]
    for start, tree, one, two in zip(
        STARTS, TREES, readers.every_argmax(ANSWER, Chance()), readers.every_top(2)(ANSWER, Chance())
    ):
        mine = slice(start, start + len(tree) + 1)
        assert one.tolist() == best[mine].tolist()
        assert two.tolist() == top[mine].tolist()


def test_both():
    assert readers.both(readers.argmax, readers.nothing)(ANSWER, Chance())[1] is None


@given(st.integers(1, 4), st.integers(0, 9))
def test_likeliest_by_parts(lines, seed):
    """Found by parts, the likeliest tokens are those of the whole line, of equal ones the first."""
    source = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, 30, (lines, 4 * PART), generator=source).float()
    assert likeliest(logits).tolist() == logits.numpy().argmax(-1).tolist()
    logits = torch.rand(lines, 4 * PART, generator=source)
    assert top(logits, 4).tolist() == logits.topk(4)[1].tolist()
    assert top(logits[:, :-1], 4).tolist() == logits[:, :-1].topk(4)[1].tolist()
