"""The threshold's recipe: what is measured, and that a known threshold is found again."""

import json
from math import log

import numpy as np
import pytest
import torch

from anyorder.errors import UserError
from anyorder.recipes.adadec import (
    Config,
    Tokens,
    functions,
    learned,
    logistic,
    solutions,
    tau,
    taught,
)  # fmt: skip
from anyorder.testing import ByText, ToyCausal


def test_tau():
    assert tau(0.5, -2.0, 3.0) == pytest.approx(1.5)  # -b / w
    for cut in (0.1, 0.8):
        h = tau(cut, -2.0, 3.0)
        assert 1 / (1 + np.exp(-(-2.0 * h + 3.0))) == pytest.approx(cut)


def made(w, b, size, seed=0):
    """Tokens that were the likeliest with P = sigma(w H + b)."""
    source = np.random.default_rng(seed)
    entropy = source.uniform(0, 4, size)
    return Tokens(entropy, source.random(size) < 1 / (1 + np.exp(-(w * entropy + b))))


def test_logistic_regression_finds_the_law():
    tokens = made(-1.5, 2.0, 200_000)
    assert logistic(tokens.entropy, tokens.first.astype(float)) == pytest.approx((-1.5, 2.0), abs=0.05)


def test_a_sharp_threshold_is_found():
    """Below 1.2 nats always the likeliest, above never: that is where the threshold is."""
    entropy = np.linspace(0, 3, 4000)
    found = learned(Tokens(entropy, entropy < 1.2), Config())
    assert found.accuracy > 0.99
    assert found.tau == pytest.approx(1.2, abs=0.05)


def test_classes_are_balanced():
    """Nine in ten were the likeliest whatever their entropy said beyond the law; the middle stays -b / w."""
    tokens = made(-3.0, 3.0 * 1.7, 60_000, seed=1)
    found = learned(tokens, Config())
    assert found.tokens == 2 * min(tokens.first.sum(), (~tokens.first).sum())
    assert found.w < 0
    assert found.tau == pytest.approx(tau(found.cut, found.w, found.b))
    assert 0.8 < found.accuracy < 1


def test_what_says_nothing():
    with pytest.raises(UserError, match="3 were not; allowed are 10"):
        learned(Tokens(np.ones(40), np.arange(40) > 2), Config())
    with pytest.raises(UserError, match="entropy does not tell"):
        learned(Tokens(np.linspace(0, 3, 400), np.linspace(0, 3, 400) > 1), Config())


def test_tokens_are_judged_after_what_stands_before_them():
    net = ToyCausal(0, 13)
    prompt, solution = [0, 1, 2], [5, 1, 9, 9, 3]
    tokens = taught(net, prompt, solution)
    for i, token in enumerate(solution):
        logp = net.plain(prompt + solution[:i]).log_softmax(-1)
        assert tokens.entropy[i] == pytest.approx(float(-(logp.exp() * logp).sum()), abs=1e-5)
        assert tokens.first[i] == (int(logp.argmax()) == token)
    assert len(taught(net, [], solution).first) == 4  # nothing tells the first token of all
    assert len(taught(net, [1], []).first) == 0
    uniform = ByText(lambda text: torch.zeros(7, dtype=torch.float64))
    assert taught(uniform, [0], [1, 2]).entropy == pytest.approx([log(7)] * 2)


def test_functions_of_the_standard_library():
    found = list(functions(["heapq", "textwrap"]))
    assert len(found) > 5
    for one in found:
        assert one.prompt.startswith("def ")
        assert one.prompt.rstrip().endswith(("'", '"'))
        assert one.text.startswith((" ", "\n"))
        compile(one.prompt + one.text, "a function", "exec")


def test_solutions_of_a_file(tmp_path):
    lines, plain = tmp_path / "some.jsonl", tmp_path / "some.txt"
    lines.write_text(json.dumps({"prompt": "def f():\n", "solution": "    return 1\n"}) + "\n\n")
    plain.write_text("a = 1\n---\nb = 2\n")
    assert solutions(str(lines)) == [("def f():\n", "    return 1\n")]
    assert solutions(str(plain)) == [("", "a = 1"), ("", "b = 2\n")]
    lines.write_text('{"prompt": 1}')
    for file in (lines, tmp_path / "none.txt"):
        with pytest.raises(UserError, match="cannot be read as solutions"):
            solutions(str(file))
