"""Placeholders that predict the next unit, judged one run later."""

import numpy as np
import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.core.types import Tree, chain
from anyorder.drafters.lexical_draft import spread, unit_behind
from anyorder.registry import build
from anyorder.testing import play
from tests.methods.speculative.test_lexical_unit import PAD, V, unit_trained

OPTIONS = [{"unit": 2, "beta": 0.0}, {}, {"unit": 4, "beta": 0.05}]


def run(net, budget, **options):
    canvas = Canvas([0], budget)
    method = build("lexical_draft", {"placeholder": PAD, **options}, Setting(vocab=V))
    (record,) = play([Request(canvas, method, {"target": net})])
    return record


@pytest.mark.parametrize("unit", [2, 3, 4])
def test_a_net_that_was_trained_on_units_commits_whole_ones(unit):
    """The first run knows of no unit; afterwards every run commits one."""
    net = unit_trained(lambda i: i % 5, lambda i: 0.95)
    record = run(net, 1 + 3 * unit, unit=unit)
    assert record.texts == [[i % 5 for i in range(1, 2 + 3 * unit)]]
    assert [len(commit.token[0]) for commit in record.commits] == [1] + [unit] * 3


def test_wherever_acceptance_ends_the_next_unit_is_known():
    """The guess at position 4 is always wrong: units break off there, and the next one is known at once."""
    right = lambda i: i % 5  # noqa: E731
    plain, trained = (unit_trained(f, lambda i: 0.95) for f in (right, lambda i: 2 if i == 4 else right(i)))

    def law(text):
        return (trained if text[-1] == PAD else plain).law(text)

    net = type(plain)(law)
    record = run(net, 10, unit=3)
    assert record.texts == [[right(i) for i in range(1, 11)]]
    assert [len(commit.token[0]) for commit in record.commits] == [1, 3, 3, 3]
    wrong = run(net, 10, unit=4)
    assert [len(commit.token[0]) for commit in wrong.commits] == [1, 3, 4, 4]  # 1 | 2 3 4 | 5 6 7 8 | 9 10


def test_beta_cuts_the_guesses():
    net = unit_trained(lambda i: i % 5, lambda i: 0.6 if i % 2 else 0.9)
    for beta, guessed in ((0.95, {0}), (0.7, {0, 1}), (0.5, {0, 2})):
        record = run(net, 9, unit=3, beta=beta)
        trees = [ask.guess[0] for ask, _ in record.answers]
        assert {tree.source.count("lexical_draft") for tree in trees} == guessed
        assert record.texts == [[i % 5 for i in range(1, 10)]]


def test_every_guess_carries_its_placeholders():
    tree = spread([3, 4], PAD, 2)
    assert tree.token == (3, 4, PAD, PAD, PAD, PAD, PAD, PAD)
    assert tree.parent == (-1, 0, -1, 2, 0, 4, 1, 6)
    assert spread([], PAD, 1) == Tree((PAD,), (-1,), source=("placeholder",))


def test_the_unit_behind_a_path():
    tree = spread([3, 4], PAD, 2)
    seen = np.array([[10 + i, 0.9] for i in range(len(tree) + 1)])  # line i says token 10 + i
    seen[6, 1] = 0.2
    assert unit_behind(tree, seen, [9], 0.5) == [13, 14]  # behind the text: nodes 2 and 3
    assert unit_behind(tree, seen, [3, 9], 0.5) == [15]  # node 5 is not sure
    assert unit_behind(tree, seen, [3, 4, 9], 0.5) == [17, 18]
    assert unit_behind(tree, seen, [PAD, 9], 0.5) == [14]  # a placeholder was accepted: the rest of its chain
    assert unit_behind(chain([3, 4]), seen, [3, 4, 9], 0.5) == []  # another drafter's tree has none


def test_a_placeholder_that_is_not_there():
    with pytest.raises(ValueError, match="placeholder is 8; allowed is -1 to 7; choose one"):
        build("lexical_draft", {"placeholder": 8}, Setting(vocab=V))
