"""Cautious next token prediction against its formulas and against what it drew."""

from math import exp, log

import pytest
import torch

from anyorder.ahead import Branch, spread
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.methods.search.cntp import Caution, perplexity
from anyorder.registry import build
from anyorder.shapers import Sampling, compose
from anyorder.testing import ByText, ToyCausal, enumerate_outcomes, greedy_text, log_probability, play

OPTIONS = [
    {"marks": (1, 2), "trials": 4, "cap": 4},
    {},
    {"trials": 1},
    {"formula": "paper", "trials": 5, "calm": 0.5, "doubt": 3.0, "cap": 2},
]
PROMPT = [0, 1, 2]


def run(net, budget, seed=0, eos=(), setting=None, rows=1, chance=None, sampling=None, **options):
    sampling = sampling or Sampling(temperature=1.0)
    setting = setting or Setting(greedy=sampling.greedy, vocab=net.vocab)
    inner = build("cntp", options, setting)

    def method(canvas):
        if rows > 1:
            yield from spread(canvas, rows)
        yield from inner(canvas)

    canvas = Canvas(PROMPT, budget, eos=eos)
    request = Request(canvas, method, {"target": net}, compose(sampling), chance or Chance(seed))
    return play([request])[0]


@pytest.mark.parametrize(
    "entropy, code, paper",
    [
        (0.0, 1, 1),
        (0.1, 1, 1),
        (0.2, 2, 1),
        (0.31, 2, 2),
        (0.5, 3, 3),
        (1.0, 6, 6),
        (1.5, 10, 10),
        (9, 10, 10),
    ],
)
def test_trials_by_entropy(entropy, code, paper):
    assert Caution(10, 0.01, 1.5, "code")(entropy) == code
    assert Caution(10, 0.01, 1.5, "paper")(entropy) == paper


@pytest.mark.parametrize("seed", range(3))
def test_one_trial_is_plain_sampling(seed):
    net = ToyCausal(seed, 13)
    canvas = Canvas(PROMPT, 9)
    plain = build("sample", {}, Setting(greedy=False, vocab=13))
    play([Request(canvas, plain, {"target": net}, chance=Chance(seed))])
    record = run(net, 9, seed, trials=1)
    assert record.texts == [canvas.generated()]
    assert len(record.answers) == 9


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, top_k=1)])
def test_a_law_of_one_token_is_greedy(sampling):
    net = ToyCausal(2, 13)
    record = run(net, 8, sampling=sampling)
    assert record.texts == [greedy_text(net, PROMPT, 8)]
    assert len(record.answers) == 8


def test_perplexity():
    trial = Branch((3, 4), (log(0.5), log(0.5)), None, True, None)
    assert exp(perplexity(trial)) == pytest.approx(2)


def test_keeps_the_trial_of_least_perplexity():
    """Every trial is drawn again by hand, with its own noise; none of them is likelier than the one kept."""
    net, marks, cap, seed = ToyCausal(1, 7), {2, 3}, 5, 4
    record = run(net, 12, seed, marks=tuple(marks), cap=cap, trials=6)
    length, several = len(PROMPT), 0
    caution = Caution(6, 0.01, 1.5, "code")
    for commit, written in zip(record.commits, record.written, strict=True):
        text = (PROMPT + record.texts[0])[:length]
        law = net.plain(text).log_softmax(-1)
        trials = []
        for i in range(caution(float(-(law.exp() * law).sum()))):
            trial = []
            while not trial or (trial[-1] not in marks and len(trial) < min(cap, 12 + 3 - length)):
                turn = 0 if (i, trial) == (0, []) else (i << 32) + length
                logits = net.plain(text + trial)
                trial.append(Chance(seed).pick(logits, 0, length + len(trial), turn))
            trials.append(trial)
        if len(trials) == 1:
            trials = [trials[0][:1]]
        several += len(trials) > 1
        rank = [-log_probability(net, text, trial) / len(trial) for trial in trials]
        assert list(commit.token[0]) == trials[rank.index(min(rank))]
        length += len(written.token[0])
    assert several > 1


def test_draws_are_independent():
    """No noise is used twice: `enumerate_outcomes` fails where it is. The law is that of the best of two."""
    p = (0.5, 0.3, 0.2)
    net = ByText(lambda text: torch.tensor(p, dtype=torch.float64).log())

    def best(chance):
        record = run(net, 2, chance=chance, cap=1, trials=2, calm=0.0, doubt=0.01)
        return tuple(record.texts[0])

    found = enumerate_outcomes(best)
    above = {t: sum(p[: t + 1]) for t in range(3)}  # of one draw: this token or a likelier one
    beyond = {t: 1 - above[t] + p[t] for t in range(3)}  # this token or a less likely one
    law = {t: beyond[t] ** 2 - (beyond[t] - p[t]) ** 2 for t in range(3)}  # the likelier of two draws
    assert found == pytest.approx({(a, b): law[a] * law[b] for a in range(3) for b in range(3)})


def test_trials_longer_than_a_token_are_independent_of_later_draws():
    net = ByText(lambda text: torch.tensor([0.6, 0.4], dtype=torch.float64).log())
    found = enumerate_outcomes(
        lambda chance: tuple(
            run(net, 3, chance=chance, cap=2, trials=2, calm=0.0, doubt=0.01, marks=(1,)).texts[0]
        )
    )
    assert sum(found.values()) == pytest.approx(1)


def test_rows_decide_for_themselves():
    """Each row of several has its own draws; scores are their log-probabilities."""
    net = ToyCausal(1, 13)
    record = run(net, 9, 3, rows=3, marks=(1, 2), cap=4, trials=4)
    assert len({tuple(text) for text in record.texts}) == 3
    true = [log_probability(net, PROMPT, text) for text in record.texts]
    assert record.canvas.score == pytest.approx(true, abs=1e-6)


def test_marks_come_from_the_tokenizer():
    """The first token of each mark, encoded alone; a mark ends its trial."""
    codes = {mark: [i, 99] for i, mark in enumerate(".,\n?!:;)]}")}
    net = ToyCausal(0, 13)
    setting = Setting(greedy=False, vocab=13, encode=lambda text: codes[text])
    record = run(net, 12, setting=setting)
    assert all(not {*token[:-1]} & set(range(10)) for (token,) in (c.token for c in record.commits))
    assert run(net, 12, marks=tuple(range(10))).texts == record.texts


def test_cap_ends_a_trial_without_marks():
    record = run(ToyCausal(0, 13), 12, cap=3, doubt=0.5, calm=0.1)
    assert {len(commit.token[0]) for commit in record.commits} == {3}


def test_calm_below_doubt():
    with pytest.raises(ValueError, match="allowed is less calm than doubt"):
        build("cntp", {"calm": 2.0}, Setting(vocab=13))
