"""How diffusion checkpoints name their settings and tensors, and which transformers class computes the same.

| checkpoint | class | adapter |
|---|---|---|
| LLaDA 8B, 1.5 (arXiv:2502.09992) | Llama | full |
| LLaDA 2.x (arXiv:2512.15745) | Glm4Moe: the same routing, shared expert, norms, half rotation | block 32 |
| Dream 7B, DiffuCoder (arXiv:2508.15487) | Qwen2 | full, shifted |
| SDAR, TraDo (arXiv:2510.06303) | Qwen3, Qwen3Moe | block, 4 unless it says so |
| Fast-dLLM v2 (arXiv:2509.26328) | Qwen2 | block 32, shifted |
| WeDLM (arXiv:2512.22737) | Qwen3, or Qwen2 where it has no norms of queries and keys | reordered |
| Tiny-A2D (arXiv:2602.22661) | Llama, Qwen2, Qwen3 | by an entry: files of both attentions look the same |

The names and settings are those of the authors' public files. A family refuses settings that the class would
not follow, rather than guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from anyorder.errors import UserError

Settings = Mapping[str, Any]
ALWAYS = (  # settings that no architecture does without; a default would be a guess
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "rms_norm_eps",
)  # fmt: skip
OFTEN = (
    "num_key_value_heads", "head_dim", "hidden_act", "tie_word_embeddings", "attention_bias",
    "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip
EXPERTS = ("num_experts", "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob")


class Piece(NamedTuple):
    """Some rows of a published tensor. A tensor of ours is its pieces one below the other."""

    name: str
    rows: int
    start: int = 0


Layout = Mapping[str, tuple[tuple[int, ...], list[Piece]]]


@dataclass(frozen=True)
class Family:
    """Checkpoints that load alike.

    `model`: the transformers class. `translate`: config.json -> that class's settings. `only`: settings of
    theirs that are absent or have this one value. `pieces`: name and shape of a tensor of ours, and the
    class's configuration -> where the tensor comes from.
    """

    model: str
    translate: Callable[[Settings], dict[str, Any]]
    attention: str = "full"
    shift: bool = False
    block: int = 0
    says_block: str = "block_size"  # the setting that says another
    only: Settings = field(default_factory=dict)
    pieces: Callable[[str, tuple[int, ...], Any], list[Piece]] = lambda name, shape, _: [
        Piece(name, shape[0])
    ]
    tokenizer: str = "AutoTokenizer"


def translated(config: Settings, family: Family) -> tuple[Any, Any]:
    """The transformers class and its configuration. Raises UserError for settings that no class here has."""
    import transformers

    for name, value in {**family.only, "quantization_config": None}.items():
        if config.get(name, value) != value:
            raise UserError(
                f"{named(config)} has {name} {config[name]!r}; known is {value!r} only; "
                "use a checkpoint with the published settings"
            )
    try:
        settings = family.translate(config)
    except KeyError as error:
        raise UserError(
            f"config.json of {named(config)} lacks {error.args[0]!r}; it is needed; download it again"
        ) from error
    kind = getattr(transformers, family.model)
    return kind, kind.config_class(**settings)


def layout(kind: Any, made: Any, family: Family) -> Layout:
    """The tensors of a class in a configuration: name -> shape, and where it comes from."""
    with torch.device("meta"):
        module = kind(made)
    tied = {"lm_head.weight"} if made.tie_word_embeddings else set()
    shapes = {name: tuple(t.shape) for name, t in module.state_dict().items() if name not in tied}
    return {name: (shape, family.pieces(name, shape, made)) for name, shape in shapes.items()}


def published(origins: Layout) -> dict[str, tuple[int, ...]]:
    """The tensors that the checkpoint has: name -> shape."""
    found: dict[str, tuple[int, ...]] = {}
    for shape, origin in origins.values():
        for name, rows, start in origin:
            known = found.get(name, (0,))[0]
            found[name] = (max(known, start + rows), *shape[1:][-1:])
    return found


def _rotation(config: Settings) -> dict[str, Any]:
    """How positions turn heads, as transformers names it since its fifth version."""
    if config.get("rope_parameters"):
        return dict(config["rope_parameters"])
    scaling = dict(config.get("rope_scaling") or {})
    kind = scaling.pop("type", "default")
    return {"rope_type": kind, **scaling, "rope_theta": config["rope_theta"]}


def _same(config: Settings, *more: str) -> dict[str, Any]:
    """Settings that are named as transformers names them."""
    found = {name: config[name] for name in (*ALWAYS, *more)}
    found |= {name: config[name] for name in OFTEN if config.get(name) is not None}
    return found | {"rope_parameters": _rotation(config)}


def _sparse(config: Settings) -> dict[str, Any]:
    kept = {n: config[n] for n in ("decoder_sparse_step", "mlp_only_layers") if config.get(n) is not None}
    return _same(config, *EXPERTS) | kept


def _llada(config: Settings) -> dict[str, Any]:
    heads, width = config["n_heads"], config["d_model"]
    ids = {name: config.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return ids | {
        "vocab_size": config.get("embedding_size") or config["vocab_size"],
        "hidden_size": width,
        "intermediate_size": config.get("mlp_hidden_size") or config["mlp_ratio"] * width,
        "num_hidden_layers": config["n_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": 1
        if config.get("multi_query_attention")
        else config.get("n_kv_heads") or heads,
        "max_position_embeddings": config["max_sequence_length"],
        "rms_norm_eps": config["rms_norm_eps"],
        "rope_parameters": _rotation(config),
        "tie_word_embeddings": config["weight_tying"],
    }


def _llada_moe(config: Settings) -> dict[str, Any]:
    same = ("num_experts_per_tok", "moe_intermediate_size", "routed_scaling_factor", "n_group", "topk_group",
            "first_k_dense_replace")  # fmt: skip
    return _same(config, *same) | {
        "n_routed_experts": config["num_experts"],
        "n_shared_experts": config["num_shared_experts"],
        "rope_parameters": {"partial_rotary_factor": config["partial_rotary_factor"], **_rotation(config)},
        "use_qk_norm": True,
        "norm_topk_prob": True,
    }


LLADA = {
    "model.embed_tokens.": "model.transformer.wte.",
    "model.norm.": "model.transformer.ln_f.",
    "lm_head.": "model.transformer.ff_out.",
    "model.layers.": "model.transformer.blocks.",
    ".self_attn.o_proj.": ".attn_out.",
    ".self_attn.": ".",
    ".mlp.gate_proj.": ".ff_proj.",
    ".mlp.down_proj.": ".ff_out.",
    ".mlp.": ".",
    ".input_layernorm.": ".attn_norm.",
    ".post_attention_layernorm.": ".ff_norm.",
}
LLADA_MOE = {
    "model.embed_tokens.": "model.word_embeddings.",
    ".self_attn.o_proj.": ".attention.dense.",
    ".self_attn.q_norm.": ".attention.query_layernorm.",
    ".self_attn.k_norm.": ".attention.key_layernorm.",
    ".e_score_correction_bias": ".expert_bias",
}


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for ours, theirs in table.items():
        name = name.replace(ours, theirs)
    return name


def _llada_pieces(name: str, shape: tuple[int, ...], _: Any) -> list[Piece]:
    return [Piece(_renamed(name, LLADA), shape[0])]


def _expert_pieces(name: str, shape: tuple[int, ...], _: Any) -> list[Piece]:
    """All experts' weights are one tensor of ours, and each a tensor of theirs."""
    before, found, last = name.rpartition(".mlp.experts.")
    if not found:
        return [Piece(name, shape[0])]
    kinds = ("gate_proj", "up_proj") if last == "gate_up_proj" else (last,)
    rows = shape[1] // len(kinds)
    return [Piece(f"{before}{found}{i}.{kind}.weight", rows) for i in range(shape[0]) for kind in kinds]


def _llada_moe_pieces(name: str, shape: tuple[int, ...], made: Any) -> list[Piece]:
    before, found, last = name.partition(".self_attn.")
    queries, keys = (n * made.head_dim for n in (made.num_attention_heads, made.num_key_value_heads))
    starts = {"q_proj.weight": 0, "k_proj.weight": queries, "v_proj.weight": queries + keys}
    if found and last in starts:
        return [Piece(f"{before}.attention.query_key_value.weight", shape[0], starts[last])]
    return [
        piece._replace(name=_renamed(piece.name, LLADA_MOE)) for piece in _expert_pieces(name, shape, made)
    ]


QWEN = {"hidden_act": "silu", "use_sliding_window": False}
WEDLM = Family("Qwen3ForCausalLM", _same, "reordered", only={**QWEN, "attention_bias": False})
FAMILIES = MappingProxyType({  # by the architecture's name
    "LLaDAModelLM": Family(
        "LlamaForCausalLM", _llada, pieces=_llada_pieces,
        only={
            "activation_type": "silu", "alibi": False, "attention_layer_norm": False,
            "bias_for_layer_norm": False, "block_group_size": 1, "block_type": "llama", "include_bias": False,
            "include_qkv_bias": False, "input_emb_norm": False, "layer_norm_type": "rms",
            "layer_norm_with_affine": True, "rope": True, "scale_logits": False,
        },
    ),
    "LLaDA2MoeModelLM": Family(
        "Glm4MoeForCausalLM", _llada_moe, "block", block=32, pieces=_llada_moe_pieces,
        only={**QWEN, "score_function": "sigmoid", "use_qk_norm": True, "use_bias": False,
              "use_qkv_bias": False, "norm_topk_prob": True},
    ),
    "DreamModel": Family(
        "Qwen2ForCausalLM", _same, shift=True, only={**QWEN, "use_mrope": False}, tokenizer="Qwen2Tokenizer"
    ),
    "SDARForCausalLM": Family("Qwen3ForCausalLM", _same, "block", block=4, only=QWEN),
    "SDARMoeForCausalLM": Family(
        "Qwen3MoeForCausalLM", _sparse, "block", block=4, only=QWEN, pieces=_expert_pieces
    ),
    "Fast_dLLM_QwenForCausalLM": Family(
        "Qwen2ForCausalLM", _same, "block", shift=True, block=32, says_block="bd_size", only=QWEN
    ),
    "WeDLMForCausalLM": WEDLM,
    "A2DLlamaLMHeadModel": Family("LlamaForCausalLM", _same, ""),
    "A2DQwen2LMHeadModel": Family("Qwen2ForCausalLM", _same, "", only=QWEN),
    "A2DQwen3LMHeadModel": Family("Qwen3ForCausalLM", _same, "", only=QWEN),
})  # fmt: skip


def family_of(config: Settings) -> Family | None:
    """By the architecture's name: model types of different architectures are the same for some authors."""
    found = next((FAMILIES[n] for n in config.get("architectures") or () if n in FAMILIES), None)
    if found is WEDLM and not config.get("qk_norm"):
        return replace(found, model="Qwen2ForCausalLM", only={**QWEN, "attention_bias": True})
    return found


def named(config: Settings) -> str:
    return str((config.get("architectures") or [config.get("model_type")])[0])
