"""Reflective verification: where the second copy stands, share 0 is exact, the rest lossy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.types import Answer, Ask, Lines, Tree, chain
from anyorder.methods.speculative.reflective import fused, judge, swayed, twice
from anyorder.methods.speculative.rules import greedy, match
from anyorder.testing import ToyCausal, play, subject
from anyorder.trees import branches

OPTIONS = [{}, {"share": 0.0}, {"share": 1.0, "prefix": 1}, {"drafter": "token_recycling/nodes=4"},
           {"drafter": "draft_model/draw=sampled"}]  # fmt: skip
DRAFT = branches([[3, 4, 5], [3, 6], [7]])


def readings(seed: int, share: float, is_greedy: bool, tree: Tree = DRAFT):
    """(paths, the readings of the base verifier): random logits over a doubled draft."""
    given = twice(tree, [1, 2], 99)
    logits = torch.randn(len(given.whole) + 1, 9, generator=torch.Generator().manual_seed(seed)).double()
    logits[:, [3, 4, 5, 6]] += 1.5  # so that guesses hold now and then
    answer = Answer(logits, (Lines(0, 0, 4, tree),))
    base = greedy if is_greedy else match
    return judge(answer, Chance(seed), [given], share, is_greedy), base(answer, Chance(seed))


def test_the_second_copy_hangs_below_the_first():
    given = twice(DRAFT, [1, 2], 99)
    assert given.branch == (0, 1, 2)
    assert given.whole.path(len(given.whole) - 1) == [3, 4, 5, 1, 2, 3, 4, 5]
    assert given.whole.parent[: len(DRAFT)] == DRAFT.parent
    lines = [given.second(i) - 1 for i in range(4)]  # as nodes
    assert [given.whole.path(node)[3:] for node in lines] == [
        [1, 2],
        [1, 2, 3],
        [1, 2, 3, 4],
        [1, 2, 3, 4, 5],
    ]


def test_no_room_and_no_draft_mean_no_second_copy():
    assert twice(DRAFT, [1, 2], 8).whole is not DRAFT
    assert twice(DRAFT, [1, 2], 7).whole is DRAFT
    assert twice(chain([]), [1, 2], 99).whole == chain([])


@pytest.mark.parametrize("is_greedy", [True, False])
def test_share_zero_is_the_base_verifier(is_greedy):
    pairs = [readings(seed, 0.0, is_greedy) for seed in range(200)]
    assert all(mine == base for mine, base in pairs)
    assert {len(mine[0]) for mine, _ in pairs} >= {1, 2, 3}
    other = [readings(seed, 0.6, is_greedy) for seed in range(200)]
    assert any(mine != base for mine, base in other)


def test_readings_that_agree_change_nothing():
    """Equal readings give the base verifier's text whatever the share."""
    given = twice(chain([3, 4]), [1], 99)
    logits = torch.randn(6, 9, generator=torch.Generator().manual_seed(3)).double()
    logits[[given.second(i) for i in range(3)]] = logits[:3].clone()
    for seed in range(100):
        answer = Answer(logits, (Lines(0, 0, 4, chain([3, 4])),))
        assert judge(answer, Chance(seed), [given], 0.7, False) == match(answer, Chance(seed))


def test_the_second_reading_can_accept_and_reject():
    """One guess, 3; the first reading is for 5, and the share of the second decides."""
    tree = chain([3])
    given = twice(tree, [1], 99)  # lines: end, guess, 1, second guess
    logits = torch.zeros(4, 9).double()
    logits[0, 5], logits[given.second(0), 3], logits[1, 8] = 2.0, 3.0, 1.0
    answer = Answer(logits, (Lines(0, 0, 4, tree),))
    assert judge(answer, Chance(), [given], 0.3, True) == [[5]]
    assert judge(answer, Chance(), [given], 0.5, True) == [[3, 8]]
    logits[0, 5], logits[0, 3], logits[given.second(0)] = 0.0, 2.0, torch.eye(9).double()[7] * 9
    assert judge(answer, Chance(), [given], 0.0, True) == [[3, 8]]
    assert judge(answer, Chance(), [given], 0.9, True)[0][0] == 3  # the first reading's own token


def test_the_guess_gets_the_mixture_s_chance_and_the_others_their_shares():
    source = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 6, generator=source, dtype=torch.float64)
    law, mixed = swayed(first, second, 2, 0.4).softmax(-1), (0.6 * first + 0.4 * second).softmax(-1)
    assert float(law[2]) == pytest.approx(float(mixed[2]))
    others = [0, 1, 3, 4, 5]
    assert torch.allclose(law[others] / law[others].sum(), first[others].softmax(-1))
    assert torch.allclose(swayed(first, second, 2, 0.0).softmax(-1), first.softmax(-1))


def test_tokens_that_shaping_forbade():
    """-inf in one reading forbids the token; where nothing is left, the first reading stands."""
    never = -torch.inf
    one, other = torch.tensor([0.0, never, 1.0]), torch.tensor([0.0, 2.0, never])
    assert fused(one, other, 0.5).softmax(-1).tolist() == [1, 0, 0]
    assert fused(torch.tensor([0.0, never]), torch.tensor([never, 0.0]), 0.5).tolist() == [0, never]
    assert fused(one, other, 0.0) is one
    sure = torch.tensor([0.0, never, never])
    assert swayed(sure, torch.zeros(3), 0, 0.5).softmax(-1).tolist() == pytest.approx([1, 0, 0])
    assert not swayed(sure, torch.zeros(3), 1, 0.5).isnan().any()


@pytest.mark.parametrize("is_greedy", [True, False])
def test_the_text_at_share_zero_is_the_plain_loop_s(is_greedy):
    given = {"greedy": is_greedy, "chance": Chance(5), "eos": [5]}
    plain = subject("greedy" if is_greedy else "sample").run([0, 1, 2, 0, 1], 16, **given)
    assert (
        subject("reflective", options={"share": 0.0}).run([0, 1, 2, 0, 1], 16, **given).texts == plain.texts
    )


def run(setting: Setting, net=None, **options):
    setting = replace(setting, memory={})
    method = registry.build("reflective", options | {"drafter": "prompt_lookup/nodes=3"}, setting)
    canvas = Canvas([0, 1, 2, 3, 0, 1, 2], 8)
    (record,) = play([Request(canvas, method, {"target": net or ToyCausal(0, 13)})])
    return record


def test_reflection_and_prefix_stand_between_the_copies():
    setting = Setting(vocab=13, encode=lambda text: [9, 10] if text else [])
    first = next(step for step in run(setting, prefix=3).steps if isinstance(step, Ask))
    assert first.guess[0].token == (3, 0, 1, 9, 10, 0, 1, 2, 3, 0, 1)
    first = next(step for step in run(setting, prefix=1, reflection="").steps if isinstance(step, Ask))
    assert first.guess[0].token == (3, 0, 1, 2, 3, 0, 1)


def test_near_the_end_of_the_context_there_is_no_second_copy():
    net = ToyCausal(0, 13)
    net.context = 16
    record = run(Setting(vocab=13, context=16), net, prefix=4)
    asks = [step for step in record.steps if isinstance(step, Ask)]
    assert all(len(ask.guess[0]) <= 16 - 7 for ask in asks)
    assert len(record.canvas.generated()) == 8


def test_only_the_first_copy_becomes_text():
    record = run(Setting(vocab=13), share=1.0)
    fed = [answer.cells for _, answer in record.answers]
    assert all(len(commit.token[0]) <= 3 + 1 for commit in record.commits)
    assert any(len(ask.guess[0]) > 3 for ask, _ in record.answers)
    assert fed[0] == 7 + len(record.answers[0][0].guess[0])  # then one cell of the text and the guesses
    assert all(n == 1 + len(ask.guess[0]) for n, (ask, _) in zip(fed[1:], record.answers[1:], strict=True))
