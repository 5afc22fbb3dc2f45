"""The shaper: along guesses as along text, on every net, until the budget; and forced tokens as guesses."""

import pytest
import torch

from anyorder import registry
from anyorder.card import Setting
from anyorder.constraints.states import Both, ByFunction, Least
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.core.types import Ask, Tree
from anyorder.errors import UserError
from anyorder.testing import (
    ToyCausal,
    distance,
    enumerate_outcomes,
    greedy_text,
    law_of_text,
    plain_line,
    play,
)  # fmt: skip
from anyorder.testing.subject import toy_nets
from tests.drafts import mixed_law, text_of

from .toys import after_one, follow, shape, vocabulary

V = 13
DRAFTERS = [name for name, card in registry.cards().items() if card.kind]
SMALL = {"early_exit": {"layer": 1}, "skip_layers": {}, "corpus_lookup": None, "draft_model": {"draft": "x"}}


def closing(tokens):
    """Brackets: 1 opens, 2 closes; the text may end (0) where all are closed."""
    depth = tokens.count(1) - tokens.count(2)
    return [1, 2, 3] if depth else [0, 1, 3]


class Closing:
    def __call__(self, tokens):
        return closing(tokens)

    def finish(self, tokens):
        return [2] * (tokens.count(1) - tokens.count(2))


def test_along_a_guess_as_if_it_were_text():
    net = ToyCausal(0, V)
    tree = Tree((1, 2, 5, 0, 1), (-1, 0, 0, 1, -1))
    for skip in (0, 2):
        held = shape(follow(after_one, vocabulary(V), 20))
        canvas = Canvas([1, 2], 20, rows=2)
        canvas.rows[0] += [4, 1]
        (answer,) = net([(Ask(lambda a, c: None, guess=(Tree((2,), (-1,)), tree), skip=skip), canvas)])
        answer = held(answer, canvas)
        for lines in answer.rows:
            for i in range(skip, lines.count):
                path = lines.tree.path(i - 1)
                if path[:2] == [1, 5]:
                    continue  # a guess that breaks it is never reached
                text = [*canvas.rows[lines.row][2:], *path]
                true = plain_line(net, [1, 2], text, shape(follow(after_one, vocabulary(V), 20)))
                assert answer.logits[lines.start + i].tolist() == pytest.approx(true.tolist(), abs=1e-9)
        assert not answer.logits.isnan().any()


def test_cells_of_a_text():
    net = mixed_law(0, 4)
    canvas = Canvas([3], 9)
    canvas.rows[0] += [1, 2, 0]
    (answer,) = net([(Ask(lambda a, c: None, at=[[0 + 1, 2, 3]]), canvas)])
    said = shape(follow(after_one, vocabulary(4), 9))(answer, canvas).logits
    assert [(line > -torch.inf).sum().item() for line in said] == [4, 1, 1]


@pytest.mark.parametrize("budget", range(2, 12))
def test_a_text_ends_in_time(budget):
    """A law that loves to open brackets: the text is cut nowhere, and without need nothing is forbidden."""
    love = torch.tensor([-9.0, 5.0, -5.0, 1.0], dtype=torch.float64)
    from anyorder.testing import ByText

    net, words = ByText(lambda text: love), vocabulary(4, [0])
    held = follow(Closing(), words, budget, jump=1)
    text = greedy_text(net, [3], budget, shape(held), eos=[0])
    assert text.count(1) == text.count(2) == budget // 2
    law = law_of_text(net, [3], min(budget, 6), shape(follow(Closing(), words, min(budget, 6), jump=1)), [0])
    assert all(t.count(1) == t.count(2) for t in law)


def test_the_law_is_a_function_of_the_text():
    """Asked line by line or a text at once, after other texts or first: the same."""
    net, words = mixed_law(2, 4), vocabulary(4, [0])
    held = shape(follow(Closing(), words, 8, jump=1))
    texts = [[1, 3], [1, 1, 2], [3, 1, 1, 1], [1, 1, 3, 3, 2], [1, 1, 3, 1, 2, 2, 2]]
    for text in [*texts, *texts[::-1]]:
        fresh = plain_line(net, [3], text, shape(follow(Closing(), words, 8, jump=1)))
        assert torch.equal(plain_line(net, [3], text, held), fresh)


def test_where_nothing_may_follow_the_text_is_said():
    net, words = mixed_law(0, 4), vocabulary(4, [3])
    stuck = Both(ByFunction(after_one, words), ByFunction(lambda t: None if len(t) < 2 else [1], words))
    canvas = Canvas([0], 9, eos=[3])
    canvas.rows[0] += [1, 2]
    with pytest.raises(UserError, match="no token is allowed after '1 2' by constraint"):
        shape(follow(stuck, words, 9))(net([(Ask(lambda a, c: None), canvas)])[0], canvas)
    canvas.rows[0] = [0, 1, 0, 0]  # a text that does not obey: the shortest that shows it
    with pytest.raises(UserError, match="no token is allowed after '1' by"):
        shape(follow(after_one, words, 9))(net([(Ask(lambda a, c: None), canvas)])[0], canvas)


def built(name, held, greedy, vocab, nets=None):
    setting = Setting(greedy=greedy, vocab=vocab, context=256, forced=held.forced)
    return registry.build(name, SMALL.get(name) or {}, setting)


@pytest.mark.parametrize("name", [name for name in DRAFTERS if SMALL.get(name, {}) is not None])
def test_every_drafter_writes_the_constrained_greedy_text(name):
    """Forced tokens go before every drafter's guesses, and what it learns from is what was judged."""
    nets = toy_nets(registry.card(name), V)
    for prompt in ([1], [0, 1, 2, 0, 1, 2, 0]):
        held = follow(after_one, vocabulary(V, [12]), 14)
        method = built(name, held, True, V)
        (record,) = play([Request(Canvas(prompt, 14, eos=[12]), method, nets, shape(held))])
        true = greedy_text(
            nets["target"], prompt, 14, shape(follow(after_one, vocabulary(V, [12]), 14)), [12]
        )
        assert record.texts == [true]


@pytest.mark.parametrize("name, verify", [
    ("jacobi", "match"), ("jacobi", "residual"), ("draft_model", "residual"), ("draft_model", "ratio"),
    ("draft_model", "k_seq"), ("draft_model", "match"),
])  # fmt: skip
def test_forced_guesses_keep_the_law(name, verify):
    words, size = (
        vocabulary(3, ()),
        {"jacobi": {"nodes": 2}, "draft_model": {"draft": "x", "tokens": 2, "draw": "sampled"}},
    )
    nets = {"target": mixed_law(0), "draft": mixed_law(1)}
    true = law_of_text(nets["target"], [0], 3, shape(follow(after_one, words, 3)))

    def run(chance):
        held = follow(after_one, words, 3)
        setting = Setting(greedy=False, vocab=3, context=256, forced=held.forced)
        method = registry.build(name, {**size[name], "verify": verify}, setting)
        return text_of(method, nets, 3, shape(held))(chance)

    assert distance(enumerate_outcomes(run), true) < 1e-6


def test_forced_tokens_save_runs():
    net, words = ToyCausal(0, V), vocabulary(V)

    def all_known(tokens):
        return [(len(tokens) * 5) % V] if len(tokens) % 6 else None

    runs = {}
    for name in ("greedy", "forced", "pooled"):
        held = follow(all_known, words, 18)
        options = {"drafters": "forced,jacobi"} if name == "chained" else {}
        setting = Setting(vocab=V, forced=held.forced)
        method = registry.build(name, options, setting)
        (record,) = play([Request(Canvas([1], 18), method, {"target": net}, shape(held))])
        runs[name] = record.request.runs["target"]
    assert runs["greedy"] == 18
    assert runs["forced"] < 18
    assert runs["pooled"] < 18


def test_beams_never_leave_the_constraint():
    """Rows with fewer legal tokens than `width`: no hypothesis that ended in time breaks the constraint."""
    net, words = mixed_law(4, 4), vocabulary(4, [0])
    for start in (after_one, Closing(), lambda tokens: [1] if len(tokens) < 3 else [0]):
        for width in (1, 3, 6):
            held = follow(start, words, 6, jump=1)
            method = registry.build("beam", {"width": width}, Setting(vocab=4, eos=(0,), forced=held.forced))
            (record,) = play([Request(Canvas([3], 6, eos=[0]), method, {"target": net}, shape(held))])
            law = law_of_text(net, [3], 6, shape(follow(start, words, 6, jump=1)), [0])
            for text, score in zip(record.texts, record.canvas.score, strict=True):
                assert score == score
                assert tuple(text) in law or score == -torch.inf
            best = max(range(len(record.texts)), key=record.canvas.score.__getitem__)
            assert tuple(record.texts[best]) in law


def test_min_tokens():
    net, words = mixed_law(1, 3), vocabulary(3, [2])
    held = follow(Least(4, words.going_on), words, 9, jump=0)
    law = law_of_text(net, [0], 6, shape(held), [2])
    assert min(len(text) for text in law if text[-1] == 2) == 5
