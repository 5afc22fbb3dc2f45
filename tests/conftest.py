"""Tests run on one thread, toy nets being too small to share, and draw the same examples every time."""

from __future__ import annotations

import gc
import json
import os
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: no test waits for a hub
os.environ["NUMBA_NUM_THREADS"] = "1"  # before numba is imported, whose threads become torch's, too

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
gc.set_threshold(50_000, 20, 100)  # enumerations make many objects, and libraries have many to be walked over
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

VOCAB = 300
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a byte-level tokenizer, as transformers saves them.

    256 byte tokens, `<eos>`, and names up to 300; a chat template; weights large enough that texts vary.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-model")
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<eos>"]
    words += [f"<spare{i}>" for i in range(VOCAB - len(words))]
    tokenizer = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", chat_template=TEMPLATE)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, initializer_range=0.2, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=words.index("<eos>"), pad_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_hybrid_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as a hybrid model: finished text is causal, the block being filled is two-way, and a
    cell is predicted by the one before it. Its mask is token 299."""
    folder = tmp_path_factory.mktemp("tiny-hybrid")
    shutil.copytree(tiny_model_folder, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    config["anyorder"] = {"mask": VOCAB - 1, "attention": "hybrid", "shift": True, "block": 0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
