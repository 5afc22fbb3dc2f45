"""Any method under any law: what it writes is what the same method writes on a net of that law."""

from __future__ import annotations

import pytest
import torch

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.readers import argmax
from anyorder.core.types import Answer, Ask, Commit, Lines, Tree, chain
from anyorder.law import Line, continued, under
from anyorder.shapers import Sampling, compose
from anyorder.testing import ByText, ToyCausal, greedy_text, play, restarted

PROMPT = [0, 1, 2, 0, 1, 2, 0]
PLAIN = Sampling()
RULES = {
    "momentum": [{}, {"k": 3, "alpha": 0.05}],
    "dola": [{}, {"layers": "0,1", "alpha": 0.5}],
    "contrastive_decoding": [{}, {"form": "weighted"}],
    "uadf": [{}],
    "ensemble": [{}, {"of": "logits", "weight": 0.3}],
}
CASES = [(name, given) for name, options in RULES.items() for given in options]
WRITERS = ("prompt_lookup/nodes=8", "token_recycling/nodes=8", "(early_exit/layer=1/tokens=3)")


def text(name, given, then, seed=0, greedy=True, budget=24, shape=PLAIN, eos=(), wrap=lambda m: m):
    nets = {"target": ToyCausal(seed, 13), "second": ToyCausal(seed, 13, blur=0.5)}
    nets |= {"exit": ToyCausal(seed, 13, blur=0.5)}
    method = registry.build(name, {**given, "then": then}, Setting(greedy=greedy, vocab=13))
    canvas = Canvas(PROMPT, budget, eos=eos)
    (record,) = play([Request(canvas, wrap(method), nets, compose(shape), Chance(seed))])
    return record


@pytest.mark.parametrize("name, given", CASES)
@pytest.mark.parametrize("then", WRITERS)
def test_guesses_change_no_law(name, given, then):
    """The text of plain steps, greedy and sampled with the same noise, wherever it ends; for fewer runs."""
    saved = 0
    for seed in range(3):
        for greedy in (True, False):
            plain = text(name, given, "", seed, greedy)
            fast = text(name, given, then, seed, greedy)
            assert fast.texts == plain.texts
            saved += plain.request.runs["target"] - fast.request.runs["target"]
        end = plain.texts[0][7]
        ended = [text(name, given, t, seed, False, eos=[end]).texts for t in ("", then)]
        assert ended[0] == ended[1] == [plain.texts[0][: plain.texts[0].index(end) + 1]]
    assert saved > 0


@pytest.mark.parametrize("name", RULES)
def test_with_penalties_too(name):
    shape = Sampling(repetition_penalty=1.3, temperature=0.8, top_k=6)
    texts = [text(name, {}, then, 1, False, shape=shape).texts for then in ("sample", *WRITERS)]
    assert texts == [texts[0]] * len(texts)


def law_of(name, given):
    """text -> logits of the next token by the rule of a method."""

    def law(words):
        found = []

        def once(canvas):
            yield Ask(lambda answer, chance: found.append(answer.logits[0]))

        setting = Setting(vocab=13, method=lambda spec: once)
        method = registry.builder(name)(setting, **registry.card(name).settle(given))
        nets = {"target": ToyCausal(0, 13), "second": ToyCausal(0, 13, blur=0.5)}
        play([Request(Canvas(words, 1), method, nets)])
        return found[0]

    return law


@pytest.mark.parametrize("name, given", CASES)
def test_a_beam_under_a_law_is_the_beam_of_a_net_of_that_law(name, given):
    """Width above one forks rows, so that a rule meets rows whose text is another's."""
    record = text(name, given, "(beam/width=3/length_penalty=0)", budget=4)
    canvas = Canvas(PROMPT, 4)
    beam = registry.build("beam", {"width": 3, "length_penalty": 0}, Setting(vocab=13))
    play([Request(canvas, beam, {"target": ByText(law_of(name, given))})])
    found, true = (
        {tuple(c.generated(h)): c.score[h] for h in range(len(c.rows))} for c in (record.canvas, canvas)
    )
    assert found == pytest.approx(true)


@pytest.mark.parametrize("name, given", CASES)
def test_restarted_at_every_commit(name, given):
    assert text(name, given, "", wrap=restarted).texts == text(name, given, "").texts


def test_every_line_is_told_what_it_continues():
    tree = Tree((5, 6, 7, -1, 8), (-1, 0, -1, 2, 3), soft={-1: {1: 0.5, 2: 0.5}})
    other = chain([3, 4])
    for skip in range(3):
        first = 6 - skip  # lines of row 0
        rows = (Lines(0, -skip, 4, tree), Lines(2, first - skip, 5, other))
        answer = Answer(torch.zeros(first + 3 - skip, 13), rows)
        paths = [(0, 4, path) for path in ((), (5,), (5, 6), (7,), (7,), (7, 8))][skip:]
        paths += [(2, 5, path) for path in ((), (3,), (3, 4))][skip:]
        assert list(continued(answer)) == [Line(i, *path) for i, path in enumerate(paths)]
    cells = Answer(torch.zeros(2, 13), (Lines(1, 0, 9, cells=(3, 7)),))
    assert list(continued(cells)) == [Line(0, 1, 3, ()), Line(1, 1, 7, ())]


def test_other_nets_commits_and_tuples_pass_through():
    """A method that asks three nets at once, one of them by a tuple with the target: only the target's answer
    is the rule's, and inner layers that the method did not want are not shown to it."""
    seen = []

    def look(answer, chance):
        return round(answer.logits.sum().item(), 9), sorted(answer.layers), chance.purpose

    def inner(canvas):
        seen.append((yield (Ask(look, net="draft"), Ask(look, layers=(0,)), Ask(look, net="second"))))
        seen.append((yield Ask(look, net="draft")))
        seen.append((yield Commit([[4]])))
        seen.append((yield Ask(look)))

    nets = {name: ToyCausal(i, 13) for i, name in enumerate(("target", "draft", "second"))}
    said = {name: round(net.plain(PROMPT).sum().item(), 9) for name, net in nets.items()}
    asked = []

    def rule(answers, canvas):
        asked.append((len(answers), [sorted(answer.layers) for answer in answers]))
        return answers[0].logits * 0 + 1

    for others in ((), ("second",)):
        seen.clear(), asked.clear()
        canvas = Canvas(PROMPT, 5)
        play([Request(canvas, under(inner, rule, others, layers=(1,)), nets)])
        (draft, mine, second), alone, written, last = seen
        assert mine == (13.0, [0], "target")
        assert last == (13.0, [], "target")
        assert draft == alone == (said["draft"], [], "draft")
        assert second == (said["second"], [], "second")
        assert written.token == [[4]]
        assert canvas.done
        assert asked == [
            (1 + len(others), [[0, 1]] + [[]] * len(others)),
            (1 + len(others), [[1]] + [[]] * len(others)),
        ]


def test_the_inner_method_is_closed_with_the_request():
    closed = []

    def inner(canvas):
        try:
            while True:
                yield Commit([[t] for t in (yield Ask(argmax))])
        finally:
            closed.append(True)

    play([Request(Canvas(PROMPT, 3), under(inner, lambda a, c: a[0].logits), {"target": ToyCausal()})])
    assert closed == [True]


def test_the_rule_that_changes_nothing():
    net = ToyCausal(3, 13)
    inner = registry.build("token_recycling", {"nodes": 8}, Setting(vocab=13))
    canvas = Canvas(PROMPT, 12)
    play([Request(canvas, under(inner, lambda answers, canvas: answers[0].logits), {"target": net})])
    assert canvas.generated() == greedy_text(net, PROMPT, 12)


def test_a_fault_of_a_rule_ends_the_request():
    def rule(answers, canvas):
        raise ValueError("no law today")

    for others in ((), ("second",)):
        nets = {"target": ToyCausal(), "second": ToyCausal(1)}
        inner = registry.build("greedy", {}, Setting(vocab=13))
        with pytest.raises(ValueError, match="no law today"):
            play([Request(Canvas(PROMPT, 3), under(inner, rule, others), nets)])
