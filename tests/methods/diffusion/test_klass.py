"""KLASS: where it is a threshold or static, and cells that are sure but still move."""

import pytest
import torch

from anyorder.methods.diffusion.klass import moved
from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run

OPTIONS = [{"threshold": 0.3, "kl": 0.5, "history": 1}, {}, {"history": 0, "threshold": 0.2}]

PROMPT = [2, 0, 1]


@pytest.mark.parametrize("seed", range(4))
def test_without_history_it_is_a_threshold(seed):
    net = ToyTwoWay(seed)
    one = run("threshold", net, PROMPT, 8, 4, threshold=0.3)
    assert one.steps == run("klass", net, PROMPT, 8, 4, threshold=0.3, history=0).steps


@pytest.mark.parametrize("never", [{"kl": 0}, {"threshold": 1}, {"history": 8, "kl": 100}])
def test_where_nothing_is_ready_it_is_static(never):
    net = ToyTwoWay(1)
    given = {"threshold": 0.0, "kl": 100.0, "history": 1} | never
    assert run("static", net, PROMPT, 8, 4).steps == run("klass", net, PROMPT, 8, 4, **given).steps


@pytest.mark.parametrize("history", [1, 2, 3])
def test_a_law_at_rest_for_so_many_steps(history):
    """Nothing ever moves, so after `history` comparisons, one cell each, all others are ready."""
    net = Said(lambda cells: [(i, 0.95) for i in range(len(cells))])
    record = run("klass", net, PROMPT, 8, history=history)
    assert [len(c.at[0]) for c in record.commits] == [*[1] * history, 8 - history]


def test_sure_and_moving_is_not_ready():
    """Cell 5 is sure of another token whenever a cell more is written, cell 4 never sure of its own."""

    def says(cells):
        holes = cells.count(19)
        return [(1, 0.99), (2, 0.6), (3 + holes % 2, 0.98), (5, 0.97), (6, 0.97), (7, 0.97), (8, 0.97)]

    record = run("klass", Said(says), PROMPT, 7, history=1)
    assert [[i - len(PROMPT) for i in c.at[0]] for c in record.commits] == [[0], [3, 4, 5, 6], [2], [1]]


def test_a_block_starts_without_history():
    net = Said(lambda cells: [(i, 0.95) for i in range(len(cells))])
    assert [len(c.at[0]) for c in run("klass", net, PROMPT, 8, 4, history=1).commits] == [1, 3, 1, 3]


def test_divergence():
    p, q = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.25, 0.5]])
    assert moved(p.log(), q.log()) == pytest.approx([0.6931472])
    assert moved(p.log(), p.log()) == [0]
    assert moved(q.log(), p.log()) == [float("inf")]
