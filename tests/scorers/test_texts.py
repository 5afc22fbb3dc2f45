"""Scorers of texts and of their log-probabilities, on texts spelled letter by letter."""

from __future__ import annotations

import importlib
import inspect
import math
from dataclasses import replace

import pytest

from anyorder import registry
from anyorder.card import Setting
from anyorder.errors import UserError
from anyorder.scorers.equations import value
from anyorder.scoring import Prefix

EOS = 3
SETTING = Setting(eos=(EOS,), spell=lambda tokens: "".join(chr(t) for t in tokens if t != EOS))


def made(spec: str, setting: Setting = SETTING):
    """A scorer as a method gets it, whose parts are made alike."""
    return registry._scorer(spec, replace(setting, scorer=lambda part: made(part, setting)))


def texts(*written: str, ended: bool = True) -> list[Prefix]:
    return [Prefix((ord("?"),), tuple(map(ord, text)), ended=ended) for text in written]


def test_likelihood_and_perplexity():
    halves = Prefix((1,), (5, 6), (math.log(0.5), math.log(0.125)))
    nothing = Prefix((1,), ())
    assert made("likelihood")([halves, nothing]) == pytest.approx([math.log(0.0625), 0.0])
    assert made("likelihood/mean=true")([halves, nothing]) == pytest.approx([math.log(0.25), 0.0])
    assert made("perplexity")([halves, nothing]) == pytest.approx([-4.0, -1.0])
    assert made("perplexity")([Prefix((1,), (5,), (float("-inf"),))])[0] < -1e300
    for spec in ("likelihood", "perplexity"):
        with pytest.raises(UserError, match=f"{spec} got log-probabilities of 1 of 2 tokens.*choose another"):
            made(spec)([Prefix((1,), (5, 6), (-1.0,))])


@pytest.mark.parametrize(
    "options, text, share",
    [
        ("words=rain,blue sky", "It may RAIN.", 0.5),
        ("words=rain,blue sky", "blue\n sky, rain", 1.0),
        ("words=rain, ", "training", 0.0),
        ("words=rain/whole=false", "training", 1.0),
        ("words=Rain/case=true", "rain", 0.0),
        ("words=c++,(a)", "c++ and (a)", 1.0),
    ],
)
def test_keywords(options, text, share):
    assert made(f"keywords/{options}")(texts(text)) == [share]


def test_keywords_need_words():
    with pytest.raises(ValueError, match="keywords has no words; allowed is one or more by comma"):
        made("keywords/words= , ")


@pytest.mark.parametrize(
    "options, sizes",
    [("words=2", [-2, -1, 0, -1]), ("words=1-2", [-1, 0, 0, -1]), ("characters=3", [-3, -2, 0, -2])],
)
def test_length(options, sizes):
    written = texts("", "a", "b c", "d e f")
    assert made(f"length/{options}")(written) == sizes
    going = texts("", "a", "b c", "d e f", ended=False)
    assert made(f"length/{options}")(going) == [0, 0, 0, sizes[-1]]  # too little may still become enough


def test_length_in_tokens_is_without_the_end_of_text():
    one = Prefix((1,), (70, 71, EOS), ended=True)
    assert made("length/tokens=2")([one]) == [0]


@pytest.mark.parametrize(
    "options, said",
    [
        ("words=x", "got words=x; allowed is a number or least-most"),
        ("words=5-2", "words=5-2"),
        ("words=-5", "words=-5"),
        ("words=5/tokens=7", "takes one of words, characters and tokens"),
        ("", "takes one of"),
    ],
)
def test_lengths_that_cannot_be(options, said):
    with pytest.raises(ValueError, match=said):
        made(f"length/{options}" if options else "length")


# equations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, share",
    [
        ("2 + 3 = 5", 1.0),
        ("2 + 3 = 6", 0.0),
        ("2 + 3 = 5 and 4*5=21", 0.5),
        ("It is $1,200 x 3 = $3,600.", 1.0),
        ("60+20=<<60+20=80>>80 minutes", 1.0),
        ("60+20=<<60+20=70>>70 minutes", 0.0),
        ("200 GB * 40% = 80 GB", 0.5),  # units stand between: not judged
        ("200 * 40% = 80 GB", 1.0),
        ("10 / 3 = 3.33", 1.0),
        ("10 / 3 = 3.34", 0.0),
        ("10 / 3 = 3", 0.0),
        (r"\[ 3 \times 4 = 12 \]", 1.0),
        ("(2 + 3) * 4 = 20", 1.0),
        ("2 + 3 * 4 = 14", 1.0),
        ("5 - 8 = -3", 1.0),
        ("1 / 0 = 0", 0.0),
        ("100 - 60 = 40%", 1.0),
        ("1 - 3/4 = 1/4", 0.5),  # a calculation on its right: not judged
        ("12 apples - 8 + 2 = 6", 0.5),
        ("so:\n- 8 + 2 = 10", 1.0),
        ("((2 + 3 = 5", 0.5),
        ("x = 5, no sum", 0.5),
        ("", 0.5),
    ],
)
def test_equations(text, share):
    assert made("equations")(texts(text)) == [share]
    assert made("equations").bounds == (0, 1)


def test_an_equation_that_may_go_on_is_not_judged():
    assert made("equations/none=1")(texts("100 + 60 = 1", ended=False)) == [1.0]
    assert made("equations/none=1")(texts("100 + 60 = 1", "100 + 60 = 1 ")) == [0.0, 0.0]


def test_values_are_calculated_not_run():
    assert value("007 + 1") == 8
    for bad in ("__import__('os')", "2 ** 9999999", "[1] * 3", "a + 1"):
        with pytest.raises(SyntaxError):
            value(bad)


# together ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "of", ["2*(keywords/words=a,b)+0.5*(length/words=1)", "2 * (keywords/words=a,b),+.5*(length/words=1)"]
)
def test_weighted(of):
    both = made(f"weighted/of={of}")
    assert both(texts("a b c", "a", "x")) == [2 - 1, 1, 0]
    assert both.bounds == (float("-inf"), 2)
    assert both.name == "2 keywords + 0.5 length"
    assert made("weighted/of=(keywords/words=a,b)+(length/words=1)")(texts("a b c")) == [1 - 2]
    assert made("weighted/of=-1*(keywords/words=a)+3*(equations)").bounds == (-1, 3)
    assert made("weighted/of=constant+-1*constant").bounds is None


def test_a_weight_of_zero_drops_what_is_not_finite():
    never = texts("a")[0]._replace(logp=(float("-inf"),))
    assert made("weighted/of=0*likelihood+(keywords/words=a)")([never]) == [1.0]


def test_weighted_scorers_nest():
    inner = "(weighted/of=(constant/value=2)+10*(constant/value=3))"
    assert made(f"weighted/of={inner}+constant")(texts("x")) == [32]


@pytest.mark.parametrize(
    "options, said",
    [
        ("", "weighted got of=''; allowed is 2"),
        ("/of=2*+constant", "name a scorer each time"),
        ("/of=constant+nothing", "unknown scorer 'nothing'"),
        ("/of=constant+", "name a scorer each time"),
        ("/of=(constant", "parentheses come in pairs"),
    ],
)
def test_sums_that_cannot_be(options, said):
    with pytest.raises(ValueError, match=said):
        made(f"weighted{options}")


# cards ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.scorers())
def test_a_scorer_is_built_by_its_card(name):
    """Parameters are the card's options; what needs no option is built without any and judges a text."""
    card = registry.scorers()[name]
    module = importlib.import_module(f"anyorder.scorers.{name}")
    assert card == module.CARD
    parameters = list(inspect.signature(getattr(module, name)).parameters)
    assert parameters == ["setting", *(option.name for option in card.options)]
    settled = card.settle({})
    assert card.settle(settled) == settled
    if any(option.needed for option in card.options):
        with pytest.raises(ValueError, match=name):
            made(name)
