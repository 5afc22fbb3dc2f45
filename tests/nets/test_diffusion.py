"""Which checkpoints are diffusion nets, and what is said of files that do not belong together."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from anyorder.errors import UserError
from anyorder.nets.adapter import Adapter
from anyorder.nets.diffusion import UNKNOWN, adapter_of, load_diffusion, recognised
from anyorder.nets.load import load_any
from tests.nets.checkpoints import ADAPTERS, CONFIGS, HEADS, D, M, V, W, weights


def test_what_is_recognised() -> None:
    assert recognised({"architectures": ["LlamaForCausalLM"], "mask_token_id": 3}) is None
    assert recognised({}) is None
    assert recognised(CONFIGS["fast"]) == Adapter(UNKNOWN, "block", True, 4)
    assert recognised(CONFIGS["sdar"] | {"block_size": 8}) == Adapter(M, "block", False, 8)
    assert recognised(CONFIGS["dream"] | {"block_size": 8}) == ADAPTERS["dream"]
    entry = {"mask": 7, "attention": "hybrid", "shift": True, "block": 16}
    assert recognised({"architectures": ["LlamaForCausalLM"], "anyorder": entry}) == Adapter(**entry)
    assert recognised(CONFIGS["llada"] | {"anyorder": {"block": 2}}) == Adapter(M, block=2)
    assert recognised({"anyorder": {}}) == Adapter(UNKNOWN)


@pytest.mark.parametrize(
    "entry",
    [
        {"attention": "both"},
        {"mask": -1},
        {"mask": "M"},
        {"block": True},
        {"shift": 1},
        {"window": 3},
        5,
        [1],
    ],
)
def test_an_entry_that_is_not_in_order(entry) -> None:
    with pytest.raises(UserError, match=r'entry "anyorder" of config\.json has .* allowed are mask'):
        recognised({"anyorder": entry})


def test_an_entry_that_says_too_little() -> None:
    with pytest.raises(UserError, match='attention "block" without a block'):
        recognised({"anyorder": {"mask": 1, "attention": "block"}})
    with pytest.raises(UserError, match="A2DQwen3LMHeadModel does not say what its cells see"):
        recognised({"architectures": ["A2DQwen3LMHeadModel"]})


def test_a_model_that_says_it_by_an_entry(save) -> None:
    """The file of an SDAR model under the name of Tiny-A2D, whose layout it has."""
    config = CONFIGS["sdar"] | {"architectures": ["A2DQwen3LMHeadModel"]}
    entry = {"attention": "block", "block": 5}
    folder = save("", weights("sdar"), **config, anyorder=entry)
    assert load_diffusion(str(folder), "fp32")[2] == Adapter(M, **entry)


@pytest.mark.parametrize("kind", ["llada", "sdar-moe", "llada2"])
def test_missing_unexpected_and_misshaped_tensors_are_named(kind: str, save) -> None:
    tensors = weights(kind)
    lost = [name for name in tensors if "norm" in name]
    tensors |= {"more.weight": torch.zeros(2), "lm_head.bias": torch.zeros(V)}
    odd = next(
        name for name, t in tensors.items() if t.shape == (D, HEADS * CONFIGS[kind].get("head_dim", W))
    )
    tensors[odd] = torch.zeros(D, 3)
    folder = save(kind, {name: t for name, t in tensors.items() if name not in lost})
    with pytest.raises(UserError) as caught:
        load_diffusion(str(folder), "fp32")
    said = str(caught.value)
    assert f"{len(lost)} missing ({', '.join(sorted(lost)[:4])}" in said
    assert "2 unexpected (lm_head.bias, more.weight)" in said
    assert f"1 of another shape ({odd} (32, 3), not (32, " in said
    assert len(said) < 900


def test_a_lost_expert_is_named(save) -> None:
    tensors = weights("sdar-moe")
    del tensors["model.layers.1.mlp.experts.3.up_proj.weight"]
    with pytest.raises(UserError, match=r"1 missing \(model.layers.1.mlp.experts.3.up_proj.weight\); its"):
        load_diffusion(str(save("sdar-moe", tensors)), "fp32")


@pytest.mark.parametrize("kind", ["llada", "llada2"])
def test_several_files_are_one_checkpoint(kind: str, save) -> None:
    whole, parted = (load_diffusion(str(save(kind, shards=n)), "fp32")[0].state_dict() for n in (1, 3))
    assert whole.keys() == parted.keys()
    assert all(torch.equal(whole[name], parted[name]) for name in whole)


def test_a_file_that_is_not_there(save) -> None:
    folder = save("llada", shards=3)
    (folder / "model-00001.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model-00001.safetensors \(1 of 3 files"):
        load_diffusion(str(folder), "fp32")
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(UserError, match=r"no model.safetensors \(1 of 1 files"):
        load_diffusion(str(folder), "fp32")


def test_a_file_that_is_cut_off(save) -> None:
    folder = save("dream")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UserError, match="cannot be loaded"):
        load_diffusion(str(folder), "fp32")


@pytest.mark.parametrize(
    "kind, change, says",
    [
        ("llada", {"block_type": "sequential"}, "block_type 'sequential'; known is 'llama' only"),
        ("llada", {"include_qkv_bias": True}, "include_qkv_bias True"),
        ("dream", {"use_sliding_window": True}, "use_sliding_window True"),
        ("wedlm", {"attention_bias": True}, "attention_bias True"),
        ("wedlm-7b", {"attention_bias": False}, "attention_bias False"),
        ("llada2", {"score_function": "softmax"}, "score_function 'softmax'"),
        ("sdar", {"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
)
def test_settings_that_are_not_known(kind: str, change: dict, says: str, save) -> None:
    with pytest.raises(UserError, match=says):
        load_diffusion(str(save(kind, **change)), "fp32")


def test_a_setting_that_is_not_there(save) -> None:
    folder = save("sdar")
    config = json.loads((folder / "config.json").read_text())
    del config["rope_theta"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="lacks 'rope_theta'"):
        load_diffusion(str(folder), "fp32")


def test_a_mask_that_nobody_names(save) -> None:
    folder = save("fast")
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace("<|mask|>", "<other>"))
    with pytest.raises(UserError, match=r"neither config\.json nor the tokenizer names a mask token"):
        load_diffusion(str(folder), "fp32")
    with pytest.raises(UserError, match="mask token 300 is not one of the model's 300 tokens"):
        load_diffusion(str(save("llada", mask_token_id=V)), "fp32")


def test_other_models_and_precisions(save, tiny_model_folder: Path) -> None:
    assert adapter_of(str(tiny_model_folder)) is None
    with pytest.raises(UserError, match="is not a diffusion model that is known; known are LLaDAModelLM"):
        load_diffusion(str(tiny_model_folder), "fp32")
    with pytest.raises(UserError, match="allowed is fp32, bf16"):
        load_diffusion(str(save("llada")), "fp8")


def test_an_ordinary_checkpoint_with_an_entry(tiny_model_folder: Path, save, tokens) -> None:
    config = json.loads((tiny_model_folder / "config.json").read_text())
    tensors = load_file(tiny_model_folder / "model.safetensors")
    folder = save("", tensors, **config, anyorder={"attention": "full"})
    module, _, adapter = load_any(str(folder), "fp32")
    assert adapter == Adapter(M)
    assert type(module).__name__ == "LlamaForCausalLM"
    assert load_any(str(tiny_model_folder), "fp32")[2] is None
    first = sorted(tensors)[1]
    lacks = save("", {n: t for n, t in tensors.items() if n != first}, **config, anyorder={})
    with pytest.raises(UserError, match=f"1 missing .{first}"):
        load_any(str(lacks), "fp32")
    odd = save("", tensors | {first: tensors[first][:3].clone()}, **config, anyorder={})
    with pytest.raises(UserError, match=f"1 of another shape .{first}"):
        load_any(str(odd), "fp32")


def test_weights_are_read_in_the_precision_asked_for(save) -> None:
    module = load_diffusion(str(save("llada2")), "bf16")[0]
    kinds = {name: t.dtype for name, t in module.state_dict().items()}
    exact = {name for name, kind in kinds.items() if kind == torch.float32}
    assert exact == {"model.layers.1.mlp.gate.e_score_correction_bias"}  # it chooses experts
    assert set(kinds.values()) == {torch.float32, torch.bfloat16}


def test_a_head_that_is_the_embeddings(save) -> None:
    """Some files hold the head although it is tied, some do not."""
    tensors = weights("fast")
    tied = {name: t for name, t in tensors.items() if name != "lm_head.weight"}
    for given in tied, tied | {"lm_head.weight": tied["model.embed_tokens.weight"].clone()}:
        module = load_diffusion(str(save("fast", given, tie_word_embeddings=True)), "fp32")[0]
        assert torch.equal(module.lm_head.weight, tied["model.embed_tokens.weight"])


def test_a_table_of_rotations_in_the_file_is_passed_over(save) -> None:
    """Files of old libraries hold it; it follows from the settings."""
    table = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    assert load_diffusion(str(save("dream", weights("dream") | table)), "fp32")[2] == ADAPTERS["dream"]


@torch.inference_mode()
def test_half_precision_answers_nearly_the_same(save) -> None:
    """Experts, groups and the exact bias too."""
    for kind in "llada2", "sdar-moe":
        folder = str(save(kind))
        exact, half = (load_diffusion(folder, precision)[0] for precision in ("fp32", "bf16"))
        text = torch.tensor([[7, 200, 31, M]])
        apart = (exact(text).logits - half(text).logits.float()).std() / exact(text).logits.std()
        assert 0 < apart < 0.2  # another net: 1 and more


def test_tokens_that_end_a_text_come_along(save) -> None:
    folder = save("llada")
    assert load_diffusion(str(folder), "fp32")[0].generation_config.eos_token_id == 256
    (folder / "generation_config.json").write_text('{"eos_token_id": [256, 9]}')
    assert load_diffusion(str(folder), "fp32")[0].generation_config.eos_token_id == [256, 9]


def test_a_tokenizer_of_their_own(save, tokens) -> None:
    """Dream's files name a tokenizer class that only its code has; it is Qwen2's."""
    folder = save("dream", mask_token_id=None)
    model = json.loads(tokens["tokenizer.json"])["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps({n: i for n, i in model["vocab"].items() if i < M}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    added = {str(M): {"content": "<|mask|>", "special": True, "lstrip": False, "rstrip": False,
                      "normalized": False, "single_word": False}}  # fmt: skip
    own = {
        "tokenizer_class": "DreamTokenizer", "mask_token": "<|mask|>", "added_tokens_decoder": added,
        "eos_token": "<eos>", "pad_token": "<eos>", "unk_token": None, "bos_token": None,
        "auto_map": {"AutoTokenizer": ["modeling_theirs.DreamTokenizer", None]},
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(own))
    _, tokenizer, adapter = load_diffusion(str(folder), "fp32")
    assert adapter.mask == tokenizer.mask_token_id == M
    assert tokenizer.decode(tokenizer("ab c")["input_ids"]) == "ab c"


def test_a_hub_id_that_cannot_be_reached() -> None:
    assert adapter_of("nobody/nothing-here") is None
    with pytest.raises(UserError, match="'nobody/nothing-here' has no config"):
        load_diffusion("nobody/nothing-here")


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_config_that_is_not_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    assert adapter_of(str(tmp_path)) is None
    with pytest.raises(UserError, match="cannot be loaded"):
        load_any(str(tmp_path))
