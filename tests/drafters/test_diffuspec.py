"""Chains from one run of a diffusion net: the lattice, the length, and exactness whatever it drafts."""

import math
import random

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, decode
from anyorder.core.types import Answer, Lines
from anyorder.drafters.diffuspec import Pace, diffuspec, lattice, length
from anyorder.registry import build
from anyorder.testing import ToyCausal, ToyTwoWay, greedy_text, subject

OPTIONS = [
    {"least": 1, "most": 4},
    {"least": 2, "most": 3, "mass": 1.0, "candidates": 3, "beam": 2, "weight": 0.2, "keep": False},
    {"least": 1, "most": 1, "weight": 1.0},
]
REST = {"mass": 0.8, "candidates": 15, "beam": 3, "weight": 0.5, "keep": True, "rate": 0.5, "more": 10}


class Knows:
    """An any-order net that is sure of what stands in each cell; `wrong`: and errs there. It counts its
    holes."""

    can = frozenset({"any-order", "rows", "pack"})
    context = 1 << 16

    def __init__(self, text, vocab=13, wrong=()):
        self.text, self.vocab, self.wrong, self.asked = text, vocab, set(wrong), []

    def forget(self):
        pass

    def __call__(self, asks):
        answers = []
        for ask, canvas in asks:
            (cells,) = ask.at
            self.asked.append(list(cells))
            logits = torch.zeros(len(cells), self.vocab, dtype=torch.float64)
            for i, cell in enumerate(cells):
                token = self.text[cell] if cell < len(self.text) else 12
                logits[i, (token + (cell in self.wrong)) % self.vocab] = 20.0
            answers.append(Answer(logits, (Lines(0, 0, len(canvas.rows[0]), cells=tuple(cells)),)))
        return answers

    def follow(self, canvas, commit):
        pass


def run(draft, prompt=(1, 2), budget=40, **options):
    nets = {"target": ToyCausal(0), "diffusion": draft}
    return subject("diffuspec", options=options).run(list(prompt), budget, nets=nets)


def known(budget=40, prompt=(1, 2), wrong=()):
    return Knows([*prompt, *greedy_text(ToyCausal(0), list(prompt), budget)], wrong=wrong)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_text_whatever_is_drafted(seed):
    """The card's check: nothing that the draft net says changes the text."""
    rng = random.Random(seed)
    true = greedy_text(ToyCausal(0), [1, 2], 40)
    draft = known(wrong=rng.sample(range(42), 12)) if seed % 2 else ToyTwoWay(seed, apart=True)
    assert run(draft, least=1 + seed, most=6).texts == [true]


def test_a_net_that_knows_the_text_writes_it_in_few_runs():
    """40 tokens: 30 guesses and one more token, then what is left; the budget's end is not drafted."""
    draft = known()
    record = run(draft)
    assert [len(commit.token[0]) for commit in record.commits] == [31, 9]
    assert draft.asked == [list(range(2, 32)), list(range(33, 41))]


def test_one_run_of_each_net_a_commit():
    record = run(ToyTwoWay(0, apart=True), least=3, most=5)
    assert record.request.runs["target"] == len(record.commits)
    assert record.request.runs["diffusion"] in (len(record.commits), len(record.commits) - 1)


def test_guesses_are_a_chain_from_the_net():
    record = run(ToyTwoWay(0, apart=True), least=4, most=4)
    trees = [ask.guess[0] for ask, _ in record.answers if ask.net == "target"]
    assert {len(tree) for tree in trees[:-5]} == {4}
    assert all(tree.parent == tuple(range(-1, len(tree) - 1)) for tree in trees)


# the lattice ------------------------------------------------------------------------------------------------


def spots(laws, mass, most, eos=()):
    logits = torch.tensor(laws, dtype=torch.float64).log()
    lines = Lines(0, 0, 5, cells=tuple(range(len(laws))))
    return lattice(mass, most, eos)(Answer(logits, (lines,)), Chance())


@pytest.mark.parametrize(
    "mass, most, kept", [(0.8, 15, 3), (0.5, 15, 1), (0.51, 15, 2), (1.0, 15, 4), (0.8, 2, 2), (0.0, 9, 1)]
)
def test_candidates_make_up_the_mass(mass, most, kept):
    ((spot,),) = spots([[0.5, 0.05, 0.25, 0.2]], mass, most)
    assert spot.token == (0, 2, 3, 1)[:kept]
    assert spot.log == pytest.approx([math.log(p) for p in (0.5, 0.25, 0.2, 0.05)[:kept]])


def test_an_end_of_text_is_kept_and_the_first_sure_one_is_the_last_spot():
    laws = [[0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1]]
    (found,) = spots(laws, 0.5, 15, eos=(2,))
    assert [spot.token for spot in found] == [(0, 2), (2,)]
    assert [spot.end for spot in found] == pytest.approx([math.log(0.1), math.log(0.7)])
    (found,) = spots(laws, 0.5, 2, eos=(2,))
    assert found[0].token == (0,)  # not among the two likeliest
    (found,) = spots(laws, 0.5, 15)
    assert [spot.token for spot in found] == [(0,), (2,), (0,)]


def test_what_cannot_be_is_no_candidate():
    ((spot,),) = spots([[0.5, 0.0, 0.5]], 1.0, 15, eos=(1,))
    assert spot.token == (0, 2)


# the length -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "drafted, accepted, holes",
    [(0, 0, 20), (15, 0, 20), (15, 15, 25), (24.2, 3, 25), (24.2, 24.2, 30), (99, 0, 30), (21, 21, 30)],
)
def test_length(drafted, accepted, holes):
    assert length(Pace(30, drafted, accepted), 20, 30, 10) == holes


def paced(lengths, eos=(), text=12):
    """Holes that are asked for, when the net ends its text after `text` cells, and so much is accepted."""
    setting = Setting(vocab=13, eos=eos)
    drafter = diffuspec(setting, draft="", least=4, most=16, **REST | {"more": 3})
    canvas, asked = Canvas([1], 500, eos=eos), []
    for accepted in lengths:
        flow = drafter.draft(canvas)
        ask = next(flow)
        asked.append(len(ask.at[0]))
        logits = torch.zeros(asked[-1], 13, dtype=torch.float64)
        logits[range(asked[-1]), [3] * min(text, asked[-1]) + [12] * max(0, asked[-1] - text)] = 9.0
        with pytest.raises(StopIteration) as over:
            flow.send(ask.read(Answer(logits, (Lines(0, 0, 1, cells=tuple(ask.at[0])),)), Chance()))
        trees = over.value.value
        assert len(trees[0]) == (min(text + 1, asked[-1]) if eos else asked[-1])
        drafter.learn(canvas, trees, None, [[3] * (accepted + 1)])
        canvas.rows[0] += [3] * (accepted + 1)
    return asked


def test_the_length_follows_both_averages():
    """G: 8 12 13 13.25 ..., A: 8 4 2 1 ...: the first draft pays 3 holes more, the others do not."""
    assert paced([16, 0, 0, 0]) == [16, 11, 10, 10]
    assert paced([0, 0, 0]) == [16, 8, 8]
    assert paced([2, 2, 2, 2], eos=(12,), text=2) == [16, 4, 5, 5]  # G = A = 1, 1.5, 1.75: ceil(G + 3)


def test_rows_have_lengths_of_their_own():
    drafter = diffuspec(Setting(vocab=13), draft="", least=1, most=8, **REST | {"more": 0, "rate": 1.0})
    canvas = Canvas([1], 99, rows=2)
    canvas.rows[1] += [2, 3]
    flow = drafter.draft(canvas)
    ask = next(flow)
    assert [list(cells) for cells in ask.at] == [list(range(1, 9)), list(range(3, 11))]


def test_least_above_most_is_refused():
    with pytest.raises(ValueError, match="option least is 9; allowed is 1 to 4, which is most; choose one"):
        build("diffuspec", {"least": 9, "most": 4}, Setting(vocab=13))


def test_grams_are_kept_between_requests():
    setting = Setting(vocab=13)
    for keep in (False, True):
        method = build("diffuspec", {"least": 1, "most": 2, "keep": keep}, setting)
        nets = {"target": ToyCausal(0), "diffusion": ToyTwoWay(0, apart=True)}
        list(decode([Request(Canvas([1, 2], 12), method, nets)]))
        assert list(setting.memory) == ["diffuspec"] * keep
    assert 12 <= setting.memory["diffuspec"].learned <= 14


def test_upto_asks_for_no_more():
    drafter = diffuspec(Setting(vocab=13), draft="", least=4, most=8, **REST)
    assert len(next(drafter.upto(3)(Canvas([1], 99))).at[0]) == 3
