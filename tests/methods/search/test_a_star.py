"""A*-decoding against small searches done by hand."""

import re
from itertools import count, pairwise
from typing import NamedTuple

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.types import Ask
from anyorder.errors import UserError
from anyorder.registry import build
from anyorder.scoring import Scorer
from anyorder.testing import ByText, ToyCausal, enumerate_outcomes, greedy_text, play

OPTIONS = [
    {"delimiter": " 5", "cap": 3, "steps": 2, "texts": 2},
    {},
    {"steps": 1},
    {"reward": "constant/value=1", "cost": "consistent", "cap": 2, "calls": 9},
]
PROMPT = [0, 1]
FLAT = ByText(lambda text: torch.zeros(4, dtype=torch.float64))


def search(net, budget, seed=0, eos=(), greedy=False, **options):
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = build("a_star", options, Setting(greedy=greedy, vocab=net.vocab))
    (record,) = play([Request(canvas, method, {"target": net}, chance=Chance(seed))])
    return canvas.generated(), record


def plain(net, budget, seed=0, eos=()):
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = build("sample", {}, Setting(greedy=False, vocab=net.vocab))
    play([Request(canvas, method, {"target": net}, chance=Chance(seed))])
    return canvas.generated()


class Expansion(NamedTuple):
    step: float
    g: float
    h: float
    spent: float
    tokens: float
    calls: float


def expansions(record):
    """What the trace says of the states that were continued, in order."""
    why = [step.why for step in record.steps if isinstance(step, Ask) and "behind f" in step.why]
    return [Expansion(*map(float, re.findall(r"[\d.]+", one)[:6])) for one in dict.fromkeys(why)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("given", [{"steps": 1}, {"steps": 4}, {"steps": 3, "cost": "consistent"}])
def test_constant_reward_writes_what_sampling_writes(seed, given):
    """k = 1 anyway; k > 1 because equal f are taken depth first, the first step first."""
    net = ToyCausal(seed, 13)
    for eos in ((), (plain(net, 9, seed)[4],)):
        text, record = search(net, 9, seed, eos, cap=2, **given)
        assert text == plain(net, 9, seed, eos)
        assert len(record.commits) == 1


def test_greedy_draws_one_step():
    net = ToyCausal(1, 13)
    assert search(net, 8, greedy=True, cap=3)[0] == greedy_text(net, PROMPT, 8)


@pytest.mark.parametrize("cost, g, f", [("increase", 0.1, 0.5), ("consistent", 0.2, 0.6)])
def test_cost_of_a_path(cost, g, f):
    """r = .5, then .4, then .6."""
    r = {0: 0.5, 1: 0.4, 2: 0.6, 3: 0.6}
    reward = lambda texts, prompt: [r[len(text.split())] for text in texts]  # noqa: E731
    _, record = search(ToyCausal(0, 13), 3, steps=1, cap=1, cost=cost, reward=reward)
    last = expansions(record)[2]
    assert last[:3] == pytest.approx((3, g, 0.4))
    assert last.g + last.h == pytest.approx(f)


def test_consistent_costs_never_fall():
    """f of the states as they are popped, for a reward that knows nothing."""

    def reward(texts, prompt):
        return [(90 + 37 * sum(map(int, text.split()))) % 101 / 100 for text in texts]

    for seed in range(3):
        given = {"reward": reward, "cap": 1, "steps": 3, "cost": "consistent", "texts": 20}
        _, record = search(ToyCausal(seed, 13), 6, seed, **given)
        popped = [one.g + one.h for one in expansions(record)]
        assert len(set(popped)) > 1
        assert all(a <= b + 1e-3 for a, b in pairwise(popped))


def test_a_perfect_reward_expands_correct_prefixes_only():
    answer = [2, 1, 3, 0, 2]
    right = lambda text: list(map(int, text.split())) == answer[: len(text.split())]  # noqa: E731
    seen = []

    def reward(texts, prompt):
        seen.append(list(texts))
        return [float(right(text)) for text in texts]

    text, record = search(FLAT, 5, seed=2, reward=reward, cap=1, steps=8, texts=20)
    assert text == answer
    assert len(expansions(record)) == 5
    for texts in seen[1:]:  # each continues what was right
        assert all(right(" ".join(text.split()[:-1])) for text in texts)
    assert record.canvas.score == [1.0]


def test_a_step_ends_with_the_delimiter():
    net, seen = ToyCausal(0, 13), []
    reward = lambda texts, prompt: [seen.append(text) or 0.5 for text in texts]  # noqa: E731
    text, _ = search(net, 12, seed=1, reward=reward, steps=1, delimiter="5")
    assert text == plain(net, 12, 1)
    spelled = " ".join(map(str, text))
    ends = [m.end() for m in re.finditer("5", spelled)]
    assert seen == ["", *[spelled[:end] for end in ends if end < len(spelled)], spelled]
    assert len(seen) > 3


def test_delimiter_of_new_lines():
    with pytest.raises(ValueError, match="delimiter is empty"):
        build("a_star", {"delimiter": ""}, Setting(vocab=13))
    setting = Setting(vocab=4, greedy=False, spell=lambda tokens: "".join("ab\n."[t] for t in tokens))
    canvas, seen = Canvas(PROMPT, 12), []
    reward = lambda texts, prompt: [seen.append(text) or 0.5 for text in texts]  # noqa: E731
    method = build("a_star", {"delimiter": "\\n", "reward": reward, "steps": 1}, setting)
    play([Request(canvas, method, {"target": FLAT}, chance=Chance(1))])
    assert len(seen) > 2
    assert all(text.endswith("\n") for text in seen[1:-1])


def test_budgets_are_kept_and_told():
    """Tokens and calls are counted; when they are spent, the best state is completed greedily."""
    r = lambda texts, prompt: [0.9 - 0.1 * len(text.split()) for text in texts]  # noqa: E731
    net = ToyCausal(0, 13)
    text, record = search(net, 8, reward=r, cap=1, steps=4, texts=1)
    spent = [one.spent for one in expansions(record)]
    assert spent == [0, 4]  # two expansions of four tokens, of 8
    first = record.commits[0].token[0]
    assert text == [*first, *greedy_text(net, [*PROMPT, *first], 8 - len(first))]
    judged = []
    counting = lambda texts, prompt: [judged.append(text) or 0.5 for text in texts]  # noqa: E731
    _, record = search(net, 8, reward=counting, cap=1, steps=3, calls=6)
    assert len(judged) <= 6
    assert expansions(record)[-1].calls < 6
    judged.clear()
    text, _ = search(net, 8, reward=counting, calls=1)
    assert (judged, text) == ([""], greedy_text(net, PROMPT, 8))


def test_best_goal_when_the_budget_ends():
    """A complete text that is not yet popped goes before partial ones of less f."""

    def reward(texts, prompt):
        return [0.2 if text.endswith("3") else 0.9 - 0.01 * len(text) for text in texts]

    text, record = search(FLAT, 30, seed=1, eos=(3,), reward=reward, cap=1, steps=4, texts=1)
    assert text[-1] == 3
    assert record.canvas.score == pytest.approx([0.2])


def test_equal_steps_are_one_state():
    net = ByText(lambda text: torch.tensor([0.0, -60.0], dtype=torch.float64))
    judged = []
    counting = lambda texts, prompt: [judged.append(text) or 0.5 for text in texts]  # noqa: E731
    search(net, 4, reward=counting, cap=1, steps=5, texts=9)
    assert judged == ["", "0", "0 0", "0 0 0", "0 0 0 0"]


def test_a_small_frontier_forgets_the_worst():
    numbers = count()
    r = lambda texts, prompt: [1 / (2 + next(numbers)) for _ in texts]  # noqa: E731
    _, record = search(FLAT, 6, reward=r, cap=1, steps=4, frontier=1)
    assert [one.step for one in expansions(record)] == [1, 2, 3, 4, 5, 6]


def test_likelihoods_are_told_to_the_reward():
    """And states, if it wants them."""

    def score(prefixes):
        assert all(len(prefix.logp) == len(prefix.token) for prefix in prefixes)
        return [0.5] * len(prefixes)

    hidden = Scorer(lambda p: [float(one.hidden is not None) for one in p], "states", hidden=True)
    net = ToyCausal(0, 13)
    assert search(net, 6, reward=Scorer(score), cap=2)[0] == plain(net, 6)
    assert search(net, 6, reward=hidden, cap=2)[1].canvas.score == [1.0]


@pytest.mark.parametrize(
    "r, both",
    [
        ({"1": 0.75, "1 1": 1.0, "1 0": 0.75, "0 1": 0.75}, (1 - 0.6**2) ** 2),  # four draws look for 1 1
        ({"1": 0.9, "0": 0.8, "1 1": 0.1, "1 0": 0.1, "0 1": 0.1, "0 0": 0.1}, None),
    ],
)
def test_draws_are_independent(r, both):
    """No noise is used twice, also where two states at one place are continued, as with the second reward:
    enumeration fails where it is."""
    net = ByText(lambda text: torch.tensor([0.6, 0.4], dtype=torch.float64).log())
    reward = lambda texts, prompt: [r.get(text, 0.5) for text in texts]  # noqa: E731
    given = {"reward": reward, "cap": 1, "steps": 2, "texts": 9}

    def run(chance):
        canvas = Canvas(PROMPT, 2)
        method = build("a_star", given, Setting(greedy=False, vocab=2))
        play([Request(canvas, method, {"target": net}, chance=chance)])
        return tuple(canvas.generated())

    found = enumerate_outcomes(run)
    assert sum(found.values()) == pytest.approx(1)
    assert both is None or found[1, 1] == pytest.approx(both)


def test_what_is_no_process_reward():
    with pytest.raises(UserError, match="returned 2; allowed is 0 to 1"):
        search(FLAT, 3, reward=lambda texts, prompt: [2.0] * len(texts))
