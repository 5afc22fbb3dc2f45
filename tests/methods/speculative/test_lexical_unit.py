"""Units committed by confidence."""

import math

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.types import Ask
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, greedy_text, play, subject

OPTIONS = [{"beta": 0.05}, {}, {"unit": 1}, {"beta": 0.0, "repeat": 0.0, "unit": 3}]

PAD, V = 6, 8


def unit_trained(text_of, sure):
    """A net that was trained on units: after i placeholders it says token i of what follows the text, with
    the chance sure(position)."""

    def law(text):
        text, i = list(text), 0
        while text and text[-1] == PAD:
            text.pop()
            i += 1
        p = sure(len(text) + i) if i else 1.0 - 1e-9
        said = torch.full((V,), math.log((1 - p) / (V - 1) + 1e-12), dtype=torch.float64)
        said[text_of(len(text) + i)] = math.log(p)
        return said

    return ByText(law)


def run(net, budget, **options):
    canvas = Canvas([0], budget, eos=())
    method = build("lexical_unit", {"placeholder": PAD, **options}, Setting(vocab=V))
    (record,) = play([Request(canvas, method, {"target": net})])
    return record


def test_units_end_where_the_model_is_not_sure():
    """Positions 3 and 8 are not sure, so no unit's later token stands there."""
    net = unit_trained(lambda i: i % 5, lambda i: 0.5 if i in (3, 8) else 0.95)
    record = run(net, 12, unit=4)
    assert record.texts == [[i % 5 for i in range(1, 13)]]
    lengths = [len(written.token[0]) for written in record.written]
    assert lengths == [2, 4, 1, 4, 1]  # 1 2 | 3 4 5 6 | 7 | 8 9 10 11 | 12
    assert max(lengths) <= 4
    assert record.request.runs["target"] == len(lengths)


def test_units_partition_the_text_and_every_later_token_is_sure():
    net = ToyCausal(1, 13)
    beta, repeat = 0.3, 0.45
    method = subject("lexical_unit", options={"unit": 4, "beta": beta, "repeat": repeat})
    record = method.run([1, 2], 40, nets={"target": net})
    assert [t for written in record.written for t in written.token[0]] == record.texts[0]
    lengths = set()
    for (_, answer), written in zip(record.answers, record.written, strict=True):
        unit, laws = list(written.token[0]), answer.logits.softmax(-1)
        lengths.add(len(unit))
        best, sure = laws.argmax(-1).tolist(), laws.amax(-1).tolist()
        assert unit == best[: len(unit)]
        enough = [p >= (repeat if t == before else beta) for before, t, p in zip(best, best[1:], sure[1:])]
        assert all(enough[: len(unit) - 1])
        assert len(unit) in (len(best), 1 + enough.index(False) if False in enough else len(best))
    assert {1, 2} <= lengths, "confidence decided"


@pytest.mark.parametrize("seed", range(3))
def test_beta_above_one_is_the_plain_loop(seed):
    net = ToyCausal(seed, 13)
    tested = subject("lexical_unit", options={"beta": 1.5})
    record = tested.run([1, 2], 12, nets={"target": net})
    assert record.texts == [greedy_text(net, [1, 2], 12)]
    assert len(record.commits) == 12
    given = {"greedy": False, "chance": Chance(seed)}
    assert tested.run([1, 2], 12, **given).texts == subject("sample").run([1, 2], 12, **given).texts


def test_repetition_needs_more_confidence():
    net = unit_trained(lambda i: 3, lambda i: 0.93)
    assert [len(w.token[0]) for w in run(net, 4, unit=4).written] == [1, 1, 1, 1]
    assert [len(w.token[0]) for w in run(net, 4, unit=4, repeat=0.92).written] == [4]
    once = unit_trained(lambda i: i % 5, lambda i: 0.93)
    assert [len(w.token[0]) for w in run(once, 4, unit=4).written] == [4]


def test_errors_inside_a_unit_are_never_corrected():
    """Why the card says lossy: a placeholder that is sure and wrong becomes text."""
    right, wrong = (lambda i: i % 5), (lambda i: (i + 1) % 5)

    def law(text):
        said = torch.full((V,), -20.0, dtype=torch.float64)
        end = len(text)
        said[wrong(end) if text[-1] == PAD else right(end)] = 0.0
        return said

    record = run(ByText(law), 4, unit=2)
    assert record.texts == [[1, 3, 3, 0]]
    assert greedy_text(ByText(law), [0], 4) == [1, 2, 3, 4]


def test_placeholders():
    def asked(options, setting, budget=9):
        canvas = Canvas([0], budget)
        step = next(build("lexical_unit", {"unit": 4, **options}, setting)(canvas))
        assert isinstance(step, Ask)
        return step.guess[0].token

    assert asked({}, Setting(vocab=V, eos=(5, 7))) == (5, 5, 5)
    assert asked({}, Setting(vocab=V)) == (0, 0, 0)
    assert asked({"placeholder": 2}, Setting(vocab=V, eos=(5,))) == (2, 2, 2)
    assert asked({}, Setting(vocab=V), budget=2) == (0,)  # no more than there is room for
    assert asked({}, Setting(vocab=V, context=3)) == (0, 0)
    with pytest.raises(ValueError, match="placeholder is 8; allowed is -1 to 7; choose one"):
        build("lexical_unit", {"placeholder": 8}, Setting(vocab=V))
