"""Any method over a net that recodes its states; the net itself is tested in tests/nets/test_edited.py."""

from pathlib import Path

import pytest

import anyorder
from anyorder import registry
from anyorder.card import Setting
from anyorder.nets.edits import LABELLED, SIGNALS
from anyorder.testing import ToyCausal, greedy_text, subject

OPTIONS = [{}, {"signal": "entropy", "where": "top", "then": "prompt_lookup"}]
TEXT = [5, 60, 7, 9, 5, 60, 7, 12, 5, 60]


def nets(card, vocab):
    return {"target": ToyCausal(1, vocab), "recoded": ToyCausal(0, vocab)}


def test_the_text_is_the_recoded_net_s() -> None:
    record = subject("recoding", nets=nets).run([2, 0, 1], 9)
    assert record.texts == [greedy_text(ToyCausal(0, 13), [2, 0, 1], 9)]
    assert record.request.runs.keys() == {"recoded"}


def test_the_card_s_signals_are_the_net_s_and_labels_stay_out_of_the_head() -> None:
    (signals,) = (o.choices for o in registry.card("recoding").options if o.name == "signal")
    assert signals == SIGNALS
    for kind in SIGNALS:
        given = {"signal": kind, "where": "top"}
        if kind in LABELLED:
            with pytest.raises(ValueError, match="would tell the head what came"):
                registry.build("recoding", given, Setting(vocab=13))
        else:
            registry.build("recoding", given, Setting(vocab=13))


def test_without_a_step_a_model_s_text_is_greedy_s(tiny_model_folder: Path) -> None:
    model = anyorder.load(str(tiny_model_folder), precision="fp32", packed=False)
    plain = model.generate(TEXT, "greedy", max_tokens=8).text
    for kind in SIGNALS:
        assert model.generate(TEXT, "recoding", max_tokens=8, step=0, signal=kind).text == plain
    assert model.generate(TEXT, "recoding", max_tokens=8, step=20, signal="nll").text != plain
