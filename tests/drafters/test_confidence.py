"""Chains that end at the first doubt; the doubtful token is judged too."""

import pytest

from anyorder.card import Setting
from anyorder.core.types import Tree
from anyorder.drafter import Drafter, by_row
from anyorder.drafters.confidence import confidence
from anyorder.testing import distance, enumerate_outcomes, law_of_text, subject
from tests.drafts import P, Q, first_commit, judged, mixed_law, same_law, text_of

OPTIONS = [{}, {"most": 3, "draw": "sampled"}, {"most": 0}, {"drafter": "draft_model"}]


def made(threshold, most, draw="sampled", eos=()):
    inner = Drafter(by_row(lambda canvas, row: Tree()), net="draft")
    setting = Setting(greedy=False, vocab=3, eos=eos, make=lambda spec: inner)
    return confidence(setting, drafter="x", threshold=threshold, most=most, draw=draw)


@pytest.mark.parametrize("threshold, drafted", [(0.5, 4), (0.6, 4), (0.61, 1), (1.0, 1), (0.0, 4)])
def test_length(threshold, drafted):
    """The draft net says .6 of its likeliest token, always."""
    nets = {"target": same_law(*P), "exit": same_law(*Q)}
    options = {"threshold": threshold, "most": 4}
    record = subject("confidence", options=options).run([0], 9, nets=nets, vocab=3)
    first = next(ask.guess[0] for ask, _ in record.answers if ask.net == "target")
    assert first.parent == tuple(range(-1, drafted - 1))
    assert next(i for i, (ask, _) in enumerate(record.answers) if ask.net == "target") == drafted  # runs


def test_an_end_of_text_ends_the_chain():
    nets = {"target": same_law(*P), "draft": same_law(*Q)}
    for eos, longest in (((0,), 1), ((1,), 4)):
        lengths = set()
        flow = text_of(judged(spy(made(0.0, 3, "likeliest", eos), lengths), "match"), nets, 4)
        enumerate_outcomes(flow)
        assert max(lengths) == min(longest, 3)


def spy(drafter, lengths):
    def draft(canvas):
        trees = yield from drafter.draft(canvas)
        lengths.add(len(trees[0]))
        return trees

    return Drafter(draft, kind=drafter.kind)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("verify", ["ratio", "match"])
def test_law(threshold, verify):
    """Whether the chain goes on depends on what was drawn, and the law stays."""
    nets = {"target": mixed_law(1), "draft": mixed_law(2)}
    lengths = set()
    found = enumerate_outcomes(text_of(judged(spy(made(threshold, 3), lengths), verify), nets, 3))
    assert distance(found, law_of_text(nets["target"], [0], 3)) < 1e-6
    assert len(lengths) > 1


def test_worked_example_keeps_its_law():
    """The policy that throws the doubtful token away gives (.42, .12, .46): tests/test_growth.py."""
    nets = {"target": same_law(*P), "draft": same_law(*Q)}
    law = dict.fromkeys(range(3), 0.0)
    for path, weight in enumerate_outcomes(first_commit(judged(made(0.5, 1), "ratio"), nets, 2)).items():
        law[path[0]] += weight
    assert list(law.values()) == pytest.approx(P, abs=1e-9)
