"""WeDLM's streaming decoding: what it fills, what it feeds, and that its prefix is a causal model's."""

import numpy as np
import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.types import Ask
from anyorder.nets.adapter import Adapter
from anyorder.registry import build
from anyorder.testing import ToyTwoWay, play
from tests.methods.diffusion.said import run
from tests.nets.test_two_way import MASK, model, net

OPTIONS = [{}, {"window": 3, "limit": 2.0}, {"window": 1}]
REORDERED = Adapter(MASK, "reordered")


def request(two, budget=9, **options):
    method = build("wedlm", options, Setting(vocab=two.vocab))
    return Request(Canvas([1, 2, 3], budget, mask=MASK), method, {"target": two})


def test_a_window_of_one_writes_a_token_a_run_left_to_right():
    """The token just written and the next hole are fed together."""
    (record,) = play([request(net(REORDERED), window=1)])
    assert [commit.at[0] for commit in record.commits] == [[i] for i in range(3, 12)]
    assert [a.cells for _, a in record.answers] == [4, *[2] * 8]


def test_no_limit_fills_one_cell_a_run():
    record = run("wedlm", ToyTwoWay(), [1, 2, 3], 9, limit=0.0)
    assert [len(commit.at[0]) for commit in record.commits] == [1] * 9


@pytest.mark.parametrize("slope", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("limit", [0.4, 1.9, 2.2, 9.0])
def test_fills_holes_that_are_certain_for_their_distance(limit, slope):
    """H_i + slope * d_i < limit, d_i from the leftmost hole; if there is none, the least."""
    record = run("wedlm", ToyTwoWay(3), [1, 2, 3], 9, limit=limit, slope=slope, window=4)
    for (ask, answer), commit in zip(record.answers, record.commits, strict=True):
        law = answer.logits.softmax(-1)
        cells = np.array(ask.at[0])
        cost = torch.special.entr(law).sum(-1).numpy() + slope * (cells - cells[0])
        below = cells[cost < limit].tolist()
        assert sorted(commit.at[0]) == (below or [cells[cost.argmin()]])


def test_cells_fed():
    """What stands before the first hole is fed once; tokens behind a hole each time, while it is there."""
    two = net(REORDERED)
    (record,) = play([request(two, window=4, limit=0.0, slope=0.0)])
    row, known, wanted = [1, 2, 3, *[MASK] * 9], 0, []
    for _, commit in zip(record.answers, record.commits, strict=True):
        holes = [i for i, token in enumerate(row) if token == MASK]
        filled = [i for i, token in enumerate(row) if token != MASK and i >= known]
        wanted.append(len(filled) + len(holes[:4]))
        known = holes[0]
        for token, cell in zip(commit.token[0], commit.at[0], strict=True):
            row[cell] = token
    assert [a.cells for _, a in record.answers] == wanted
    order = [commit.at[0][0] for commit in record.commits]
    assert order != sorted(order), "no token stood behind a hole"


@torch.no_grad()
def test_states_of_the_prefix_are_those_of_a_causal_model():
    two, module, checked = net(REORDERED), model().double(), 0
    one = request(two, window=4, limit=0.0, slope=0.0)
    for _ in decode([one]):
        if one.canvas.done:
            break
        states = two.held[id(one.canvas)].rows[0]
        text = states.text[: states.exact]
        assert MASK not in text
        plain = module(input_ids=torch.tensor([text]), use_cache=True).past_key_values
        slots = [states.slots[i] for i in range(len(text))]
        for layer in range(3):
            for ours, theirs in ((two.store.keys, "keys"), (two.store.values, "values")):
                wanted = getattr(plain.layers[layer], theirs)[0]
                assert (ours[layer][:, slots] - wanted).abs().max() < 1e-10
        checked += len(text)
    assert checked > 20, "most of the text was checked while it grew"


def test_later_holes_change_nothing_for_earlier_ones_nor_does_their_order():
    said = []
    for at in ([3, 5, 7], [7, 3, 5], [3], [3, 5]):
        two, canvas = net(REORDERED), Canvas([1, 2, 3], 9, mask=MASK)
        (answer,) = two([(Ask(lambda a, c: None, at=[at]), canvas)])
        said.append(dict(zip(at, answer.logits, strict=True)))
    for other in said[1:]:
        for cell, logits in other.items():
            assert (logits - said[0][cell]).nan_to_num().abs().max() < 1e-12
