"""Conditional beam search: the likeliest text that has an attribute."""

from itertools import product
from math import inf, log

import pytest
import torch

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.registry import build
from anyorder.scoring import Prefix, Scorer
from anyorder.testing import ByText, ToyCausal, likeliest_of_length, log_probability, play

OPTIONS = [
    {},
    {"width": 3, "attribute": "exact_length/tokens=4"},
    {"width": 2, "attribute": "constant", "length_penalty": 1.0, "stop": "full"},
]

PROMPT = [0, 1]
EOS = 2


def search(net, budget, eos=(), name="conditional_beam", **options):
    """Texts and scores, best first."""
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = build(name, options, Setting(vocab=net.vocab, eos=tuple(eos), prompt="?"))
    play([Request(canvas, method, {"target": net})])
    order = sorted(range(len(canvas.rows)), key=lambda h: -canvas.score[h])
    return [(tuple(canvas.generated(h)), canvas.score[h]) for h in order]


def contaminated(epsilon, n=4):
    """n texts of one token and an end, equally likely, and the empty text with probability epsilon."""

    def law(text):
        p = torch.zeros(3 + n, dtype=torch.float64)
        if len(text) == len(PROMPT):
            p[EOS], p[3:] = epsilon, (1 - epsilon) / n
        else:
            p[EOS] = 1.0
        return p.log()

    return ByText(law)


# the card's checks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["full", "bound", "never"])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_constant_attribute_is_beam_search(value, penalty, stop):
    net = ToyCausal(3, 13)
    given = {"width": 4, "length_penalty": penalty, "stop": stop}
    for eos in ((), (5,), (2, 5, 7)):
        plain = search(net, 7, eos, "beam", **given)
        found = search(net, 7, eos, attribute=f"constant/value={value}", **given)
        assert [text for text, _ in found] == [text for text, _ in plain]
        assert [score - value for _, score in found] == pytest.approx([score for _, score in plain])


@pytest.mark.parametrize("epsilon, mode_is_empty", [(0.19, False), (0.21, True)])
def test_a_contaminated_law(epsilon, mode_is_empty):
    """The likeliest of four texts and the empty one is empty where epsilon > (1 - epsilon) / 4; given that it
    is not empty, it is one of the four."""
    net = contaminated(epsilon)
    assert (search(net, 3, (EOS,), "beam", width=6, length_penalty=0.0)[0][0] == (EOS,)) == mode_is_empty
    for attribute in ("not_degenerate", "exact_length/tokens=1"):
        found = search(net, 3, (EOS,), attribute=attribute)
        assert {text for text, _ in found} == {(t, EOS) for t in range(3, 7)}
        assert found[0][1] == pytest.approx(log((1 - epsilon) / 4))


@pytest.mark.parametrize("length", [1, 3, 6])
@pytest.mark.parametrize("eos", [(), (2,), (2, 5, 7)])
def test_an_oracle_of_the_length_makes_every_text_that_long(length, eos):
    net = ToyCausal(1, 13)
    budget = length + bool(eos)
    for extra in (0, 4) if eos else (0,):
        found = search(net, budget + extra, eos, attribute=f"exact_length/tokens={length}")
        assert {len([t for t in text if t not in eos]) for text, _ in found} == {length}
        assert all(text[-1] in eos for text, _ in found if eos)


def ends_even(texts, prompt):
    """log q by the sum of a text's tokens."""
    return [-2.0 * (sum(map(int, text.split())) % 2) for text in texts]


@pytest.mark.parametrize("seed", range(4))
def test_exhaustive_width_finds_the_best_of_all_texts(seed):
    net = ByText(ToyCausal(seed, 3).plain)
    every = {t[: 1 + next((i for i, x in enumerate(t) if x == EOS), 3)] for t in product(range(3), repeat=3)}

    def worth(text):
        return log_probability(net, PROMPT, text) + ends_even([" ".join(map(str, text))], "")[0]

    found = search(net, 3, (EOS,), attribute=ends_even, width=27, stop="never")
    assert found[0] == (max(every, key=worth), pytest.approx(max(map(worth, every))))
    plain = search(net, 3, (EOS,), "beam", width=27, length_penalty=0.0)[0][0]
    assert found[0][1] >= worth(plain) - 1e-12


# more -------------------------------------------------------------------------------------------------------


def test_the_attribute_is_judged_anew_and_not_summed():
    """A prefix that looked bad costs nothing once the text has made up for it."""
    net = ByText(lambda text: torch.tensor([0.6, 0.4], dtype=torch.float64).log())

    def second_thoughts(texts, prompt):
        return [-0.3 if len(text.split()) == 1 else 0.0 for text in texts]

    found = search(net, 4, attribute=second_thoughts, width=2)
    assert found[0] == ((0, 0, 0, 0), pytest.approx(4 * log(0.6)))


def test_an_end_is_judged_as_a_complete_text():
    seen = []

    def score(prefixes):
        seen.extend(prefixes)
        return [0.0] * len(prefixes)

    search(ToyCausal(1, 13), 3, (4, 5), attribute=Scorer(score), width=2, candidates=4)
    assert {p.ended for p in seen if p.token[-1] in (4, 5) or len(p.token) == 3} == {True}
    assert {p.ended for p in seen if p.token[-1] not in (4, 5) and len(p.token) < 3} == {False}
    assert {4, 5} <= {p.token[0] for p in seen if len(p.token) == 1}  # however unlikely


def test_floor_weight_and_shares():
    net = ByText(lambda text: torch.tensor([0.6, 0.4], dtype=torch.float64).log())

    def best(said, **options):
        return search(net, 1, attribute=said, width=1, **options)[0]

    no_zeros = Scorer(lambda prefixes: [-50.0 * (p.token[0] == 0) for p in prefixes])
    assert best(no_zeros) == ((1,), pytest.approx(log(0.4)))
    assert best(no_zeros, floor=0.9) == ((0,), pytest.approx(log(0.6 * 0.9)))
    assert best(no_zeros, weight=0.001) == ((0,), pytest.approx(log(0.6) + 0.001 * log(1e-6)))
    share = Scorer(lambda prefixes: [0.5 * (p.token[0] == 1) for p in prefixes], bounds=(0.0, 1.0))
    assert best(share) == ((1,), pytest.approx(log(0.4 * 0.5)))
    never = Scorer(lambda prefixes: [-inf] * len(prefixes))
    assert best(never) == ((0,), pytest.approx(log(0.6) + log(1e-6)))


def test_hidden_states_are_refused():
    with pytest.raises(ValueError, match=r"judges hidden states.*choose another"):
        build("conditional_beam", {"attribute": Scorer(lambda p: [], hidden=True)}, Setting(vocab=13))


# the scorers and the exact search ---------------------------------------------------------------------------


def log_q(spec, *prefixes):
    return registry._scorer(spec, Setting(eos=(EOS,)))(prefixes)


def test_not_degenerate():
    text = Prefix((1,), (5, 6, 7, 8))
    loop = Prefix((1,), (5, 6) * 6)  # ten 3-grams, two of them new
    assert log_q("not_degenerate", text, loop) == [0.0, pytest.approx(10 * log(0.2))]
    assert log_q("not_degenerate/n=2/strength=1", loop) == [pytest.approx(log(2 / 11))]
    assert log_q("not_degenerate", Prefix((1,), ()), Prefix((1,), (5,))) == [0.0, 0.0]
    empty = Setting(eos=(EOS,), spell=lambda tokens: " " * len(tokens))
    assert registry._scorer("not_degenerate", empty)([Prefix((1,), (5, EOS), ended=True)]) == [-inf]


def test_exact_length():
    texts = [Prefix((1,), (5,) * n, ended=ended) for n in (1, 2, 3) for ended in (False, True)]
    assert log_q("exact_length/tokens=2", *texts) == [0.0, -inf, 0.0, 0.0, -inf, -inf]
    assert log_q("exact_length/tokens=2", Prefix((1,), (5, 5, EOS), ended=True)) == [0.0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("eos", [(), (2,)])
def test_branch_and_bound_finds_the_likeliest_of_a_length(seed, eos):
    """Against all texts; it reads fewer prefixes than there are. A wide beam told the length finds it too."""
    net = ByText(ToyCausal(seed, 4).plain)
    inner = [t for t in range(4) if t not in eos]
    every = {(*t, *eos) for t in product(inner, repeat=4)}
    best = max(every, key=lambda text: log_probability(net, PROMPT, text))
    text, logp, read = likeliest_of_length(net, PROMPT, 4, eos=eos)
    assert (text, logp) == (best, pytest.approx(log_probability(net, PROMPT, best)))
    assert read < sum(len(inner) ** n for n in range(4 + len(eos)))
    found = search(net, 4 + len(eos), eos, attribute="exact_length/tokens=4", width=200)
    assert found[0] == (text, pytest.approx(logp))
