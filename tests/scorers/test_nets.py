"""Scorers that are nets: a tiny classifier saved to a folder, a probe of hidden states."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch

from anyorder import registry
from anyorder.card import Setting
from anyorder.errors import UserError
from anyorder.scoring import Prefix


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory, tiny_model_folder: Path) -> dict[str, Path]:
    """Random classifiers with the tiny tokenizer: of three labels, a reward model, one without a head."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    folders = {}
    for name, labels in (("three", ["good", "bad", "odd"]), ("one", ["reward"])):
        folders[name] = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.5, pad_token_id=None,
            bos_token_id=None, eos_token_id=256, num_labels=len(labels), id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
        )  # fmt: skip
        LlamaForSequenceClassification(config).eval().save_pretrained(folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders | {"headless": tiny_model_folder}


def setting(prompt: str = "why? ") -> Setting:
    return Setting(spell=lambda tokens: "".join(map(chr, tokens)), prompt=prompt)


def texts(*written: str) -> list[Prefix]:
    return [Prefix((), tuple(map(ord, text))) for text in written]


SOME = ("a", "some longer text", "bb", "x" * 100)  # the last one is longer than the classifier reads


def test_probabilities_of_labels(classifiers):
    ours, folder = setting(), classifiers["three"]
    each = [
        registry._scorer(f"classifier/model={folder}/label={label}/log=false", ours)(texts(*SOME))
        for label in ("good", "bad", "2")
    ]
    assert torch.tensor(each).sum(0).tolist() == pytest.approx([1.0] * len(SOME))
    assert len({round(p, 4) for p in each[0]}) == len(SOME)
    logs = registry._scorer(f"classifier/model={folder}", ours)
    assert logs(texts(*SOME)) == pytest.approx([math.log(p) for p in each[2]], abs=1e-5)
    assert logs.bounds == (float("-inf"), 0)
    assert len(ours.memory) == 1  # loaded once


def test_a_text_alone_is_judged_as_in_company(classifiers):
    spec = f"classifier/model={classifiers['three']}/batch=2"
    together = registry._scorer(spec, setting())(texts(*SOME))
    alone = [registry._scorer(spec, setting())(texts(text))[0] for text in SOME]
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_text_with_its_prompt(classifiers):
    spec = f"classifier/model={classifiers['one']}"
    with_prompt = registry._scorer(f"{spec}/prompt=true", setting("why? "))(texts("so"))
    assert with_prompt == pytest.approx(registry._scorer(spec, setting())(texts("why? so")), abs=1e-5)
    assert with_prompt != pytest.approx(registry._scorer(spec, setting())(texts("so")), abs=1e-3)


def test_a_reward_model_says_its_number(classifiers):
    from transformers import AutoModelForSequenceClassification

    net = AutoModelForSequenceClassification.from_pretrained(classifiers["one"])
    with torch.no_grad():
        ids = torch.tensor([[64, 65, 66]])  # the tokenizer's bytes of "abc"
        expected = net(ids).logits[0, 0].item()
    scorer = registry._scorer(f"classifier/model={classifiers['one']}", setting())
    assert scorer(texts("abc")) == pytest.approx([expected], abs=1e-4)
    assert scorer.bounds is None


@pytest.mark.parametrize(
    "options, said",
    [
        ("model={three}/label=fine", "got label='fine'; its labels: good, bad, odd; choose one"),
        ("model={headless}", "has no trained score.weight; allowed are models trained to classify"),
        ("model={three}/nothing", "which cannot be loaded"),
        ("label=good", "classifier has no model; give model="),
    ],
)
def test_classifiers_that_cannot_be(classifiers, options, said):
    with pytest.raises(ValueError, match=said):
        registry._scorer("classifier/" + options.format(**classifiers), setting())


# a probe ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_a_probe(tmp_path, ending):
    file = tmp_path / f"probe.{ending}"
    weight, bias = numpy.array([1.0, -2.0], dtype=numpy.float32), numpy.array([0.5], dtype=numpy.float32)
    if ending == "npz":
        numpy.savez(file, weight=weight, bias=bias)
    else:
        from safetensors.numpy import save_file

        save_file({"weight": weight[None], "bias": bias}, file)
    states = [Prefix((1,), (2,), hidden=torch.tensor(h)) for h in ([1.0, 1.0], [4.0, 0.0])]
    chance = [1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(-4.5))]
    scorer = registry._scorer(f"probe/file={file}/log=false", Setting())
    assert scorer(states) == pytest.approx(chance)
    assert (scorer.hidden, scorer.bounds) == (True, (0, 1))
    assert registry._scorer(f"probe/file={file}", Setting())(states) == pytest.approx(
        [math.log(p) for p in chance]
    )
    parts = replace(Setting(), scorer=lambda part: registry._scorer(part, Setting()))
    assert registry._scorer(f"weighted/of=(probe/file={file})+constant", parts).hidden
    with pytest.raises(UserError, match="probe got no hidden states; this method does not give them"):
        scorer([Prefix((1,), (2,))])
    with pytest.raises(UserError, match="probe has 2 weights and the target's states 3 numbers"):
        scorer([Prefix((1,), (2,), hidden=torch.zeros(3))])


def test_probes_that_cannot_be(tmp_path):
    for given in ("nothing.npz", "nothing.safetensors"):
        with pytest.raises(ValueError, match=r"which cannot be read \(.+\); give a .npz file"):
            registry._scorer(f"probe/file={tmp_path / given}", Setting())
    numpy.savez(tmp_path / "wrong.npz", weight=numpy.zeros((2, 2)), other=numpy.zeros(1))
    with pytest.raises(ValueError, match=r"with weight \[2, 2\], other \[1\]; allowed is weight \[D\]"):
        registry._scorer(f"probe/file={tmp_path / 'wrong.npz'}", Setting())
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(ValueError, match="cannot be read"):
        registry._scorer(f"probe/file={tmp_path / 'text.npz'}", Setting())
