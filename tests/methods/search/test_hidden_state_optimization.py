"""Any method over a net that optimizes its states: whom it asks, and that the target stays out of it."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import anyorder
from anyorder import registry
from anyorder.core.chance import Chance
from anyorder.errors import UserError
from anyorder.testing import ToyCausal, greedy_text, play, subject

OPTIONS = [{}, {"then": "prompt_lookup"}, {"then": "beam/width=2"}, {"then": "sample", "window": 1}]
NAME = "hidden_state_optimization"
TEXT = [5, 60, 7, 9, 5, 60, 7, 12, 5, 60]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path):
    return anyorder.load(str(tiny_model_folder), precision="fp32")


def nets(card, vocab):
    """A target that nobody may ask, and the net that is asked instead."""
    return {"target": ToyCausal(1, vocab), "edited": ToyCausal(0, vocab)}


@pytest.mark.parametrize("then", ["", "greedy", "prompt_lookup/nodes=3", "jacobi"])
def test_the_text_is_the_edited_net_s(then: str) -> None:
    tested = subject(NAME, options={"then": then}, nets=nets)
    record = tested.run([2, 0, 1, 2, 0], 9)
    assert record.texts == [greedy_text(ToyCausal(0, 13), [2, 0, 1, 2, 0], 9)]
    assert record.request.runs.keys() == {"edited"}


def test_draws_are_those_of_plain_sampling() -> None:
    """At rate 0 a seed gives the text that it gives without the method."""
    tested = subject(NAME, nets=nets)
    plain = subject("sample", nets=lambda card, vocab: {"target": ToyCausal(0, vocab)})
    for seed in range(4):
        one, two = (t.run([2, 0, 1], 9, greedy=False, chance=Chance(seed)) for t in (tested, plain))
        assert one.texts == two.texts


def test_asks_of_several_nets_at_once_keep_their_order() -> None:
    """A drafter's net is asked as it is; only the target is stood in for."""
    given = {"then": "draft_model/draft=x"}
    both = {**nets(None, 13), "draft": ToyCausal(0, 13, blur=0.5)}
    record = subject(NAME, options=given, nets=lambda card, vocab: both).run([2, 0, 1, 2, 0], 9)
    assert record.texts == [greedy_text(ToyCausal(0, 13), [2, 0, 1, 2, 0], 9)]
    assert record.request.runs.keys() == {"edited", "draft"}


def test_unknown_writers_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown method 'gredy'; did you mean 'greedy'"):
        registry.build(NAME, {"then": "gredy"}, anyorder.card.Setting(vocab=13))


def test_without_a_step_a_model_s_text_is_greedy_s(model) -> None:
    plain = model.generate(TEXT, "greedy", max_tokens=14).text
    still = model.generate(TEXT, NAME, max_tokens=14, rate=0, window=6)
    assert still.text == plain
    assert not still.exact
    moved = model.generate(TEXT, NAME, max_tokens=14, rate=0.5, window=6).text
    assert moved != plain
    assert model.generate(TEXT, NAME, max_tokens=14, rate=0.5, window=6, then="prompt_lookup").text == moved


def test_neighbours_the_target_and_its_weights_stay_as_they_are(model) -> None:
    alone = [model.generate(TEXT, m, max_tokens=8, **o).text for m, o in MIX]
    asked = [{"prompt": TEXT, "method": m, **o} for m, o in MIX]
    assert [r.text for r in model.batch(asked, max_tokens=8)] == alone
    assert len({alone[0], alone[1], alone[2]}) == 3, "the steps are large enough to tell"
    copies = {id(net.frozen) for net in model._others.values() if hasattr(net, "frozen")}
    assert len(copies) == 1, "all rates share one copy of the weights"
    assert not any(net.held for net in model._others.values() if hasattr(net, "held"))


MIX = [
    ("greedy", {}),
    (NAME, {"rate": 0.5, "window": 8}),
    (NAME, {"rate": 0.3, "window": 4}),
    ("recoding", {"step": 2.0, "signal": "entropy"}),
    ("greedy", {}),
]


def test_a_model_that_cannot_be_edited_is_refused_with_a_sentence(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "mistral", vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=8, max_position_embeddings=256,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(tmp_path)
    short = anyorder.load(str(tmp_path), precision="fp32")
    with pytest.raises(UserError, match="beyond a window"):
        short.generate(TEXT, NAME, max_tokens=3)
    assert short.generate(TEXT, "greedy", max_tokens=3).tokens == 3


def test_every_step_is_the_inner_method_s() -> None:
    """Transcripts differ in the net that is asked, and in nothing else."""
    mine, plain = (
        play([subject(name, options=given, nets=nets).request([2, 0, 1], 6, nets=made)])[0]
        for name, given, made in (
            (NAME, {"then": "beam/width=3"}, nets(None, 13)),
            ("beam", {"width": 3}, {"target": ToyCausal(0, 13)}),
        )
    )
    assert [step.replace("edited", "target") for step in mine.transcript] == plain.transcript
