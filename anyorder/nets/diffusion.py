"""Published diffusion checkpoints, as stock transformers models: their own model code is never run.

Such a checkpoint is a causal architecture under another name: the weights of a Llama or a Qwen, trained to
look both ways. A `Family` tells how its settings and its tensors' names translate; what it says beyond them,
which cells see each other and where predictions stand, is an `Adapter`. Any other causal checkpoint becomes
an any-order one by an entry of its config.json, which is also how a family's adapter is corrected:

    "anyorder": {"mask": 126336, "attention": "full", "shift": false, "block": 0}

DiffuLLaMA (arXiv:2410.17891) is a plain Llama file and needs the entry (full, shifted). DiffuGPT, BD3-LM and
LLaDA-MoE have layouts of their own and are not known. DiffusionGemma starts from random tokens, not from M,
and feeds its guesses back as mixtures: no adapter describes it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyorder.errors import UserError
from anyorder.nets.adapter import ATTENTIONS, Adapter
from anyorder.nets.families import (
    FAMILIES,
    Family,
    Piece,
    Settings,
    family_of,
    layout,
    named,
    published,
    translated,
)
from anyorder.nets.load import PRECISIONS, first_line, located, quiet

UNKNOWN = -1  # mask of an adapter whose config does not name it; the tokenizer does
MASKS = ("<|mask|>", "<|mdm_mask|>", "|<MASK>|", "<|MASK|>", "[MASK]", "<mask>", "<M>")  # names of M
SAYS = 4  # names in an error


def recognised(config: Settings) -> Adapter | None:
    """The adapter of a diffusion checkpoint by its config.json; None: it is none that we know.

    Its mask is UNKNOWN if only the tokenizer can tell. Raises UserError for an entry that is not in order.
    """
    family, entry = family_of(config), config.get("anyorder")
    if family is None and entry is None:
        return None
    if family is None:
        made = Adapter(UNKNOWN)
    else:
        block = config.get(family.says_block) or family.block if family.block else 0
        made = Adapter(UNKNOWN, family.attention, family.shift, block)
    if config.get("mask_token_id") is not None:
        made = replace(made, mask=config["mask_token_id"])
    made = _corrected(made, {} if entry is None else entry)
    if made.attention not in ATTENTIONS:
        raise UserError(
            f'{named(config)} does not say what its cells see; its config.json needs an entry "anyorder" '
            f'with "attention", one of {", ".join(ATTENTIONS)}; see the model\'s page and add it'
        )
    if made.attention == "block" and made.block < 1:
        raise UserError('entry "anyorder" has attention "block" without a block; add "block", 1 or more')
    return made


def _corrected(adapter: Adapter, entry: Any) -> Adapter:
    """The adapter as the config's own entry has it."""
    right: dict[str, Callable[[Any], bool]] = {
        "mask": lambda x: type(x) is int and x >= 0,
        "attention": lambda x: x in ATTENTIONS,
        "shift": lambda x: type(x) is bool,
        "block": lambda x: type(x) is int and x >= 0,
        "cells": lambda x: type(x) is int and x >= 0,
    }
    if isinstance(entry, Mapping):
        wrong = {name: x for name, x in entry.items() if name not in right or not right[name](x)}
    else:
        wrong = entry
    if wrong or not isinstance(entry, Mapping):
        raise UserError(
            f'entry "anyorder" of config.json has {wrong!r}; allowed are mask (a token id), attention '
            f"({', '.join(ATTENTIONS)}), shift (true or false), block (0: any length) and cells (of a canvas "
            "whose request names no number; 0: 128); correct it"
        )
    return replace(adapter, **entry)


def adapter_of(name: str, precision: str = "bf16") -> Adapter | None:
    """The adapter of a model as `load.load` takes it; None: a causal model, or one that is not there."""
    return recognised(settings_of(located(name, precision)) or {})


def settings_of(source: str) -> Settings | None:
    """config.json of a folder or a hub id; None: there is none that can be read, or the hub is far."""
    found = file_of(source, "config.json")
    if found is None:
        return None
    try:
        made = json.loads(Path(found).read_text(encoding="utf-8"))
    except ValueError:
        return None
    return made if isinstance(made, dict) else None


def file_of(source: str, name: str) -> str | None:
    """Where a file of a folder or a hub id lies; None: it has no such file, or the hub cannot be reached."""
    from transformers.utils import cached_file

    try:
        found: str | None = cached_file(source, name)
    except OSError:
        return None
    return found


def load_diffusion(name: str, precision: str = "bf16", device: str = "cpu") -> tuple[Any, Any, Adapter]:
    """A diffusion net as a stock causal model, its tokenizer and its adapter.

    `name`: as `load.load` takes it. Raises UserError for a model that is not one, for settings we do not
    know, for tensors that are missing, left over or of another shape, and for a mask nobody names.
    """
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}; allowed is {', '.join(PRECISIONS)}; choose one")
    source = located(name, precision)
    config = settings_of(source)
    if config is None:
        raise UserError(
            f"model {name!r} has no config.json to be read; allowed are a folder and a hub id; "
            "check the name and the connection"
        )
    adapter, family = recognised(config), family_of(config)
    if adapter is None:
        raise UserError(
            f"{named(config)} ({name}) is not a diffusion model that is known; known are "
            f'{", ".join(FAMILIES)}, or any causal model with an entry "anyorder" in its config.json; add it'
        )
    try:
        with quiet():
            tokenizer = _tokenizer(source, family)
            if family is None:
                module = _plain(source, precision)
            else:
                module = _rebuilt(source, config, family, precision)
    except UserError:
        raise
    except Exception as error:  # transformers and safetensors raise many kinds: this source is not a model
        raise UserError(
            f"model {name!r} cannot be loaded ({first_line(error)}); allowed are a hub id and a folder with "
            "config.json, safetensors files and a tokenizer; check the name, the files and the connection"
        ) from error
    mask = _mask(adapter, tokenizer, module.config.get_text_config().vocab_size)
    return module.to(device).eval(), tokenizer, replace(adapter, mask=mask)


def _mask(adapter: Adapter, tokenizer: Any, vocab: int) -> int:
    found = adapter.mask
    if found == UNKNOWN and tokenizer.mask_token_id is not None:
        found = tokenizer.mask_token_id
    if found == UNKNOWN:
        known = tokenizer.get_vocab()
        found = next((known[name] for name in MASKS if name in known), UNKNOWN)
    if not 0 <= found < vocab:
        seen = "neither config.json nor the tokenizer names a mask token" if found == UNKNOWN else (
            f"mask token {found} is not one of the model's {vocab} tokens"
        )  # fmt: skip
        raise UserError(f'{seen}; needed is its id; add "anyorder": {{"mask": <id>}} to config.json')
    return found


def _tokenizer(source: str, family: Family | None) -> Any:
    import transformers

    kind = getattr(transformers, family.tokenizer if family else "AutoTokenizer")
    extra = {"trust_remote_code": False} if kind is transformers.AutoTokenizer else {}  # and do not ask
    return kind.from_pretrained(source, **extra)


def _plain(source: str, precision: str) -> Any:
    """A checkpoint in a layout that transformers knows."""
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source, dtype=PRECISIONS[precision], output_loading_info=True, ignore_mismatched_sizes=True,
        trust_remote_code=False,
    )  # fmt: skip
    module, info = loaded
    differ = sorted(f"{name} {tuple(a)}, not {tuple(b)}" for name, a, b in info["mismatched_keys"])
    _complain(source, sorted(info["missing_keys"]), sorted(info["unexpected_keys"]), differ)
    return module


def _rebuilt(source: str, config: Settings, family: Family, precision: str) -> Any:
    """A checkpoint in a layout of its own, in the transformers class that computes the same."""
    from transformers import GenerationConfig

    kind, made = translated(config, family)
    origins = layout(kind, made, family)
    with contextlib.ExitStack() as opened:
        files = _opened(source, opened)
        shapes = {
            n: tuple(file.get_slice(n).get_shape()) for n, file in files.items() if "rotary_emb" not in n
        }
        want = published(origins)
        spare = {"lm_head.weight"} if made.tie_word_embeddings else set()
        differ = [
            f"{n} {shapes[n]}, not {want[n]}" for n in sorted(want) if shapes.get(n, want[n]) != want[n]
        ]
        _complain(source, sorted(want.keys() - shapes), sorted(shapes.keys() - want.keys() - spare), differ)
        state = {
            name: _joined([_rows(piece, files[piece.name]) for piece in origin], shape)
            for name, (shape, origin) in origins.items()
        }
        module = kind.from_pretrained(None, config=made, state_dict=state, dtype=PRECISIONS[precision])
    with contextlib.suppress(OSError):  # not every checkpoint has one; it knows of tokens that end a turn
        module.generation_config = GenerationConfig.from_pretrained(source)
    return module


def _complain(source: str, missing: list[str], unexpected: list[str], differ: list[str]) -> None:
    found = [
        f"{len(names)} {what} ({', '.join(names[:SAYS])}{', ...' * (len(names) > SAYS)})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", differ))
        if names
    ]
    if found:
        raise UserError(
            f"checkpoint {source} has tensors {' and '.join(found)}; its config.json asks for exactly the "
            "others; check that the two belong together, or download both again"
        )


def _opened(source: str, opened: contextlib.ExitStack) -> dict[str, Any]:
    """The open file of each tensor of a checkpoint, by the tensor's name."""
    from safetensors import safe_open

    index = file_of(source, "model.safetensors.index.json")
    names = ["model.safetensors"]
    if index is not None:
        names = sorted(set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()))
    files = [(name, file_of(source, name)) for name in names]
    if lost := [name for name, file in files if file is None]:
        raise UserError(
            f"checkpoint {source} has no {lost[0]} ({len(lost)} of {len(files)} files are not there); "
            "needed are its safetensors files; download it again"
        )
    handles = [opened.enter_context(safe_open(file, framework="pt")) for _, file in files]
    return {name: handle for handle in handles for name in handle.keys()}  # noqa: SIM118


def _rows(piece: Piece, file: Any) -> Tensor:
    part = file.get_slice(piece.name)
    if part.get_shape()[0] == piece.rows:
        return file.get_tensor(piece.name)  # mapped, not copied
    return part[piece.start : piece.start + piece.rows]


def _joined(parts: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(shape)
