"""DeAL against brute force over its candidates."""

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.errors import UserError
from anyorder.registry import build
from anyorder.scoring import Scorer
from anyorder.testing import ByText, ToyCausal, greedy_text, log_probability, play

OPTIONS = [
    {"reward": "constant/value=1", "width": 2, "candidates": 3, "ahead": 2},
    {},
    {"weight": 0.0},
    {"reward": "constant/value=1", "ahead": 0, "length_penalty": 1.0, "width": 3},
]
PROMPT = [0, 1]


def search(net, budget, eos=(), stop=None, **options):
    """The hypotheses and their c, and the record."""
    canvas = Canvas(PROMPT, budget, eos=eos, stop=stop)
    (record,) = play([Request(canvas, build("deal", options, Setting(vocab=net.vocab)), {"target": net})])
    order = sorted(range(len(canvas.rows)), key=lambda h: -canvas.score[h])
    return [(canvas.generated(h), canvas.score[h]) for h in order], record


def counted(token):
    """A reward: how often the token stands in the text."""
    return lambda texts, prompt: [text.split().count(str(token)) for text in texts]


def last_is(token):
    return lambda texts, prompt: [text.split()[-1] == str(token) for text in texts]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("given", [{"weight": 0.0}, {"reward": "constant/value=3", "ahead": 2}])
def test_greedy_without_a_wish(seed, given):
    net = ToyCausal(seed, 13)
    plain = greedy_text(net, PROMPT, 8)
    for eos in [(), *((t,) for t in set(plain))]:
        ((text, c),), _ = search(net, 8, eos, **given)
        assert text == greedy_text(net, PROMPT, 8, eos=eos)
        h = 0 if "weight" in given else 5.0 * 3
        assert c == pytest.approx(log_probability(net, PROMPT, text) + h)
    assert len(search(net, 8, weight=0.0)[1].answers) == 8  # a wish without weight costs nothing


def test_constant_reward_with_several_hypotheses():
    net = ToyCausal(1, 13)
    one, two = (
        search(net, 6, width=3, ahead=1, **given)[0]
        for given in ({"weight": 0.0}, {"reward": lambda texts, prompt: [0.5] * len(texts)})
    )
    assert [text for text, _ in one] == [text for text, _ in two]


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_every_token_has_the_best_c(ahead):
    """c = log P(y_1:t) + weight h(y_1:t+l), over all candidates, at the budget's edge too."""
    net, k, weight, reward = ToyCausal(3, 7), 4, 1.5, counted(5)
    ((text, c),), _ = search(net, 6, ahead=ahead, candidates=k, weight=weight, reward=reward)
    for i in range(6):
        before = text[:i]
        found = {}
        for token in net.plain(PROMPT + before).topk(k)[1].tolist():
            whole = [*before, token]
            tail = greedy_text(net, PROMPT + whole, min(ahead, 5 - i))
            (h,) = reward([" ".join(map(str, whole + tail))], "")
            found[token] = log_probability(net, PROMPT, whole) + weight * h
        assert text[i] == max(found, key=found.__getitem__)
    assert c == pytest.approx(max(found.values()))


def test_without_look_ahead_the_reward_sees_the_prefix_only():
    net = ToyCausal(0, 7)
    ((text, _),), _ = search(net, 5, ahead=0, candidates=7, weight=1e6, reward=last_is(4))
    assert text == [4] * 5


def test_a_keyword_is_covered_where_a_candidate_leads_to_it():
    """Greedy goes 0 0 0; behind 1, the second candidate, comes the wanted 3 two tokens later."""
    after = {0: (0.7, 0.3, 0, 0), 1: (0, 0, 1, 0), 2: (0, 0, 0, 1), 3: (1, 0, 0, 0)}
    net = ByText(lambda text: torch.tensor(after[text[-1]], dtype=torch.float64).log())
    wish = {"reward": "keywords/words=3", "weight": 1e6, "candidates": 2}
    prompt_ends_in_0 = [1, 0]
    for ahead in (0, 1, 2):
        canvas = Canvas(prompt_ends_in_0, 3)
        method = build("deal", {**wish, "ahead": ahead}, Setting(vocab=4))
        play([Request(canvas, method, {"target": net})])
        assert (3 in canvas.generated()) == (ahead == 2)


def test_more_weight_never_covers_less():
    for seed in range(4):
        net = ToyCausal(seed, 13)
        plain = greedy_text(net, PROMPT, 8)
        wanted = next(t for t in range(13) if t not in plain)
        wish = {"reward": f"keywords/words={wanted}", "candidates": 13, "ahead": 1}
        covered = [search(net, 8, weight=w, **wish)[0][0][0].count(wanted) for w in (0.0, 1e6)]
        assert covered[0] == 0
        assert covered[1] > 0


def test_hypotheses_that_ended_compete_under_c():
    """Ending is likeliest, but the reward is in the text that goes on."""

    def law(text):
        p = (0.3, 0.2, 0.5) if len(text) <= len(PROMPT) else (0.05, 0.9, 0.05)
        return torch.tensor(p, dtype=torch.float64).log()

    given = {"width": 2, "candidates": 3, "ahead": 2, "reward": counted(1)}
    found, _ = search(ByText(law), 3, (2,), weight=0.1, **given)
    assert found[0][0] == [2]
    found, _ = search(ByText(law), 3, (2,), weight=5.0, **given)
    assert found[0][0] == [1, 1, 1]
    for text, c in found:
        assert c == pytest.approx(log_probability(ByText(law), PROMPT, text) + 5 * text.count(1))


def test_length_penalty_divides_the_likelihood():
    net = ToyCausal(2, 13)
    for text, c in search(net, 5, width=3, weight=0.0, length_penalty=1.0)[0]:
        assert c == pytest.approx(log_probability(net, PROMPT, text) / len(text))


def test_rewards_combine_linearly():
    net = ToyCausal(3, 7)
    both = "weighted/of=2*(keywords/words=5)+(keywords/words=6,4)"

    def same(texts, prompt):
        has = [set(text.split()) for text in texts]
        return [2 * ("5" in words) + ("6" in words) / 2 + ("4" in words) / 2 for words in has]

    one, two = (search(net, 6, reward=reward, weight=2.0, ahead=2)[0] for reward in (both, same))
    assert one[0][0] == two[0][0]
    assert one[0][1] == pytest.approx(two[0][1])


def test_scorers_see_likelihoods_ends_and_states():
    net, seen = ToyCausal(0, 7), []
    scorer = Scorer(lambda prefixes: [seen.append(p) or 0.0 for p in prefixes], "spy", hidden=True)
    search(net, 4, (3,), reward=scorer, ahead=1, width=2)
    for prefix in seen:
        assert prefix.prompt == tuple(PROMPT)
        assert sum(prefix.logp) == pytest.approx(log_probability(net, PROMPT, prefix.token))
        assert prefix.ended == (prefix.token[-1] == 3 or len(prefix.token) == 4)
        assert prefix.hidden is not None


def test_stop_string_ends_a_hypothesis():
    net = ToyCausal(0, 7)
    token = greedy_text(net, PROMPT, 3)[2]
    ((text, _),), record = search(net, 9, stop=lambda g, new: len(g) if g[-1] == token else None)
    assert text[-1] == token
    assert record.canvas.ended == ["stop"]


def test_faults_of_a_reward_are_told():
    with pytest.raises(UserError, match="ZeroDivisionError"):
        search(ToyCausal(0, 7), 3, reward=lambda texts, prompt: [1 / 0])
    with pytest.raises(ValueError, match="weight is inf"):
        search(ToyCausal(0, 7), 3, weight=float("inf"))
