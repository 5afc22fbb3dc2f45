"""The laws hold on the real net as well: a tiny Llama in float64 behind `nets.causal`."""

from functools import cache

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from anyorder import registry
from anyorder.nets.causal import Causal
from anyorder.nets.stock import Stock
from anyorder.testing import check_laws

SMALL = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 256, "pad_token_id": 0,
}  # fmt: skip


@cache
def model(seed, vocab):
    torch.manual_seed(seed)
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=vocab, **SMALL))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.4)
    return made.double().eval()


def nets(card, vocab):
    """Fresh nets, each with the laws of its model computed from nothing."""

    def made(seed):
        body = model(seed, vocab)
        net = Causal(Stock(body))
        net.plain = torch.no_grad()(lambda text: body(torch.tensor([list(text)])).logits[0, -1])
        return net

    return {name: made(seed) for seed, name in enumerate(card.nets)}


@pytest.mark.parametrize("name", ["sample", "beam", "lookahead", "draft_model", "token_recycling"])
def test_laws(name):
    assert registry.card(name).canvas == "row"
    assert set(check_laws(name, nets=nets)) == set(range(1, 9))
