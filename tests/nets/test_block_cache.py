"""The exact cache of block-causal nets: every answer has the bits of one that was computed from nothing."""

import random

import pytest
import torch

from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Commit
from anyorder.nets.adapter import Adapter
from tests.nets.test_two_way import MASK, net


def answers(body: str, adapter: Adapter, budget: int, forget: bool) -> list[tuple[torch.Tensor, int]]:
    """Fill a canvas at random, block by block: what was said in each run, and cells fed."""
    two, said, rng = net(adapter, body), [], random.Random(budget)
    prompt = [rng.randrange(MASK) for _ in range(rng.randrange(1, 7))]
    canvas = Canvas(prompt, budget, mask=MASK, block=adapter.block, origin=0)
    for block in canvas.blocks():
        while not canvas.done and (holes := canvas.holes(block))[0]:
            if forget:
                two.forget()
            (answer,) = two([(Ask(lambda a, c: None, at=holes), canvas)])
            said.append((answer.logits.clone(), answer.cells))
            at = rng.sample(holes[0], rng.randrange(-(-len(holes[0]) // 2), len(holes[0]) + 1))
            commit = Commit([[rng.randrange(MASK) for _ in at]], at=[at])
            canvas.write(commit)
            two.follow(canvas, commit)
    return said


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("block, budget", [(1, 9), (4, 21), (32, 70)])
@pytest.mark.parametrize("body", ["stock", pytest.param("lean", marks=pytest.mark.slow)])
def test_bit_for_bit(body, block, budget, shift):
    adapter = Adapter(MASK, "block", shift, block)
    cached, fresh = (answers(body, adapter, budget, forget) for forget in (False, True))
    assert all(torch.equal(one, two) for (one, _), (two, _) in zip(cached, fresh, strict=True))
    assert sum(fed for _, fed in cached) < sum(fed for _, fed in fresh)
