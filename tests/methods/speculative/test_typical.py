"""Typical acceptance: the card's thresholds, the longest path, and that it is lossy."""

from __future__ import annotations

import pytest
import torch

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.chance import Chance
from anyorder.core.readers import sample
from anyorder.core.types import Answer, Lines, Tree, chain
from anyorder.methods.speculative.speculative import speculative
from anyorder.methods.speculative.typical import rule
from anyorder.testing import distance, enumerate_outcomes, law_of_text
from anyorder.trees import branches
from tests.drafts import fixed, mixed_law, text_of

OPTIONS = [{}, {"epsilon": 0.0, "delta": 0.0}, {"drafter": "draft_model/tokens=2", "epsilon": 0.5}]
SAMPLING = Setting(greedy=False, vocab=4)


def judged(tree: Tree, laws, epsilon=0.09, delta=0.3, greedy=True) -> list[int]:
    logits = torch.tensor(laws, dtype=torch.float64).log()
    return rule(epsilon, delta, greedy)(Answer(logits, (Lines(0, 0, 4, tree),)), Chance(1))[0]


EVEN, SURE = [0.25] * 4, [0.0, 0.0, 1.0, 0.0]


def test_thresholds_of_the_card():
    """Even odds of four: min(.09, .3 / 4) = .075 and all pass. A certain law: only the likeliest passes."""
    assert [len(judged(chain([t]), [EVEN, EVEN])) for t in range(4)] == [2] * 4
    assert [len(judged(chain([t]), [SURE, EVEN])) for t in range(4)] == [1, 1, 2, 1]
    law = [0.074, 0.076, 0.425, 0.425]
    assert len(judged(chain([0]), [law, EVEN], epsilon=0.075)) == 1
    assert len(judged(chain([1]), [law, EVEN], epsilon=0.075)) == 2


def test_the_entropy_lowers_the_threshold():
    """With H = ln 4, delta / 4 decides; the same token fails where the law is sharper."""
    assert len(judged(chain([0]), [EVEN, EVEN], epsilon=0.9, delta=0.9)) == 2  # .25 > .225
    assert len(judged(chain([0]), [[0.25, 0.75, 0, 0], EVEN], epsilon=0.9, delta=0.9)) == 1


def test_the_longest_accepted_path_wins_and_then_the_likelier():
    tree = branches([[0], [1, 0], [2, 1], [3, 3]])
    laws = [EVEN] + [EVEN] * len(tree)
    laws[tree.token.index(2) + 1] = [0.1, 0.7, 0.1, 0.1]  # after 2, token 1 is likely
    assert judged(tree, laws)[:2] == [2, 1]
    assert judged(branches([[0], [1, 0]]), [[0.7, 0.1, 0.1, 0.1]] + [EVEN] * 3)[:2] == [1, 0]


def test_a_path_through_a_rejected_guess_is_not_taken():
    tree = chain([0, 2])
    assert judged(tree, [SURE, EVEN, EVEN]) == [2]


def test_soft_nodes_are_never_text():
    tree = Tree((-5, 1), (-1, 0), soft={-5: {0: 1.0}})
    assert judged(tree, [EVEN] * 3, epsilon=0.0, delta=0.0) == [0]


def test_no_guess_is_the_plain_loop():
    """Of an empty tree only the target's own token comes: the likeliest, or plain sampling's of that seed."""
    logits = torch.randn(1, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    answer = Answer(logits, (Lines(0, 0, 4, chain([])),))
    for seed in range(20):
        assert rule(0.09, 0.3, False)(answer, Chance(seed)) == [sample(answer, Chance(seed))]
    assert rule(0.09, 0.3, True)(answer, Chance()) == [[int(logits.argmax())]]


@pytest.mark.parametrize("greedy", [True, False])
def test_accepts_what_exact_rules_do_not(greedy):
    """At threshold 0 every guess holds, so the text is the drafter's and off the target's law."""
    nets = {"target": mixed_law(1)}
    drafter = fixed((-1, 0), (1, 2))
    setting = Setting(greedy=greedy, vocab=3)

    def method(canvas):
        return speculative(canvas, drafter, rule(0.0, 0.0, greedy), setting)

    found = enumerate_outcomes(text_of(method, nets, 2))
    assert found == {(1, 2): 1.0}
    assert distance(found, law_of_text(nets["target"], [0], 2)) > 0.3


def test_the_drafter_s_nets_come_along():
    setting = Setting(vocab=13)
    registry.build("typical", {"drafter": "early_exit/layer=4"}, setting)
    assert [net for net, _ in setting.nets] == ["exit"]
    with pytest.raises(ValueError, match="not a drafter"):
        registry.build("typical", {"drafter": "beam"}, setting)
