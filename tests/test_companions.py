"""Nets beside a model's target: the second one, of methods that mix laws."""

from __future__ import annotations

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


def test_a_layer_says_through_the_head_what_the_exit_behind_it_says(model, tiny_model_folder):
    """DoLa's earlier law is that of `exit`; and a stock body's head, whose weights know gradients, serves."""
    given = {"max_tokens": 12, "chat": False, "alpha": 0.3}
    text = model.generate("hello there", "dola", layers="1", **given).token_ids
    exit_text = model.generate("hello there", "contrastive_decoding", second="exit:1", **given).token_ids
    assert text == exit_text
    stock = anyorder.load(str(tiny_model_folder), precision="fp32", packed=False)
    assert stock.generate("hello there", "dola", layers="1", **given).token_ids == text
