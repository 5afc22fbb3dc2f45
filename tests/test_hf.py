"""anyorder inside transformers' own `generate`."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessorList

import anyorder
from anyorder.errors import UserError


@pytest.fixture(scope="module")
def hf(tiny_model_folder: Path):
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model_folder), padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(str(tiny_model_folder), dtype=torch.float32)
    return model, tokenizer


@pytest.mark.parametrize("method", ["greedy", "token_recycling", "prompt_lookup", "lookahead"])
@pytest.mark.parametrize("extra", [{}, {"repetition_penalty": 1.4}])
def test_the_same_text_as_transformers_for_padded_rows(hf, method: str, extra: dict) -> None:
    model, tokenizer = hf
    batch = tokenizer(["the cat sat on the mat", "a b c a b c a"], return_tensors="pt", padding=True)
    given = {**batch, "max_new_tokens": 12, "do_sample": False, **extra}
    want = model.generate(**given)
    before = model.config._attn_implementation
    got = model.generate(**given, custom_generate=anyorder.for_transformers(method))
    assert got.tolist() == want.tolist()
    assert model.config._attn_implementation == before
    assert model.generate(**given).tolist() == want.tolist()  # the model is as it was


def test_sampling_is_seeded_and_shaped(hf) -> None:
    model, tokenizer = hf
    batch = tokenizer("the cat", return_tensors="pt")
    given = {**batch, "max_new_tokens": 12, "do_sample": True, "temperature": 0.8, "top_p": 0.9}
    texts = [
        model.generate(**given, custom_generate=anyorder.for_transformers(m, seed=5)).tolist()
        for m in ("sample", "sample", "token_recycling")
    ]
    assert texts[0] == texts[1] == texts[2]
    assert (
        model.generate(**given, custom_generate=anyorder.for_transformers("sample", seed=6)).tolist()
        != texts[0]
    )


def test_what_would_be_dropped_silently_is_refused(hf) -> None:
    model, tokenizer = hf
    batch = tokenizer("the cat", return_tensors="pt")
    own = LogitsProcessorList([lambda ids, scores: scores])
    with pytest.raises(UserError, match="logits processors of your own"):
        model.generate(
            **batch,
            logits_processor=own,
            max_new_tokens=3,
            custom_generate=anyorder.for_transformers("greedy"),
        )
    with pytest.raises(UserError, match="needs target, draft"):
        anyorder.for_transformers("draft_model")
    with pytest.raises(UserError, match="did you mean"):
        anyorder.for_transformers("gredy")
