"""Texts judged token by token: what is equal, what parts, where texts end, and how few runs that takes."""

from __future__ import annotations

import pytest
import torch

from anyorder.audit.redecode import Plain, over, rank, reread
from anyorder.audit.ties import walk
from anyorder.core.chance import Chance

PROMPT = "the cat sat on the mat"
LONG = 10


class Counting:
    """A net that counts its runs."""

    def __init__(self, net):
        self.net, self.runs = net, 0

    def __call__(self, asks):
        self.runs += 1
        return self.net(asks)

    def __getattr__(self, name):
        return getattr(self.net, name)


def request(tiny, temperature=0.0, **options):
    return tiny.request(
        PROMPT, "sample" if temperature else "greedy", temperature=temperature, max_tokens=LONG, **options
    )


def read(tiny, text, temperature=0.0, **options):
    asked = request(tiny, temperature, **options)
    return reread(Plain(tiny.target, tiny.encode(PROMPT)), asked, text, temperature)


@pytest.fixture
def text(tiny):
    return tiny.generate(PROMPT, "greedy", max_tokens=LONG).token_ids


def test_the_plain_loops_text_is_equal(tiny, text):
    assert len(text) == LONG
    assert read(tiny, text).parted == []


@pytest.mark.parametrize("options", [{"top_k": 5}, {"repetition_penalty": 1.5}, {"stop": ["a", "e"]}])
def test_drawn_texts_are_the_plain_loops_draws(tiny, options):
    drawn = tiny.generate(PROMPT, "sample", temperature=0.9, seed=3, max_tokens=LONG, **options).token_ids
    found = read(tiny, drawn, 0.9, seed=3, **options)
    assert found.parted == []
    assert len(found.ranks) == len(drawn)
    assert all(0 <= place <= 1 for place in found.ranks)
    assert read(tiny, drawn, 0.9, seed=4, **options).parted


@pytest.mark.parametrize("place", [0, 4, LONG - 1])
def test_one_wrong_token_is_one_divergence_with_its_margin(tiny, text, place):
    ids = tiny.encode(PROMPT)
    line = walk(tiny.target, [*ids, *text[:place]], len(ids), 1)[-1]
    other = int(line.topk(3).indices[2])
    wrong = [*text[:place], other]
    while len(wrong) < LONG:  # and the plain loop again after it
        wrong.append(int(walk(tiny.target, [*ids, *wrong], len(ids), 1)[-1].argmax()))
    (found,) = read(tiny, wrong).parted
    assert (found.position, found.expected, found.emitted) == (place, text[place], other)
    assert found.margin == pytest.approx(float(line.max() - line[other]), abs=1e-4)


def test_the_margin_of_a_draw_turns_the_draw(tiny):
    drawn = tiny.generate(PROMPT, "sample", temperature=0.9, max_tokens=1).token_ids
    line = walk(tiny.target, tiny.encode(PROMPT), len(tiny.encode(PROMPT)), 1)[-1]
    other = next(t for t in line.topk(5).indices.tolist() if t != drawn[0])
    (found,) = read(tiny, [other], 0.9).parted[:1]
    position = len(tiny.encode(PROMPT))
    duel = torch.full_like(line, -torch.inf)
    duel[drawn[0]] = line[drawn[0]]
    for more, winner in ((-1e-3, drawn[0]), (1e-3, other)):
        duel[other] = line[other] + found.margin + more
        assert Chance(0).pick(duel / 0.9, 0, position) == winner


def test_a_text_that_ends_early_or_late_is_found(tiny, text):
    (early,) = read(tiny, text[:4]).parted
    assert (early.position, early.expected, early.emitted) == (4, text[4], None)
    (late,) = read(tiny, [*text, 5]).parted
    assert (late.position, late.expected, late.emitted) == (LONG, None, 5)
    assert early.end
    assert late.end
    (nothing,) = read(tiny, []).parted
    assert (nothing.position, nothing.emitted) == (0, None)


def test_where_a_text_has_to_end_does_not_hang_on_the_canvas(tiny, monkeypatch):
    """The canvas may be what is wrong: it is not asked."""
    canvas = request(tiny, stop=["b"]).canvas
    monkeypatch.setattr(type(canvas), "_cut", lambda self, row, token: (len(token), None))
    eos, (b,), (a,) = tiny.eos[0], tiny.encode("b", chat=False), tiny.encode("a", chat=False)
    assert over(canvas, [a, eos])
    assert over(canvas, [a, b])
    assert over(canvas, [a] * LONG)
    assert not over(canvas, [a] * (LONG - 1))
    assert not over(canvas, [])


def test_equal_beginnings_are_run_once(tiny, text):
    net = Counting(tiny.target)
    plain, asked = Plain(net, tiny.encode(PROMPT)), request(tiny)
    for _ in range(3):
        assert reread(plain, asked, text, 0.0).parted == []
    assert net.runs == LONG
    fork = [*text[:6], (text[6] + 1) % 200, *text[7:]]
    reread(plain, asked, fork, 0.0)
    assert net.runs == LONG + 3  # after 7, 8 and 9 tokens


def test_ranks_of_draws_are_uniform_and_of_likeliest_tokens_are_not():
    line = torch.tensor([1.0, 0.0, -1.0, -torch.inf])
    law = line.softmax(-1)
    drawn = [rank(line, int(law.multinomial(1)), Chance(7), i) for i in range(2000)]
    assert torch.tensor(drawn).mean() == pytest.approx(0.5, abs=0.03)
    assert torch.tensor(drawn).std() == pytest.approx(12**-0.5, abs=0.02)
    likeliest = [rank(line, 0, Chance(7), i) for i in range(200)]
    assert max(likeliest) <= float(law[0])
    assert rank(line, 3, Chance(7), 0) > 1
