"""Tie or bug, on a net whose margins and noise are made by hand, and on real ones."""

from __future__ import annotations

import pytest
import torch

from anyorder.audit.ties import FACTOR, Divergence, Judge, first_difference, walk
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Lines
from anyorder.nets.load import embedded_file

VOCAB = 6


class Jittery:
    """Token 0 leads token 1 by `gap` after any text; runs of several cells lift token 1 by `jitter`."""

    vocab, context, can = VOCAB, 1000, frozenset({"tree"})

    def __init__(self, gap: float, jitter: float):
        self.gap, self.jitter, self.runs = gap, jitter, 0

    def __call__(self, asks):
        ((ask, canvas),) = asks
        self.runs += 1
        (tree,) = ask.guess
        logits = torch.arange(0, -VOCAB, -1).float().repeat(len(tree) + 1, 1)
        logits[:, 1] = -self.gap + (self.jitter if len(tree) else 0)
        return [Answer(logits, (Lines(0, 0, len(canvas.rows[0]), tree),))]

    def follow(self, canvas, commit):
        pass


def judge(gap: float, jitter: float, **how) -> Judge:
    return Judge(Jittery(gap, jitter), [list(range(40)), list(range(60))], **how)


@pytest.mark.parametrize(
    "a, b, place", [([1, 2], [1, 2], None), ([1, 2], [1, 3], 1), ([1], [1, 2], 1), ([], [4], 0)]
)
def test_first_difference(a, b, place):
    assert first_difference(a, b) == place


@pytest.mark.parametrize("gap, verdict", [(0.1, "tie"), (0.19, "tie"), (0.21, "bug"), (0.9, "bug")])
def test_a_tie_is_a_margin_within_twice_the_noise(gap, verdict):
    parted = judge(gap, 0.1).compare([5, 5], [0, 0, 0, 0], [0, 0, 1, 0])
    assert (parted.position, parted.plain, parted.other) == (2, 0, 1)
    assert parted.margin == pytest.approx(gap)
    assert parted.noise == pytest.approx(0.1)
    assert parted.verdict == verdict
    assert FACTOR == 2


def test_equal_texts_cost_nothing():
    quiet = judge(0.5, 0.1)
    assert quiet.compare([5], [0, 1], [0, 1]) is None
    assert quiet.net.runs == 0
    assert "noise" not in vars(quiet)


def test_a_text_that_ends_early_is_a_bug():
    parted = judge(0.0, 10.0).compare([5], [0, 1], [0])
    assert parted == Divergence(1, 1, None, None, None)
    assert parted.verdict == "bug"


def test_the_margin_of_a_draw_is_what_the_loser_must_rise():
    temperature, seed, text = 0.8, 3, [5, 5, 0]
    drawn = judge(0.4, 0.1, temperature=temperature, seed=seed)
    margin = drawn.margin(text, 2, 0, 1)
    duel = torch.full((VOCAB,), -torch.inf)
    duel[:2] = torch.tensor([0.0, -0.4]) / temperature
    winner = Chance(seed).pick(duel, 0, len(text))
    for rise, expected in ((margin - 1e-3, winner), (margin + 1e-3, 1 - winner)):
        raised = duel.clone()
        raised[1 - winner] += rise / temperature
        assert Chance(seed).pick(raised, 0, len(text)) == expected


def test_one_cell_and_many_cells_say_the_same_of_a_real_checkpoint(model):
    text = model.encode("the cat sat on the mat and the cat sat", chat=False)
    one = walk(model.target, text, 5, 1)
    assert one.shape == (len(text) - 4, model.target.vocab)
    for width in (3, 8, 16):
        torch.testing.assert_close(walk(model.target, text, 5, width), one, atol=1e-3, rtol=1e-3)
    assert 0 <= Judge(model.target, [text]).noise < 1e-3


@pytest.mark.slow
@pytest.mark.skipif(embedded_file() is None, reason="the embedded model is not installed")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_the_embedded_model_computes_the_same_bits_alone_among_guesses_and_in_company(precision: str) -> None:
    from anyorder import api

    real = api.load("smollm2", precision=precision)
    sentence = "The library closes at six on Saturdays, so we went on Friday after school instead."
    text = real.encode(sentence, chat=False)
    assert Judge(real.target, [text]).noise < 1.0
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("equal bits were established for AVX-512 kernels only")
    start = len(text) // 2
    one = walk(real.target, text, start, 1)
    for width in (2, 3, 8, 16):
        for branches in (False, True):
            assert torch.equal(walk(real.target, text, start, width, branches), one), (width, branches)
    prompts = [sentence[:n] for n in (10, 22, 47, 64, 80)]
    together = real.batch(prompts, max_tokens=24)
    for prompt, result in zip(prompts, together, strict=True):
        real.target.forget()
        assert result.token_ids == real.generate(prompt, max_tokens=24).token_ids
