"""Contrastive search against every step computed from nothing."""

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.errors import UserError
from anyorder.methods.search import contrastive as module
from anyorder.registry import build
from anyorder.shapers import Sampling, compose
from anyorder.testing import ByText, ToyCausal, greedy_text, play, restarted
from anyorder.testing.toy import attend

OPTIONS = [{}, {"k": 1}, {"k": 3, "alpha": 0.9}]

PROMPT = [0, 1, 2, 0, 1]
PLAIN = Sampling()


def search(net, budget, prompt=PROMPT, eos=(), wrap=lambda method: method, rows=1, shape=PLAIN, **options):
    canvas = Canvas(prompt, budget, eos=eos, rows=rows)
    method = wrap(build("contrastive", options, Setting(vocab=net.vocab)))
    (record,) = play([Request(canvas, method, {"target": net}, compose(shape))])
    return record


def states(net, text):
    """[n, D] what the head read at each token."""
    n = len(text)
    w, places = net.weights, list(range(n))
    blank = w.blank.new_zeros((n, *w.blank.shape[1:]))
    return attend(w, list(text), places, places, torch.ones(n, n, dtype=torch.bool).tril(), blank)[1][-1]


def slow(net, budget, k, alpha):
    text = list(PROMPT)
    for _ in range(budget):
        p = net.plain(text).softmax(-1)
        best, top = None, -torch.inf
        for v in p.topk(k)[1].tolist():
            h = states(net, [*text, v])
            like = max(torch.cosine_similarity(h[-1], x, dim=0).item() for x in h[:-1])
            score = (1 - alpha) * p[v].item() - alpha * like
            if score > top:
                best, top = v, score
        text.append(best)
    return text[len(PROMPT) :]


@pytest.mark.parametrize("k, alpha", [(4, 0.6), (3, 0.1), (13, 0.9), (2, 1.0)])
def test_text_is_that_of_every_step_from_nothing(k, alpha):
    for seed in range(3):
        net = ToyCausal(seed, 13)
        assert search(net, 14, k=k, alpha=alpha).texts == [slow(net, 14, k, alpha)]


def test_without_likeness_or_choice_it_is_greedy():
    net = ToyCausal(1, 13)
    for options in ({"alpha": 0.0}, {"k": 1}):
        assert search(net, 12, **options).texts == [greedy_text(net, PROMPT, 12)]


def test_one_run_of_k_cells_for_a_token():
    record = search(ToyCausal(1, 13), 9, k=3)
    fed = [answer.cells for _, answer in record.answers]
    assert fed == [len(PROMPT)] + [3] * 9, "what was chosen is not run again"
    assert [len(answer.logits) for _, answer in record.answers[1:]] == [3] * 9


def test_a_long_prompt_is_read_in_pieces(monkeypatch):
    net = ToyCausal(1, 13)
    whole = search(net, 9).texts
    monkeypatch.setattr(module, "PIECE", 2)
    record = search(net, 9)
    assert record.texts == whole
    assert [len(ask.at[0]) for ask, _ in record.answers if ask.at is not None] == [2, 2, 1]


def test_restarted_at_every_commit():
    net = ToyCausal(2, 13)
    end = search(net, 9).texts[0][5]
    for eos in ((), (end,)):
        assert search(net, 9, eos=eos, wrap=restarted).texts == search(net, 9, eos=eos).texts


def test_rows_side_by_side():
    net = ToyCausal(1, 13)
    assert search(net, 6, rows=2).texts == search(net, 6).texts * 2


def test_what_is_forbidden_is_no_candidate():
    net = ToyCausal(1, 13)
    banned = tuple(set(search(net, 8, k=13).texts[0]))[:3]
    found = search(net, 8, k=13, shape=Sampling(banned=banned))
    assert not set(found.texts[0]) & set(banned)
    assert {len(tree) for ask, _ in found.answers for tree in ask.guess} == {10}


def test_a_net_without_states_is_refused():
    with pytest.raises(UserError, match="the net tells none"):
        search(ByText(ToyCausal(1, 13).plain), 3)
