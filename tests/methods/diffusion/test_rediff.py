"""ReDiff: static's schedule; a net that corrects is heard, one that echoes changes nothing."""

import pytest

from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [{}, {"revise_start": 0, "edits": 1, "share": 0.5, "steps": 2}]
NEVER = 1 << 30
PROMPT = [2, 0, 1]


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("off", [{"revise_start": NEVER}, {"edits": 0}, {"share": 0.0}])
def test_without_rewriting_it_is_static(greedy, steps, off):
    for seed in range(3):
        one = run("static", ToyTwoWay(seed), PROMPT, 7, 4, greedy=greedy, seed=seed, steps=steps)
        two = run("rediff", ToyTwoWay(seed), PROMPT, 7, 4, greedy=greedy, seed=seed, steps=steps, **off)
        assert two.commits == one.commits


@pytest.mark.parametrize("steps", [0, 2, 3])
def test_as_many_runs_as_static(steps):
    net = ToyTwoWay(1)
    one, two = (run(name, net, PROMPT, 9, 4, steps=steps) for name in ("static", "rediff"))
    assert runs(one) == runs(two)


RIGHT = [1, 2, 3, 4, 5, 6]


def corrector(text):
    """Errs where it sees little of the text, and sees its errors: what training with wrong words gives."""
    errs = text.count(19) >= 4
    return [(10 + i if errs else t, 0.9 - 0.05 * i) for i, t in enumerate(RIGHT)]


def echo(text):
    """Errs alike, and says of a visible cell what stands there: a net that never saw wrong words."""
    return [(t, 0.99) if t != 19 else said for t, said in zip(text, corrector(text), strict=True)]


def test_a_net_trained_on_wrong_words_puts_its_errors_right():
    assert run("static", Said(corrector), PROMPT, 6).texts == [[10, 11, 12, 4, 5, 6]]
    assert run("rediff", Said(corrector), PROMPT, 6).texts == [RIGHT]
    late = run("rediff", Said(corrector), PROMPT, 6, revise_start=5)
    assert late.texts == [RIGHT]
    assert [len(commit.at[0]) for commit in late.commits] == [1, 1, 1, 1, 1, 4]


def test_a_net_that_echoes_puts_nothing_right():
    plain, revised = (run(name, Said(echo), PROMPT, 6) for name in ("static", "rediff"))
    assert revised.texts == plain.texts
    assert revised.commits == plain.commits
    row, echoes = [*PROMPT, *[19] * 6], []
    for (ask, answer), commit in zip(revised.answers, revised.commits, strict=True):
        heard = zip(ask.at[0], answer.logits.argmax(-1).tolist(), strict=True)
        echoes += [row[cell] == token for cell, token in heard if row[cell] != 19]
        for cell, token in zip(commit.at[0], commit.token[0], strict=True):
            row[cell] = token
    assert len(echoes) == 1 + 2 + 3 + 4 + 5
    assert all(echoes)


def test_the_surest_share_is_rewritten():
    """Half of the three wrong cells: the two surest (1.5 is rounded to 2)."""
    record = run("rediff", Said(corrector), PROMPT, 6, revise_start=3, share=0.5)
    assert set(record.commits[3].at[0]) == {3, 4, 6}


def test_rewriting_that_swings_ends_and_says_so():
    def swing(text):
        return [(text.count(19) % 2 + 3, 0.9) for _ in text]

    record = run("rediff", Said(swing), PROMPT, 8, edits=2)
    counts = dict.fromkeys(range(3, 11), 0)
    for commit in record.commits:
        for cell in commit.at[0]:
            counts[cell] += 1
    assert max(counts.values()) == 3  # filled, and rewritten twice
    assert runs(record) == 8
    whys = [ask.why for ask, _ in record.answers]
    assert whys[:3] == ["", "", ""]
    assert (
        whys[-1] == "cells that stay, rewritten 2 times already: 2"
    )  # those filled in steps 1 and 3; 6 wants the other


def test_an_end_of_text_may_be_put_right():
    def early(text):
        """The first cell is filled with an end of text once the others stand, and is then rewritten."""
        first = 18 if text.count(19) == 2 else 5
        return [(first, 0.6 if text.count(19) > 2 else 0.99), (1, 0.9), (2, 0.8), (3, 0.7)]

    assert run("rediff", Said(early), PROMPT, 4, eos=[18]).canvas.ended == ["eos"]
