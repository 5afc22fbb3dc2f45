"""Random models of a handful of tokens, one pair for each way transformers 5.23 has of drafting.

A text of four tokens out of five has few enough outcomes that the target's whole law can be written down.
The models are transformers' own classes with random weights, and `generate` runs its own code on them, so
what is tested is the drafting and the acceptance rule, at a cost of milliseconds a text.

Each maker gives a `Pair`: a target, and what must be handed to its `generate` so that it drafts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

VOCAB = 5
LENGTH = 4  # tokens of a text: two more than drafters need that wait for the target's first run
PROMPT = (0, 1, 2, 0, 1)
WORDS = "abcdef "  # of the target with a tokenizer; the end of a text comes last
OTHERS = "x fbydeac"  # of an assistant whose vocabulary is another, in another order


class Pair(NamedTuple):
    """A target and the arguments of the i-th of its `generate` calls."""

    target: Any
    given: Callable[[int], dict[str, Any]]


def llama(seed: int, vocab: int = VOCAB, spread: float = 0.5) -> Any:
    """A Llama of two layers; its last token ends a text. `spread` of its weights: more makes it surer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, initializer_range=spread, **_ends(vocab),
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def _ends(vocab: int) -> dict[str, Any]:
    return {"bos_token_id": None, "eos_token_id": vocab - 1, "pad_token_id": vocab - 1}


def always(**given: Any) -> Callable[[int], dict[str, Any]]:
    """The same arguments for every call."""
    return lambda _: dict(given)


def plain() -> Pair:
    """No drafting: what the other ways must equal."""
    return Pair(llama(1), always())


def prompt_lookup() -> Pair:
    return Pair(llama(1), always(prompt_lookup_num_tokens=2))


def early_exit() -> Pair:
    """The target drafts with its first layer."""
    return Pair(llama(1), always(assistant_early_exit=1))


def assistant(**settings: Any) -> Pair:
    """Another model drafts three tokens at a time. `settings`: of its generation config, or of the call."""
    drafts = llama(2)
    call = {k: settings.pop(k) for k in list(settings) if k == "assistant_ensemble_weight"}
    given = {"num_assistant_tokens": 3, "assistant_confidence_threshold": 0.0, **settings}
    for name, value in given.items():
        setattr(drafts.generation_config, name, value)
    return Pair(llama(1), always(assistant_model=drafts, **call))


def alphabet(word: tuple[str, int]) -> Any:
    return word[0]


def universal(words: str = OTHERS, by: Callable[[tuple[str, int]], Any] = alphabet) -> Pair:
    """The assistant has another tokenizer; both read one character a token. `by`: sorts its words."""
    target, drafts = llama(4, len(WORDS) + 1), llama(5, len(words) + 1 + (len(words) == len(WORDS)))
    drafts.generation_config.num_assistant_tokens = 3
    return Pair(
        target,
        always(assistant_model=drafts, tokenizer=letters(WORDS), assistant_tokenizer=letters(words, by)),
    )


def subset() -> Pair:
    """An assistant with another tokenizer that knows no word the target does not know."""
    return universal(WORDS[::-2])


def letters(words: str, by: Callable[[tuple[str, int]], Any] = alphabet) -> Any:
    """A tokenizer of single characters and `<e>`. Its dictionary of words is sorted: the order of a fast
    tokenizer's is another in every process, and one audit should say one thing."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    class Sorted(PreTrainedTokenizerFast):
        def get_vocab(self) -> dict[str, int]:
            return dict(sorted(super().get_vocab().items(), key=by))

    spelt = [*words, "<e>"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(spelt)}, unk_token=spelt[0]))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    return Sorted(tokenizer_object=inner, eos_token="<e>")


def multi_token() -> Pair:
    """A GLM with two layers that predict the tokens after the next (use_mtp)."""
    from safetensors.torch import save_file
    from transformers import Glm4MoeConfig, Glm4MoeForCausalLM
    from transformers.modeling_layers import MtpModel

    torch.manual_seed(3)
    config: Any = cast(Any, Glm4MoeConfig)(
        vocab_size=VOCAB, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=256, initializer_range=0.5,
        first_k_dense_replace=8, num_mtp_layers=2, **_ends(VOCAB),
    )  # fmt: skip
    target: Any = Glm4MoeForCausalLM(config).eval()
    weights = {}
    for name, value in MtpModel(target, 2).state_dict().items():
        if name.startswith("layers."):
            _, layer, part = name.split(".", 2)  # as checkpoints name them: after the layers of the model
            weights[f"model.layers.{int(layer) + 2}.{part.removeprefix('mtp_block.')}"] = _random(value)
    target._keys_to_ignore_on_load_unexpected = [r"model\.layers\.[23]\."]  # where they are looked for
    folder = tempfile.TemporaryDirectory(prefix="anyorder-")
    save_file(weights, Path(folder.name) / "model.safetensors", metadata={"format": "pt"})
    target.config.name_or_path, target.config.dtype = folder.name, torch.float32
    target.folder = folder  # read at every `generate`, so it must live as long as the model
    return Pair(target, always(use_mtp=True))


def _random(value: Tensor) -> Tensor:
    return torch.randn_like(value) * 0.5 if value.dim() > 1 else value.clone()


def block() -> Pair:
    """A drafter that fills a block of masks at once from the target's states (DFlash)."""
    from transformers import MuseGlimmerAssistantConfig, MuseGlimmerAssistantModel

    target = llama(1)
    torch.manual_seed(5)
    drafts = MuseGlimmerAssistantModel(MuseGlimmerAssistantConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, head_dim=8,
        num_key_value_heads=1, max_position_embeddings=256, sliding_window=64, block_size=3,
        mask_token_id=VOCAB - 2, target_layer_ids=[0, 1], **_ends(VOCAB),
    )).eval()  # fmt: skip
    for value in drafts.parameters():
        value.data = _random(value.data)
    return Pair(target, always(assistant_model=drafts, speculation_type="dflash"))


def single_position() -> Pair:
    """Gemma 4's assistant, which drafts from the target's last state.

    It has no layers of its own, as 5.23 refuses to make one with layers that all share the target's keys; and
    both are unsure, since a drafter that is sure reports nearly what it does.
    """
    from transformers import Gemma4AssistantConfig, Gemma4AssistantForCausalLM, Gemma4ForCausalLM

    torch.manual_seed(1)
    kinds = ["sliding_attention", "full_attention"] * 2
    target = Gemma4ForCausalLM(_gemma(4, kinds, num_kv_shared_layers=2, hidden_size_per_layer_input=2)).eval()
    drafts = Gemma4AssistantForCausalLM(
        Gemma4AssistantConfig(text_config=_gemma(0, []), backbone_hidden_size=8)
    ).eval()
    drafts.generation_config.num_assistant_tokens = 3
    return Pair(target, always(assistant_model=drafts))


def _gemma(layers: int, kinds: Sequence[str], **more: Any) -> Any:
    from transformers import Gemma4TextConfig

    words = VOCAB if more else 0
    return cast(Any, Gemma4TextConfig)(
        vocab_size=VOCAB, hidden_size=8, intermediate_size=16, num_hidden_layers=layers, head_dim=8,
        num_attention_heads=1, num_key_value_heads=1, global_head_dim=8, max_position_embeddings=256,
        initializer_range=0.15, layer_types=list(kinds), vocab_size_per_layer_input=words, **_ends(VOCAB),
        **{"hidden_size_per_layer_input": 0, **more},
    )  # fmt: skip


def ours(method: str, for_transformers: Callable[..., Any]) -> Pair:
    """A method of this package inside transformers' `generate`, with a new seed at every call."""
    return Pair(llama(1), lambda i: {"custom_generate": for_transformers(method, seed=i)})
