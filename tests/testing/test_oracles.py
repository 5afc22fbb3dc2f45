"""The oracles on laws that can be computed on paper, and golden files."""

import pytest

from anyorder.shapers import Sampling, compose
from anyorder.testing import (
    ToyCausal,
    distance,
    golden,
    greedy_text,
    law_of_text,
    log_probability,
    plain_line,
)  # fmt: skip
from anyorder.testing.record import MOST, UPDATE
from tests.drafts import same_law

NET = same_law(0.5, 0.3, 0.2)


def test_law_of_text():
    true = {(2,): 0.2} | {
        (a, b): p * q for a, p in ((0, 0.5), (1, 0.3)) for b, q in ((0, 0.5), (1, 0.3), (2, 0.2))
    }
    assert distance(law_of_text(NET, [0], 2, eos=[2]), true) < 1e-15
    assert sum(law_of_text(ToyCausal(0, 3), [1], 3).values()) == pytest.approx(1.0)


def test_law_of_shaped_text():
    found = law_of_text(NET, [0], 1, compose(Sampling(temperature=1, top_k=2)))
    assert distance(found, {(0,): 0.625, (1,): 0.375}) < 1e-12


def test_greedy_text_and_its_probability():
    assert greedy_text(NET, [0], 3) == [0, 0, 0]
    assert greedy_text(NET, [0], 3, eos=[0]) == [0]
    assert log_probability(NET, [0], [0, 2]) == pytest.approx(-2.302585092994046)


def test_shape_sees_prompt_and_text():
    """A presence penalty counts what was generated, not the prompt."""
    shape = compose(Sampling(temperature=1, presence_penalty=9.0))
    assert plain_line(NET, [0], [], shape).argmax() == 0
    assert plain_line(NET, [0], [0], shape).argmax() == 1
    assert greedy_text(NET, [0], 3, shape) == [0, 1, 2]


def test_nets_without_plain_are_asked():
    class Asked:
        def __init__(self, net):
            self.forget, self.net = net.forget, net

        def __call__(self, asks):
            return self.net(asks)

    toy = ToyCausal()
    assert greedy_text(Asked(toy), [1, 2], 6) == greedy_text(toy, [1, 2], 6)


def test_golden(tmp_path, monkeypatch):
    file = tmp_path / "a" / "b.txt"
    monkeypatch.delenv(UPDATE, raising=False)
    with pytest.raises(AssertionError, match="there is no"):
        golden(file, ["one"])
    monkeypatch.setenv(UPDATE, "1")
    golden(file, ["one", "two"])
    monkeypatch.delenv(UPDATE)
    golden(file, ["one", "two"])
    with pytest.raises(AssertionError, match="not that of"):
        golden(file, ["one", "three"])


def test_golden_files_stay_small(tmp_path, monkeypatch):
    file, lines = tmp_path / "long.txt", [f"line {i}" for i in range(1000)]
    monkeypatch.setenv(UPDATE, "1")
    golden(file, lines)
    assert len(file.read_bytes()) <= MOST
    monkeypatch.delenv(UPDATE)
    golden(file, lines)
    with pytest.raises(AssertionError, match="not that of"):
        golden(file, [*lines[:-1], "another end"])
