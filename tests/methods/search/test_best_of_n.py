"""Best of n: n plain samples, and the scorer's order of them."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.registry import build
from anyorder.scoring import Scorer
from anyorder.testing import ToyCausal, enumerate_outcomes, greedy_text, law_of_text, log_probability, play
from tests.drafts import mixed_law

OPTIONS = [{"texts": 3}, {}, {"texts": 1, "scorer": "constant"}, {"scorer": "constant/value=1", "texts": 2}]
PROMPT = [0, 1]


def run(net, budget, seed=0, eos=(), greedy=False, chance=None, **options):
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = build("best_of_n", options, Setting(greedy=greedy, vocab=net.vocab))
    return play([Request(canvas, method, {"target": net}, chance=chance or Chance(seed))])[0]


def plain(net, budget, seed, eos=()):
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = build("sample", {}, Setting(greedy=False, vocab=net.vocab))
    return play([Request(canvas, method, {"target": net}, chance=Chance(seed))])[0].texts[0]


@pytest.mark.parametrize("seed", range(3))
def test_one_of_the_texts_is_plain_samplings(seed):
    net = ToyCausal(seed, 13)
    for eos in ((), (plain(net, 9, seed)[3],)):
        record = run(net, 9, seed, eos, texts=4, scorer="constant")
        assert record.texts[0] == plain(net, 9, seed, eos)  # a constant keeps the order
        assert len({tuple(text) for text in record.texts}) > 2
        assert record.canvas.score == [0.0] * 4


def test_likelihood_ranks_by_mean_log_probability():
    net = ToyCausal(0, 13)
    eos = (1, 2)
    record = run(net, 9, 2, eos, texts=6)
    mean = [log_probability(net, PROMPT, text) / len(text) for text in record.texts]
    assert len({len(text) for text in record.texts}) > 2  # so that a sum would rank otherwise
    assert mean == sorted(mean, reverse=True)
    assert record.canvas.score == pytest.approx(mean)
    assert record.canvas.done


def test_a_function_ranks_whole_texts():
    judged = []

    def reward(texts, prompt):
        judged.append((texts, prompt))
        return [text.split().count("3") for text in texts]

    record = run(ToyCausal(0, 13), 9, texts=5, scorer=reward)
    ((texts, prompt),) = judged  # once, in the end
    assert prompt == "0 1"
    assert sorted(texts) == sorted(" ".join(map(str, text)) for text in record.texts)
    counts = [text.count(3) for text in record.texts]
    assert counts == sorted(counts, reverse=True)
    assert record.canvas.score == counts


def test_law_of_the_best_of_two():
    """The likelier of two independent texts: its law, and that no noise is used twice."""
    net = mixed_law(1)
    found = enumerate_outcomes(
        lambda chance: tuple(run(net, 2, chance=chance, texts=2, scorer="likelihood").texts[0])
    )
    law = law_of_text(net, PROMPT, 2)
    for text, p in law.items():
        worse = sum(q for q in law.values() if q < p - 1e-12)
        equal = sum(q for q in law.values() if abs(q - p) <= 1e-12)
        assert found[text] == pytest.approx(p * (2 * worse + equal))


def test_greedy_writes_one_text():
    net = ToyCausal(1, 13)
    record = run(net, 8, greedy=True)
    assert record.texts == [greedy_text(net, PROMPT, 8)]
    assert record.canvas.score == pytest.approx([log_probability(net, PROMPT, record.texts[0]) / 8])


def test_scorers_of_states_are_refused():
    scorer = Scorer(lambda prefixes: [0.0] * len(prefixes), "probe", hidden=True)
    with pytest.raises(ValueError, match="probe wants hidden states"):
        build("best_of_n", {"scorer": scorer}, Setting(vocab=13))
