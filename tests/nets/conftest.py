"""Checkpoints in folders, as their authors publish them."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.nets.checkpoints import CONFIGS, M, weights


@pytest.fixture(scope="session")
def tokens(tiny_model_folder: Path) -> dict[str, str]:
    """Tokenizer files; id 299 is called "<|mask|>"."""
    files = {n: (tiny_model_folder / n).read_text() for n in ("tokenizer.json", "tokenizer_config.json")}
    return {name: text.replace(f"<spare{M - 257}>", "<|mask|>") for name, text in files.items()}


@pytest.fixture
def save(tmp_path: Path, tokens: dict[str, str]):
    """Write a checkpoint as its authors publish it, model code included."""

    def write(kind: str, tensors=None, shards: int = 1, **changes) -> Path:
        folder = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, text in tokens.items():
            (folder / name).write_text(text)
        (folder / "modeling_theirs.py").write_text("raise RuntimeError('their code was run')\n")
        (folder / "config.json").write_text(json.dumps(CONFIGS.get(kind, {}) | changes))
        tensors = weights(kind) if tensors is None else tensors
        if shards == 1:
            save_file(tensors, folder / "model.safetensors")
            return folder
        where = {name: f"model-{i % shards:05}.safetensors" for i, name in enumerate(sorted(tensors))}
        for file in set(where.values()):
            save_file({n: t for n, t in tensors.items() if where[n] == file}, folder / file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
        return folder

    return write
