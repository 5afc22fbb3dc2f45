"""Nets beside a model's target: the second one, of methods that mix laws."""

from __future__ import annotations

import json
import shutil

import pytest

import anyorder
from anyorder.errors import UserError


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return anyorder.load(str(tiny_model_folder), precision="fp32")


@pytest.mark.parametrize("method", ["contrastive_decoding", "uadf", "ensemble"])
def test_half_of_a_model_is_its_second_net(model, method):
    given = {"max_tokens": 12, "chat": False}
    half = model.generate("hello there", method, second="exit:half", **given)
    assert half.token_ids == model.generate("hello there", method, second="exit:1", **given).token_ids
    fast = model.generate("hello there", method, second="exit:1", then="prompt_lookup/nodes=4", **given)
    assert fast.token_ids == half.token_ids
    assert fast.runs <= half.runs == 12


@pytest.mark.parametrize(
    "second, says",
    [
        ("", "option second is empty; it names the second net; give --set second=MODEL"),
        ("exit:9", "option layer is 9; allowed is 1 to 2"),
        ("exit:none", "exit:none"),
    ],
)
def test_no_such_second_net(model, second, says):
    with pytest.raises(UserError, match=says):
        model.generate("hello there", "ensemble", second=second, max_tokens=3)


def test_a_second_net_of_another_vocabulary_is_refused(model, tiny_model_folder, tmp_path):
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model_folder))
    tokenizer.add_tokens(["<one-more>"])
    tokenizer.save_pretrained(tmp_path)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                         num_attention_heads=2)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    says = r"second net .* has another vocabulary \(301 tokens, not 300\); a second net shares the target's"
    with pytest.raises(UserError, match=says):
        model.generate("hello there", "uadf", second=str(tmp_path), max_tokens=3)


@pytest.mark.parametrize("itself", [True, False])
def test_a_hybrid_model_drafts_for_itself_and_for_its_causal_twin(model, tiny_hybrid_folder, itself):
    """Its first hole says what the target says next, so by itself every run writes two tokens or more."""
    target = anyorder.load(str(tiny_hybrid_folder), precision="fp32") if itself else model
    given = {"draft": "self" if itself else str(tiny_hybrid_folder), "max_tokens": 24, "chat": False}
    fast = target.generate("hello there", "diffuspec", weight=1.0, least=4, most=6, **given)
    assert fast.token_ids == model.generate("hello there", "greedy", max_tokens=24, chat=False).token_ids
    assert fast.runs <= 12


@pytest.mark.parametrize(
    "draft, says",
    [
        ("", "option draft is empty; it names the draft net; give --set draft=MODEL"),
        ("self", "draft is self and .* writes from left to right only; allowed is self for models"),
        ("list-diffusion", r"draft net list-diffusion has another vocabulary \(\d+ tokens, not 300\)"),
    ],
)
def test_no_such_diffusion_net(model, draft, says):
    with pytest.raises(UserError, match=says):
        model.generate("hello there", "diffuspec", draft=draft, max_tokens=3)


def test_a_causal_model_is_no_diffusion_net(model, tiny_model_folder):
    with pytest.raises(UserError, match=r"draft net .* writes from left to right; allowed is a diffusion"):
        model.generate("hello there", "diffuspec", draft=str(tiny_model_folder), max_tokens=3)


def test_a_diffusion_net_may_know_a_mask_that_the_target_does_not(
    tiny_model_folder, tiny_hybrid_folder, tmp_path
):
    """Dream's tokenizer is Qwen's and a mask, in a place that Qwen's has free."""
    shutil.copytree(tiny_model_folder, tmp_path, dirs_exist_ok=True)
    file, draft = tmp_path / "tokenizer.json", str(tiny_hybrid_folder)
    whole = json.loads(file.read_text())
    assert whole["model"]["vocab"].pop("<spare42>") == 299
    file.write_text(json.dumps(whole))
    target = anyorder.load(str(tmp_path), precision="fp32")
    fast = target.generate("hello there", "diffuspec", draft=draft, max_tokens=9)
    assert fast.token_ids == target.generate("hello there", "greedy", max_tokens=9).token_ids
    whole["model"]["vocab"]["<other>"] = 299
    file.write_text(json.dumps(whole))
    target = anyorder.load(str(tmp_path), precision="fp32")
    with pytest.raises(UserError, match="another vocabulary"):  # the target calls that place something else
        target.generate("hello there", "diffuspec", draft=draft, max_tokens=3)


def test_a_layer_says_through_the_head_what_the_exit_behind_it_says(model, tiny_model_folder):
    """DoLa's earlier law is that of `exit`; and a stock body's head, whose weights know gradients, serves."""
    given = {"max_tokens": 12, "chat": False, "alpha": 0.3}
    text = model.generate("hello there", "dola", layers="1", **given).token_ids
    exit_text = model.generate("hello there", "contrastive_decoding", second="exit:1", **given).token_ids
    assert text == exit_text
    stock = anyorder.load(str(tiny_model_folder), precision="fp32", packed=False)
    assert stock.generate("hello there", "dola", layers="1", **given).token_ids == text
