"""Drafts by the target without some of its blocks, and which those are."""

import copy

import pytest
import torch

from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask
from anyorder.errors import UserError
from anyorder.nets import skipping
from anyorder.nets.causal import Causal
from anyorder.nets.lean import lean
from anyorder.nets.load import some_layers
from anyorder.nets.stock import Stock
from tests.nets.test_causal import TREE, V, model, near, whole

OPTIONS = [{"tokens": 2}, {"tokens": 2, "draw": "sampled"}]
TEXTS = [([1, 2, 3], [4, 5, 6, 7]), ([9, 8], [7, 6, 5])]


@pytest.mark.parametrize("packed", [True, False])
def test_a_net_of_some_blocks(packed):
    reference = model("llama").float()
    body = lean(copy.deepcopy(reference), "fp32").some([0, 2]) if packed else None
    body = body or Stock(some_layers(Stock(copy.deepcopy(reference)).model, [0, 2]))
    layers = reference.model.layers
    (answer,) = Causal(body)([(Ask(whole, guess=(TREE,)), Canvas([1, 2, 3], 9))])
    reference.model.layers = torch.nn.ModuleList([layers[0], layers[2]])
    reference.config.num_hidden_layers = 2
    with torch.no_grad():
        line = reference(torch.tensor([[1, 2, 3]]), use_cache=False).logits[0, -1]
    torch.testing.assert_close(answer.logits[0], line, **near(3e-4))


def test_kinds_of_layers_go_with_their_blocks():
    """Each block keeps its own window."""
    reference = model("gemma2")
    net = Causal(Stock(some_layers(Stock(copy.deepcopy(reference)).model, [1, 2])))
    reference.model.layers = reference.model.layers[1:]
    reference.config.layer_types = reference.config.layer_types[1:]
    reference.config.num_hidden_layers = 2
    text = [i % V for i in range(1, 14)]
    (answer,) = net([(Ask(whole), Canvas(text, 9))])
    with torch.no_grad():
        line = reference(torch.tensor([text]), use_cache=False).logits[0, -1]
    torch.testing.assert_close(answer.logits[0], line, **near(1e-4))


def test_blocks_that_do_nothing_go_first():
    reference = model("llama").float()
    with torch.no_grad():
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            reference.model.layers[1].get_submodule(name).weight.zero_()
    body = lean(reference, "fp32")
    assert skipping.chosen(body.some, TEXTS, 3, 1) == [0, 2]
    assert len(skipping.chosen(body.some, TEXTS, 3, 2)) == 1
    assert len(skipping.chosen(body.some, TEXTS, 3, 9)) == 1, "one block stays"


def test_what_is_chosen_agrees_most_with_the_whole_net():
    """Against all pairs, by plain runs."""
    body = lean(model("llama").float(), "fp32")

    def agree(blocks):
        true = [line.argmax(-1) for line in skipping._laws(body, TEXTS)]
        said = [line.argmax(-1) for line in skipping._laws(body.some(blocks), TEXTS)]
        return sum(int((a == b).sum()) for a, b in zip(true, said, strict=True))

    best = max(agree(pair) for pair in ([0, 1], [0, 2], [1, 2]))
    assert agree(skipping.chosen(body.some, TEXTS, 3, 1)) == best


def test_one_run_over_all_texts_says_what_each_says_alone():
    body = lean(model("llama").float(), "fp32")
    both = skipping._laws(body, TEXTS)
    for text, line in zip(TEXTS, both, strict=True):
        (alone,) = skipping._laws(body, [text])
        assert torch.equal(alone, line)
        assert len(line) == len(text[1])


def test_without():
    assert skipping.without("1, 3", 5) == [0, 2, 4]
    for wrong in ("5", "-1", "", "x", "0,1,2,3,4"):
        with pytest.raises(UserError, match="allowed is auto or some, not all, of the blocks 0 to 4"):
            skipping.without(wrong, 5)


def test_a_choice_is_kept_for_its_facts_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYORDER_CACHE", str(tmp_path))
    facts = {"model": "a", "share": 0.2}
    assert skipping.kept(facts) is None
    skipping.keep(facts, [0, 2])
    assert skipping.kept(facts) == [0, 2]
    assert skipping.kept({**facts, "share": 0.3}) is None
    next((tmp_path / "skip").iterdir()).write_text("{")
    assert skipping.kept(facts) is None
