"""DEL: which exit, how long, and what the shadows count."""

import numpy as np
import pytest
import torch

import anyorder
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Lines, chain
from anyorder.drafters import del_ as module
from anyorder.drafters.del_ import Book, Shadows, del_, shadows, tpl
from anyorder.testing import ToyCausal, subject
from anyorder.testing.subject import toy_nets

OPTIONS = [{"exits": (1, 2), "tokens": 3}, {"exits": (1, 2), "tokens": 2, "draw": "sampled"}, {}]


@pytest.mark.parametrize(
    "alpha, blocks, best, worth", [(0.7, 8, 2, 0.045625), (0.9, 16, 3, 0.0429875), (0.5, 4, 2, 0.04375)]
)
def test_the_best_length_of_the_worked_examples(alpha, blocks, best, worth):
    worths = [tpl(alpha, n, blocks, 32) for n in range(18)]
    assert int(np.argmax(worths)) == best
    assert worths[best] == pytest.approx(worth)
    assert worths[0] == 1 / 32


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.99])
def test_the_recurrence_is_the_closed_form(alpha):
    for n in range(18):
        closed = (1 - alpha ** (n + 1)) / (1 - alpha) / (n * 7 + 32)
        assert tpl(alpha, n, 7, 32) == pytest.approx(closed)


def seen(token, true, sure=0.5):
    token = np.array(token)
    return Shadows(token, np.full(token.shape, sure), np.array(true))


def test_matches_and_confidences_are_counted_up_to_the_first_guess_that_failed():
    book = Book((1, 2))
    book.add(Shadows(np.array([[5, 6, 7], [5, 9, 9]]), np.array([[0.9, 0.8, 0.1], [0.7, 0.6, 0.1]]),
                     np.array([5, 6, 8])), 2, decay=0.0)  # fmt: skip
    assert book.count.tolist() == [[2, 0], [1, 1]]
    assert book.sure == pytest.approx(np.array([[1.7, 0], [0.7, 0.6]]))
    book.exit = 1
    assert book.doubt == pytest.approx((0.7 + 0.6) / 2)
    book.add(seen([[1], [1]], [2]), 1, decay=0.5)
    assert book.count.tolist() == [[1, 1], [0.5, 1.5]]


def test_a_layer_that_always_agrees_comes_near_one_and_its_counts_stay_finite():
    book = Book((1,))
    for _ in range(400):
        book.add(seen([[3, 3]], [3, 3]), 2, decay=0.95)
    match, miss = book.count[0]
    assert match / (match + miss) > 1 - 1e-6
    assert match <= 2 / (1 - 0.95) + 1e-9
    assert np.isfinite(book.doubt)


def test_where_no_length_pays_nothing_is_drafted():
    book = Book((8, 16))
    book.add(seen([[0], [0]], [1]), 1, decay=0.0)
    book.choose((8, 16), 32, 17)
    assert book.most == 0
    book.add(seen([[0], [1]], [1]), 1, decay=0.0)
    book.choose((8, 16), 32, 17)
    assert (book.exit, book.most) == (1, 17)


def test_the_first_round_drafts_one_token_from_the_first_exit():
    drafter = del_(Setting(layers=30), (), 17, 0.95, "likeliest")
    flow = drafter.draft(canvas := Canvas([1, 2], 9))
    ask = next(flow)
    assert (ask.net, ask.skip) == ("exit:4", 0)
    with pytest.raises(StopIteration) as end:
        flow.send([(7, torch.ones(9), 0.99)])
    assert end.value.value[0].token == (7,)
    drafter.learn(canvas, end.value.value, None, [[7, 8]])  # a run without shadows teaches nothing
    assert next(drafter.draft(canvas)).net == "exit:4"


def test_a_draft_ends_after_the_token_that_is_not_sure_enough(monkeypatch):
    drafter = del_(Setting(layers=30), (4, 8), 17, 0.0, "likeliest")
    canvas = Canvas([1, 2], 9)
    token, sure = np.array([[0, 0], [1, 1]]), np.array([[0.9, 0.9], [0.8, 0.4]])
    mine = Shadows(token, sure, np.array([1, 2]))
    drafter.learn(canvas, (chain([1]),), [mine], [[1, 2]])  # exit 8: one match of .8, one mismatch of .4
    flow, drafted = drafter.draft(canvas), [(5, 0.7), (6, 0.61), (7, 0.59)]
    ask = next(flow)
    for token, how in drafted:
        assert ask.net == "exit:8"
        try:
            ask = flow.send([(token, None, how)])
        except StopIteration as end:
            (tree,) = end.value
    assert tree.token == (5, 6, 7)


def test_exits_the_model_does_not_have_are_refused():
    with pytest.raises(ValueError, match="allowed is 1 to 29"):
        del_(Setting(layers=30), (4, 30), 17, 0.95, "likeliest")
    setting = Setting(layers=30)
    del_(setting, (), 17, 0.95, "likeliest")
    assert [name for name, _ in setting.nets] == [f"exit:{e}" for e in range(4, 30, 4)]


def test_shadows_are_what_the_head_says_of_the_layers():
    net, lines = ToyCausal(0), Lines(0, 0, 3, chain([4]))
    read = shadows((1, 2))
    states = {i: torch.randn(2, 16, dtype=torch.float64) for i in (1, 2)}
    logits = torch.randn(2, 13, dtype=torch.float64)
    answer = Answer(logits, (lines,), layers=states, head=lambda x: x @ net.weights.head)
    (mine,) = read(answer, None)
    for row, layer in enumerate((1, 2)):
        law = (states[layer] @ net.weights.head).softmax(-1)
        assert mine.token[row].tolist() == law.argmax(-1).tolist()
        assert mine.sure[row] == pytest.approx(law.max(-1)[0].numpy(), rel=1e-5)
    assert read(Answer(logits, (lines,)), None) is None


@pytest.mark.parametrize("seed", range(4))
def test_any_statistics_leave_the_text_as_it_is(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    drafts = set()

    class Random(Book):
        def choose(self, exits, deep, most):
            self.exit, self.most = int(rng.integers(len(exits))), int(rng.integers(most + 1))
            self.count, self.sure = rng.random((len(exits), 2)) + 0.1, rng.random((len(exits), 2)) / 9
            drafts.add((self.exit, self.most))

    def run():
        tested = subject("del", options=OPTIONS[0])
        return tested.run([1, 2], 40, nets=toy_nets(tested.card, 13)).texts

    true = run()
    monkeypatch.setattr(module, "Book", Random)
    assert run() == true
    assert len(drafts) > 2


def test_stock_bodies_let_their_head_read_layers(tiny_model_folder):
    """A head that kept gradients could not be read (an unpacked model in one process)."""
    model = anyorder.load(str(tiny_model_folder), precision="fp32", packed=False)
    texts = [model.generate("abab", method, max_tokens=12).token_ids for method in ("del", "greedy")]
    assert texts[0] == texts[1]
