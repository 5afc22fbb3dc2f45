"""Tiny random diffusion checkpoints, every layout under its published names, written down by hand."""

import itertools
import re

import torch

from anyorder.nets.adapter import Adapter

V, D, LAYERS, HEADS, GROUPS, W, INNER, M = 300, 32, 2, 4, 2, 8, 48, 299
QWEN = {
    "vocab_size": V, "hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
    "num_key_value_heads": GROUPS, "intermediate_size": INNER, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-3, "rope_theta": 50.0, "rope_scaling": None, "hidden_act": "silu", "eos_token_id": 256,
    "tie_word_embeddings": False, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 2,
    "auto_map": {"AutoModel": "modeling_theirs.Model", "AutoConfig": "modeling_theirs.Config"},
}  # fmt: skip
SPARSE = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "norm_topk_prob": True}
CONFIGS = {
    "llada": {
        "architectures": ["LLaDAModelLM"], "model_type": "llada", "d_model": D, "n_heads": HEADS,
        "n_kv_heads": GROUPS, "n_layers": LAYERS, "mlp_hidden_size": INNER, "mlp_ratio": 4, "vocab_size": 290,
        "embedding_size": V, "max_sequence_length": 64, "rms_norm_eps": 1e-3, "rope_theta": 50.0,
        "rope": True, "mask_token_id": M, "weight_tying": False, "include_bias": False,
        "include_qkv_bias": False, "block_type": "llama", "layer_norm_type": "rms",
        "activation_type": "silu", "alibi": False, "eos_token_id": 256, "multi_query_attention": None,
    },
    "dream": QWEN | {"architectures": ["DreamModel"], "model_type": "Dream", "mask_token_id": M},
    "fast": QWEN | {"architectures": ["Fast_dLLM_QwenForCausalLM"], "bd_size": 4},
    "sdar": QWEN | {"architectures": ["SDARForCausalLM"], "head_dim": 12, "mask_token_id": M},
    "sdar-moe": QWEN | SPARSE | {"architectures": ["SDARMoeForCausalLM"], "head_dim": W, "mask_token_id": M},
    "wedlm": QWEN | {"architectures": ["WeDLMForCausalLM"], "qk_norm": True, "attention_bias": False},
    "wedlm-7b": QWEN | {"architectures": ["WeDLMForCausalLM"], "qk_norm": False, "attention_bias": True},
    "llada2": QWEN | SPARSE | {
        "architectures": ["LLaDA2MoeModelLM"], "model_type": "llada2_moe", "num_experts": 8, "n_group": 4,
        "topk_group": 2, "num_shared_experts": 2, "first_k_dense_replace": 1, "routed_scaling_factor": 2.5,
        "partial_rotary_factor": 0.5, "score_function": "sigmoid", "head_dim": 12, "use_qk_norm": True,
    },
}  # fmt: skip
CONFIGS["wedlm"]["head_dim"] = CONFIGS["wedlm-7b"]["head_dim"] = W
ADAPTERS = {
    "llada": Adapter(M), "dream": Adapter(M, shift=True), "fast": Adapter(M, "block", True, 4),
    "sdar": Adapter(M, "block", block=4), "sdar-moe": Adapter(M, "block", block=4),
    "wedlm": Adapter(M, "reordered"), "wedlm-7b": Adapter(M, "reordered"),
    "llada2": Adapter(M, "block", block=32),
}  # fmt: skip


def spread(pattern: str) -> list[str]:
    """a.{0..2}.b -> a.0.b, a.1.b, a.2.b"""
    parts = re.split(r"\{(\d+)\.\.(\d+)\}", pattern)
    ranges = [range(int(a), int(b) + 1) for a, b in zip(parts[1::3], parts[2::3], strict=True)]
    texts = parts[::3]
    return [
        texts[0] + "".join(f"{n}{text}" for n, text in zip(numbers, texts[1:], strict=True))
        for numbers in itertools.product(*ranges)
    ]


def names(kind: str) -> dict[str, tuple[int, ...]]:
    """The published tensors of a tiny checkpoint, written down by hand."""
    config = CONFIGS[kind]
    width = config.get("head_dim", W)
    queries, keys = HEADS * width, GROUPS * width
    if kind == "llada":
        top, block = "model.transformer.", "model.transformer.blocks.{0..1}."
        return {
            top + "wte": (V, D), top + "ln_f": (D,), top + "ff_out": (V, D), block + "attn_norm": (D,),
            block + "ff_norm": (D,), block + "q_proj": (queries, D), block + "k_proj": (keys, D),
            block + "v_proj": (keys, D), block + "attn_out": (D, queries), block + "ff_proj": (INNER, D),
            block + "up_proj": (INNER, D), block + "ff_out": (D, INNER),
        }  # fmt: skip
    block = "model.layers.{0..1}."
    dense = {"gate_proj": (INNER, D), "up_proj": (INNER, D), "down_proj": (D, INNER)}
    inner = config.get("moe_intermediate_size", 0)
    small = {"gate_proj": (inner, D), "up_proj": (inner, D), "down_proj": (D, inner)}
    found = {"model.norm": (D,), "lm_head": (V, D), block + "input_layernorm": (D,)}
    found |= {block + "post_attention_layernorm": (D,)}
    if kind == "llada2":
        found |= {
            "model.word_embeddings": (V, D), block + "attention.query_key_value": (queries + 2 * keys, D),
            block + "attention.dense": (D, queries), block + "attention.query_layernorm": (width,),
            block + "attention.key_layernorm": (width,), "model.layers.1.mlp.gate": (8, D),
        }  # fmt: skip
        found |= {f"model.layers.0.mlp.{name}": shape for name, shape in dense.items()}
        found |= {f"model.layers.1.mlp.experts.{{0..7}}.{name}": shape for name, shape in small.items()}
        inner *= 2
        shared = {"gate_proj": (inner, D), "up_proj": (inner, D), "down_proj": (D, inner)}
        return found | {f"model.layers.1.mlp.shared_experts.{name}": shape for name, shape in shared.items()}
    attention = block + "self_attn."
    found |= {
        "model.embed_tokens": (V, D), attention + "q_proj": (queries, D), attention + "k_proj": (keys, D),
        attention + "v_proj": (keys, D), attention + "o_proj": (D, queries),
    }  # fmt: skip
    if kind in ("sdar", "sdar-moe", "wedlm"):
        found |= {attention + "q_norm": (width,), attention + "k_norm": (width,)}
    if kind == "sdar-moe":
        found |= {block + f"mlp.experts.{{0..5}}.{name}": shape for name, shape in small.items()}
        return found | {block + "mlp.gate": (6, D)}
    return found | {block + "mlp." + name: shape for name, shape in dense.items()}


def weights(kind: str) -> dict[str, torch.Tensor]:
    """Random tensors under the published names; large enough that every part moves the answer."""
    torch.manual_seed(0)
    made = {}
    for pattern, shape in names(kind).items():
        for name in spread(pattern + ".weight"):
            made[name] = (
                1 + torch.randn(shape) / 3 if len(shape) == 1 else torch.randn(shape) / shape[1] ** 0.5
            )
    if kind in ("dream", "fast", "wedlm-7b"):
        for i, part in itertools.product(range(LAYERS), "qkv"):
            where = f"model.layers.{i}.self_attn.{part}_proj."
            made[where + "bias"] = torch.randn(made[where + "weight"].shape[0])
    if kind == "llada2":
        made["model.layers.1.mlp.gate.expert_bias"] = torch.randn(8) / 4
    return made
