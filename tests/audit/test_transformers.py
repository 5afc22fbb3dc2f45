"""The audit of transformers' assisted generation: what is right passes, and what is wrong is named."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from anyorder.audit import tiny
from anyorder.audit.tiny import Pair, always
from anyorder.audit.transformers_ import ARGMAX, ORDER, again, audit, cells, check, ways
from anyorder.audit.verdict import AS_SAID, EXACT, LEAST_P, NOT_EXACT, UNCHECKED
from anyorder.errors import UserError

QUICK = 60  # draws that find what is grossly wrong
EXACT_WAYS = (
    "plain",
    "prompt lookup",
    "assistant",
    "assistant, dynamic",
    "early exit",
    "multi-token prediction",
    "block assistant",
    "anyorder sample",
    "anyorder token_recycling",
)


def one(name: str, draws: int = QUICK) -> Any:
    (found,) = audit(model=None, only=[name], draws=draws)
    return found


def test_a_drafter_by_argmax_that_reports_raw_logits_is_found() -> None:
    """Gemma 4's assistant in 5.23 (huggingface/transformers#47932)."""
    found = one("single-position assistant", 100)
    assert found.verdict == NOT_EXACT
    assert found.alarm
    assert found.sampling.p_value < LEAST_P
    assert found.sampling.tv > 0.3
    assert found.greedy.bugs == 0  # at temperature 0 its text is right: only draws show it
    assert ARGMAX in found.why


@pytest.mark.slow
def test_it_is_the_reported_distribution_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same drafter, reporting that it always takes its token, is exact: nothing else is amiss."""
    from transformers.generation.candidate_generator import (
        SinglePositionMultiTokenCandidateGenerator as Drafts,
    )

    asked = Drafts.get_candidates

    def honest(self: Any, input_ids: Any, **given: Any) -> Any:
        ids, logits = asked(self, input_ids, **given)
        if logits is None:
            return ids, None
        sure = torch.full_like(logits, -torch.inf)
        return ids, sure.scatter(-1, ids[:, input_ids.shape[1] :, None], 0.0)

    monkeypatch.setattr(Drafts, "get_candidates", honest)
    assert one("single-position assistant", 300).verdict == EXACT


@pytest.mark.slow
def test_universal_drafts_are_reported_in_another_order() -> None:
    """Sorted by id the words line up by chance, and the same code is exact."""
    found = one("universal assistant")
    assert found.verdict == NOT_EXACT
    assert found.sampling.p_value < LEAST_P
    assert ORDER in found.why
    assert check("by id", partial(tiny.universal, by=lambda word: word[1]), draws=QUICK).verdict == EXACT


def test_universal_drafts_of_fewer_words_stop_with_an_error() -> None:
    found = one("universal assistant, fewer words")
    assert found.verdict == UNCHECKED
    assert "AttributeError" in found.why


@pytest.mark.slow
def test_the_ensemble_rule_is_inexact_as_it_says() -> None:
    found = one("assistant, ensemble")
    assert found.verdict == AS_SAID
    assert not found.alarm
    assert found.greedy.bugs


@pytest.mark.parametrize("name", ["prompt lookup", "anyorder sample"])
def test_right_ways_pass(name: str) -> None:
    assert one(name).verdict == EXACT


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT_WAYS)
def test_every_right_way_passes_with_many_draws(name: str) -> None:
    assert one(name, 2000).verdict == EXACT


def test_every_candidate_generator_of_this_version_is_tried() -> None:
    """A generator that a later version adds shows up here."""
    from transformers.generation import candidate_generator as source

    found = {name for name in vars(source) if name.endswith(("Generator", "DifferentTokenizers"))}
    assert found == {
        "CandidateGenerator",
        "AssistedCandidateGenerator",  # assistant
        "AssistedCandidateGeneratorDifferentTokenizers",  # universal at temperature 0
        "UniversalSpeculativeDecodingGenerator",  # universal, drawn
        "PromptLookupCandidateGenerator",
        "EarlyExitCandidateGenerator",
        "SinglePositionMultiTokenCandidateGenerator",
        "MTPCandidateGenerator",
        "DFlashTokenCandidateGenerator",  # block
    }
    assert {*EXACT_WAYS} < {way.name for way in ways()}


def test_an_unknown_way_is_named() -> None:
    with pytest.raises(UserError, match=r"'assisted'.*allowed is plain, prompt lookup"):
        audit(model=None, only=["assisted"])


def wrong(model: Any, input_ids: torch.Tensor, **given: Any) -> torch.Tensor:
    """A decoder that keeps the second likeliest token where the first is one it has just written."""
    config, ids = given["generation_config"], input_ids
    while ids.shape[1] < config.max_length:
        logits = model(ids).logits[0, -1]
        token = int(logits.argmax())
        if token == int(ids[0, -1]):
            token = int(logits.topk(2).indices[1])
        if config.do_sample and torch.rand(()) < 0.7:
            token = int(torch.multinomial((logits / config.temperature).softmax(-1), 1))
        ids = torch.cat([ids, torch.tensor([[token]])], 1)
        if token == config.eos_token_id:
            break
    return ids


def test_a_decoder_of_ones_own_is_judged_the_same_way() -> None:
    found = check("mine", lambda: Pair(tiny.llama(1), always(custom_generate=wrong)), draws=QUICK)
    assert found.verdict == NOT_EXACT
    assert found.greedy.bugs
    bug = found.greedy.divergences[0]
    assert bug.margin > 0.01  # far above what rounding does to so small a model
    assert bug.verdict == "bug"


def test_a_text_that_runs_on_or_breaks_off_is_a_bug() -> None:
    target = tiny.llama(1)
    ids = torch.tensor([[0, 1, 0, 0, 1]])
    whole = target.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
    prompt, text = ids[0].tolist(), whole[0, 5:].tolist()
    assert again(target, prompt, text, len(text)) == []
    if text[-1] == tiny.VOCAB - 1:
        text = text[:-1]
    (short,) = again(target, prompt, text, len(text) + 3)
    assert (short.position, short.emitted.id, short.verdict) == (len(text), None, "bug")
    *_, on = again(target, prompt, [tiny.VOCAB - 1, 2], 2)  # after the end of a text
    assert (on.expected.id, on.emitted.id, on.verdict) == (None, 2, "bug")


class Jittery:
    """Token 0 leads token 1 by `gap` after any text; runs of several cells lift token 1 by `jitter`."""

    device, generation_config = "cpu", SimpleNamespace(eos_token_id=None)

    def __init__(self, gap: float, jitter: float):
        self.gap, self.jitter = gap, jitter

    def __call__(self, ids: torch.Tensor, past_key_values: Any = None, use_cache: bool = True) -> Any:
        logits = torch.tensor([0.0, -self.gap, -9.0]).repeat(1, ids.shape[1], 1)
        if past_key_values and ids.shape[1] > 1:
            logits[..., 1] += self.jitter
        return SimpleNamespace(logits=logits, past_key_values=True)


@pytest.mark.parametrize("gap, verdict", [(0.1, "tie"), (1.9, "tie"), (2.1, "bug"), (8.0, "bug")])
def test_a_margin_is_a_tie_up_to_twice_the_noise(gap: float, verdict: str) -> None:
    (found,) = again(Jittery(gap, 1.0), [0, 0], [0, 0, 1, 0], 4)
    assert (found.position, found.expected.id, found.emitted.id) == (2, 0, 1)
    assert found.margin == pytest.approx(gap)
    assert found.noise == pytest.approx(1.0)
    assert found.verdict == verdict


def test_cells_are_read_alike_in_runs_of_any_width() -> None:
    target, text = tiny.llama(1), [0, 1, 2, 3, 0, 1, 2, 3, 1]
    whole = target(torch.tensor([text])).logits[0, 2:]
    for width in (1, 2, 5):
        assert torch.allclose(cells(target, text, 3, width), whole, atol=1e-4)


@pytest.mark.slow
def test_a_real_model_drafts_without_a_bug() -> None:
    for found in audit(only=["prompt lookup", "early exit", "assistant"], draws=40, max_tokens=24):
        assert found.greedy.prompts > 6
        assert found.greedy.bugs == 0, found.why
