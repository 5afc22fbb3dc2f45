"""AdaDec against the arithmetic of its card."""

from math import log

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.methods.search.adadec import body_ends
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, greedy_text, log_probability, play

OPTIONS = [
    {},
    {"threshold": 0.0},
    {"threshold": 2.3, "candidates": 2, "ahead": 0},
    {"threshold": 0.0, "until": "python"},
]
PROMPT = [0, 1]


def search(net, budget, eos=(), setting=None, **options):
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = build("adadec", options, setting or Setting(vocab=net.vocab))
    (record,) = play([Request(canvas, method, {"target": net})])
    return canvas.generated(), record


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("given", [{"threshold": 99.0}, {"threshold": 0.0, "candidates": 1}])
def test_greedy_where_it_never_pauses_or_has_no_choice(seed, given):
    net = ToyCausal(seed, 13)
    plain = greedy_text(net, PROMPT, 8)
    for eos in [(), *((t,) for t in set(plain))]:
        text, record = search(net, 8, eos, **given)
        assert text == greedy_text(net, PROMPT, 8, eos=eos)
        assert len(record.answers) == len(text)


def candidates_law(text):
    """0 with .4, then five times .5; 1 with .35, then five times .9."""
    if len(text) <= len(PROMPT):
        p = [0.4, 0.35, 0.25, 0.0]
    else:
        sure = 0.5 if text[len(PROMPT)] == 0 else 0.9
        p = [0.0, 0.0, 1 - sure, sure]
    return torch.tensor(p, dtype=torch.float64).log()


def test_scores_are_means():
    """-0.73034 against -0.26277: the second is written although it is less likely itself."""
    assert (log(0.4) + 5 * log(0.5)) / 6 == pytest.approx(-0.73034, abs=1e-5)
    assert (log(0.35) + 5 * log(0.9)) / 6 == pytest.approx(-0.26277, abs=1e-5)
    text, record = search(ByText(candidates_law), 9, candidates=2)
    assert text[0] == 1
    assert search(ByText(candidates_law), 9, candidates=2, ahead=0)[0][0] == 0
    why = [ask.why for ask, _ in record.answers]
    assert why[0] == ""
    assert why[1:6] == ["pause: entropy 1.081 of 1 nats"] * 5


@pytest.mark.parametrize("n, pauses", [(2, False), (3, True)])
def test_entropy_of_a_uniform_law(n, pauses):
    net = ByText(lambda text: torch.zeros(n, dtype=torch.float64))
    assert (len(search(net, 3)[1].answers) > 3) == pauses
    assert search(net, 3, threshold=log(n) + 1e-9)[1].commits == search(net, 3, threshold=99)[1].commits


def test_every_choice_is_the_best_mean():
    """By brute force over all candidates and their greedy continuations, at the budget's edge too."""
    net = ToyCausal(5, 7)
    text, _ = search(net, 6, threshold=0.0, candidates=3, ahead=2)
    for i in range(6):
        before = PROMPT + text[:i]
        said = net.plain(before).topk(3)[1].tolist()
        tails = {t: [t, *greedy_text(net, [*before, t], min(2, 5 - i))] for t in said}
        means = {t: log_probability(net, before, tail) / len(tail) for t, tail in tails.items()}
        assert text[i] == max(means, key=means.__getitem__)


def test_look_ahead_ends_with_the_text():
    """A candidate that ends the text is not looked behind, and its score is its own."""

    def law(text):  # 2 ends the text with .45, the others go on at .3
        p = [0.55, 0.0, 0.45] if len(text) == len(PROMPT) else [0.3, 0.4, 0.3]
        return torch.tensor(p, dtype=torch.float64).log()

    assert search(ByText(law), 9, eos=(2,), threshold=0.5, candidates=2)[0] == [2]
    assert search(ByText(law), 9, threshold=0.5, candidates=2)[0][0] == 0


def test_a_short_look_ahead_has_no_advantage():
    """-.80 of one token against -.19 of six, whose sum is -1.12."""

    def law(text):
        p = [0.55, 0.0, 0.45] if len(text) == len(PROMPT) else [0.9, 0.1, 0.0]
        return torch.tensor(p, dtype=torch.float64).log()

    assert search(ByText(law), 9, eos=(2,), threshold=0.5, candidates=2)[0][0] == 0


@pytest.mark.parametrize(
    "before, candidate, after, ends",
    [
        ("    a", "\n", "d", True),
        ("    a", "\n", "    d", False),
        ("    a\n", "d", "", True),
        ("    a\nb", "c", "d", False),  # what stood there before is no end
        ("    a", "\n\n", "\n  \n\n", True),
        ("    a", "\n\n", "\n\n", False),
        ("    a\n\n\n\n\n", " ", "b", False),
    ],
)
def test_end_of_a_python_body(before, candidate, after, ends):
    """Four blank lines, or a line that is not indented, in the candidate or behind it."""
    spelled = [ord(letter) for letter in before] + [0xE000] + [ord(letter) for letter in after]
    spell = {0xE000: candidate}
    until = body_ends(Setting(spell=lambda tokens: "".join(spell.get(t, chr(t)) for t in tokens)))
    assert until(spelled, len(after)) == ends


def test_until_shortens_the_look_ahead():
    letters = [" ", "\n", "x"]  # every line is one that is not indented
    net = ByText(lambda text: torch.tensor([1.0, 1.1 + (text[-1] != 1), 1.2], dtype=torch.float64))
    setting = Setting(vocab=3, spell=lambda tokens: "".join(letters[t] for t in tokens))
    free, bound = (
        search(net, 6, setting=setting, threshold=0.0, candidates=3, until=until)[1]
        for until in ("none", "python")
    )
    assert len(bound.answers) < len(free.answers)


def test_temperature_is_refused():
    with pytest.raises(ValueError, match="temperature above 0; allowed is 0"):
        build("adadec", {}, Setting(greedy=False, vocab=13))
