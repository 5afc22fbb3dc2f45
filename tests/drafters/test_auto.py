"""Auto: what is chosen, and that plain decoding is among the choices."""

import pytest

from anyorder import registry
from anyorder.card import Load, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.drafters.auto import pays
from anyorder.testing import ToyCausal, greedy_text, play

OPTIONS = [{}, {"nodes": 2}, {"nodes": 0}]
PROMPT = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


def flat(k, batch=1, context=64):
    return 10.0 + 0.1 * k * batch


def steep(k, batch=1, context=64):
    return float(k * batch)


def cheap(k, batch=1, context=64):
    return 1.0


def run(cost, costs=None, load=Load, budget=30, **options):
    net = ToyCausal(0, vocab=13)
    setting = Setting(vocab=13, cost=cost, costs=costs or {}, load=load)
    method = registry.build("auto", options, setting)
    nets = {"target": net, "quant": ToyCausal(0, vocab=13)}
    (record,) = play([Request(Canvas(PROMPT, budget), method, nets)])
    assert record.texts == [greedy_text(net, PROMPT, budget)]
    return record, setting


def test_guesses_where_they_pay():
    record, setting = run(flat)
    assert len(record.commits) < 30
    assert not setting.nets  # nothing is known of a 4-bit net
    assert "tokens expected" in record.answers[0][0].why


def test_plain_decoding_where_cells_cost_as_much_as_runs():
    record, _ = run(steep)
    assert [answer.cells for _, answer in record.answers[1:]] == [1] * 29
    assert record.answers[5][0].why == "no guesses: none would pay"


def test_plain_decoding_in_a_crowd():
    """A run over one cell each takes 16 requests half as long as one over two."""
    crowded, _ = run(lambda k, batch=1, context=64: 1.0 + k * batch, load=lambda: Load(64, 64))
    assert {answer.cells for _, answer in crowded.answers[1:]} == {1}
    alone, _ = run(lambda k, batch=1, context=64: 1.0 + k * batch / 8)
    assert len(alone.commits) < len(crowded.commits)


def test_the_quick_net_writes_where_it_is_cheap():
    record, setting = run(flat, {"quant": cheap})
    assert [name for name, _ in setting.nets] == ["quant"]
    assert record.request.runs["quant"] > 0
    assert max(len(commit.token[0]) for commit in record.commits) > 8  # the same net is always right


def test_the_quick_net_rests_where_it_is_dear():
    record, _ = run(flat, {"quant": lambda k, batch=1, context=64: 50.0})
    assert "quant" not in record.request.runs


def test_the_quick_net_is_for_one_alone():
    record, _ = run(flat, {"quant": cheap}, load=lambda: Load(4, 4))
    assert "quant" not in record.request.runs


def test_no_tokens_of_the_quick_net_and_no_nodes():
    assert "quant" not in run(flat, {"quant": cheap}, tokens=0)[0].request.runs
    record, _ = run(flat, {"quant": cheap}, nodes=0)
    assert len(record.commits) == 30


@pytest.mark.parametrize("nodes", [0, 1, 4])
def test_whether_sure_guesses_pay(nodes):
    assert pays(lambda k: 1.0, 0.0, nodes) == (nodes > 0)
    assert not pays(float, 0.0, nodes)
