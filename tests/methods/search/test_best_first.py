"""Best-first beam search against beam search."""

from collections import Counter

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, greedy_text, log_probability, play

OPTIONS = [{}, {"width": 1}, {"width": 3, "ahead": 2}]

PROMPT = [0, 1]


def record(net, budget, eos=(), name="best_first", rule=None, **options):
    canvas = Canvas(PROMPT, budget, eos=eos, stop=rule)
    method = build(name, options, Setting(vocab=net.vocab))
    return play([Request(canvas, method, {"target": net})])[0]


def beam(net, budget, eos=(), rule=None, **options):
    return record(net, budget, eos, "beam", rule, length_penalty=0.0, stop="never", **options)


def best(record):
    """The best text and its score."""
    h = max(range(len(record.canvas.rows)), key=lambda h: record.canvas.score[h])
    return record.texts[h], pytest.approx(record.canvas.score[h])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("eos", [(), (3,), (2, 5, 7), (0, 1, 2, 3, 4, 6)])
def test_the_text_of_beam_search(seed, eos):
    net = ToyCausal(seed, 13)
    for width in (1, 2, 5):
        want = best(beam(net, 7, eos, width=width))
        for ahead in (0, 3):
            assert best(record(net, 7, eos, width=width, ahead=ahead)) == want


def test_from_fewer_cells():
    """Never from more, and from a tenth fewer over several nets, flat as their laws are."""
    total = Counter()
    for seed in range(6):
        for eos in ((), (2, 5, 7)):
            net = ToyCausal(seed, 13)
            mine, plain = (f(net, 9, eos, width=4).request.cells["target"] for f in (record, beam))
            assert mine <= plain
            total.update(best_first=mine, beam=plain)
    assert total["best_first"] < 0.9 * total["beam"]


def test_reads_ahead_in_fewer_runs():
    net = ToyCausal(2, 13)
    one, four = (record(net, 8, width=4, ahead=ahead) for ahead in (0, 3))
    assert one.texts == four.texts
    assert four.request.runs["target"] < one.request.runs["target"]
    assert one.request.cells["target"] <= four.request.cells["target"]


@pytest.mark.parametrize("seed", range(3))
def test_width_one_is_greedy(seed):
    net = ToyCausal(seed, 13)
    plain = greedy_text(net, PROMPT, 8)
    for eos in [(), *((t,) for t in set(plain))]:
        (text,) = record(net, 8, eos, width=1).texts
        assert text == greedy_text(net, PROMPT, 8, eos=eos)


def test_prefixes_are_read_best_first_and_once():
    """By log-probability, whatever their length; none that is worse than the text."""
    net = ToyCausal(4, 13)
    played = record(net, 7, (2, 5, 7), width=5)
    lines = [ask.guess[0] for ask, _ in played.answers[1:]]
    read = [tuple(tree.path(len(tree) - 1)) for tree in lines]
    worth = [log_probability(net, PROMPT, text) for text in read]
    assert worth == sorted(worth, reverse=True)
    assert len(set(read)) == len(read)
    assert max(Counter(map(len, read)).values()) <= 5
    assert (
        min(worth) >= played.canvas.score[0] == pytest.approx(log_probability(net, PROMPT, played.texts[0]))
    )


def test_stops_at_the_first_complete_text():
    """After the likely end nothing is read, although longer prefixes are open."""
    net = ByText(lambda text: torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64).log())
    played = record(net, 50, (2,), width=3)
    assert played.texts == [[2]]
    assert played.request.runs["target"] == 1


def test_a_stop_rule_completes_a_text():
    net = ToyCausal(1, 13)
    token = best(beam(net, 6, width=3))[0][2]

    def rule(generated, new):
        return len(generated) if generated[-1] == token else None

    played = record(net, 6, rule=rule, width=3)
    assert best(played) == best(beam(net, 6, rule=rule, width=3))
    assert token not in played.texts[0][:-1]
