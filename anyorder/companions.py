"""Nets beside a model's target: its parts, its copy in 4 bits, other checkpoints of its vocabulary.

A card names them by kind. `exit:4` is the first four blocks, whatever the options say; `words` among the
options trims a net's output head to these tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from anyorder.core.types import Net
from anyorder.engine.cost import facts
from anyorder.errors import UserError
from anyorder.nets import skipping
from anyorder.nets.causal import Causal
from anyorder.nets.edited import Edited, Frozen
from anyorder.nets.edits import Optimized, Recoded, Rule
from anyorder.nets.lean import Lean, lean, plain
from anyorder.nets.load import give_back, some_layers
from anyorder.nets.load import load as load_checkpoint
from anyorder.nets.parts import Exit, first_blocks, trimmed
from anyorder.nets.two_way import TwoWay
from anyorder.quick import NET as QUICK

if TYPE_CHECKING:
    from anyorder.api import Model

FROZEN = "frozen copy"  # where a model keeps its copy in fp32
SELF = "self"  # as a draft net: the target's own two-way side

Key = tuple[Any, ...]
Words = Sequence[int]


def key(name: str, options: Mapping[str, Any]) -> Key:
    """What tells nets of a model apart: the kind, what it was made by, and the words of its head."""
    kind, _, layer = name.partition(":")
    given = {**options, "layer": int(layer)} if layer else options
    return kind, tuple(given[option] for option in MAKERS[kind][1]), tuple(given.get("words", ()))


def made(model: Model, name: str, options: Mapping[str, Any]) -> Net:
    """The net. Raises UserError."""
    kind, chosen, words = key(name, options)
    return MAKERS[kind][0](model, *chosen, words)


def has_quick(model: Model) -> bool:
    """Whether a copy of the weights in 4 bits could read the target's cache and be quicker."""
    return isinstance(model.target.body, Lean) and model.precision != "int4"


def _exit(model: Model, layer: int, words: Words) -> Causal | Exit:
    most = model.module.config.num_hidden_layers
    if not 1 <= layer <= most:
        raise UserError(
            f"option layer is {layer}; allowed is 1 to {most} for this model; choose one of these"
        )
    body = trimmed(_some(model, range(layer)), words)
    if isinstance(model.target.body, Lean):
        return first_blocks(model.target, body, layer, most)
    return Causal(body, model.cache, packs="pack" in model.target.can)


def _quick(model: Model, words: Words) -> Exit:
    """The weights in 4 bits, over the target's cache. Its cells are never the target's own."""
    body = None
    if has_quick(model):
        with contextlib.suppress(ValueError):  # widths that do not divide into blocks of 32
            body = lean(load_checkpoint(model.name, "int4", "cpu")[0], "int4")
        give_back()
    if body is None:
        raise UserError(
            f"{model.name} at {model.precision} has no quicker copy of itself in 4 bits; allowed are "
            "models of the Llama shape on a CPU at fp32, bf16 or int8; choose another drafter"
        )
    return Exit(model.target, trimmed(body, words), 0)


def _skip(model: Model, skip: str, share: float, words: Words) -> Causal:
    most = model.module.config.num_hidden_layers
    if skip == "auto":
        blocks = skipping.kept(_skip_facts(model, share)) or _calibrated(model, share)
    else:
        blocks = skipping.without(skip, most)
    return Causal(trimmed(_some(model, blocks), words), model.cache, packs="pack" in model.target.can)


def _skip_facts(model: Model, share: float) -> dict[str, Any]:
    return {**facts(model.target, model.name, model.precision), "share": share, "as": skipping.FORMAT}


def _calibrated(model: Model, share: float) -> list[int]:
    """Blocks whose law is nearest to the target's along a text of its own; kept between starts."""
    most = model.module.config.num_hidden_layers
    texts = []
    for prompt in skipping.PROMPTS:
        text = model.encode(prompt)
        texts.append((text, model.generate(text, "greedy", max_tokens=skipping.LENGTH).token_ids))
    blocks = skipping.chosen(lambda chosen: _some(model, chosen), texts, most, round(share * most))
    skipping.keep(_skip_facts(model, share), blocks)
    return blocks


def _some(model: Model, blocks: Sequence[int]) -> Any:
    """A body of some of the target's blocks."""
    if isinstance(model.target.body, Lean):
        return model.target.body.some(blocks)
    return plain(some_layers(model.module, blocks), model.precision)


def _draft(model: Model, source: str, words: Words) -> Causal:
    return _checkpoint(model, "draft", source, words)


def _second(model: Model, source: str, words: Words) -> Net:
    """Another checkpoint, or the target's own first blocks: exit:4, exit:half."""
    kind, _, layer = source.partition(":")
    if kind == "exit" and layer == "half":
        layer = str(max(1, model.module.config.num_hidden_layers // 2))
    if kind == "exit" and layer.isdigit():
        return model.net(f"exit:{layer}", {"words": words})
    return _checkpoint(model, "second", source, words)


def _checkpoint(model: Model, role: str, source: str, words: Words) -> Causal:
    """Another model of the same vocabulary. Raises UserError."""
    other = _other(model, role, source)
    return Causal(trimmed(other.target.body, words), model.cache, packs="pack" in other.target.can)


def _diffusion(model: Model, source: str, words: Words) -> TwoWay:
    """A diffusion model of the same vocabulary, or, "self", the two-way net over the target's own weights.
    Raises UserError."""
    if source == SELF:
        if model.filler is None:
            raise UserError(
                f"draft is {SELF} and {model.name} writes from left to right only; allowed is {SELF} for "
                "models that do both, and a diffusion model of the same tokens; give --set draft=MODEL"
            )
        return model.filler
    other = _other(model, "draft", source)
    if other.filler is None or other.adapter is None:
        raise UserError(
            f"draft net {source} writes from left to right; allowed is a diffusion model of the target's "
            "tokens; choose one, or another drafter: draft_model"
        )
    return TwoWay(other.filler.body, other.adapter, model.cache, packs="pack" in other.filler.can)


def _other(model: Model, role: str, source: str) -> Model:
    """Another model. A diffusion model may know more tokens, in places that the target leaves free: a mask.
    Raises UserError."""
    from anyorder.api import load

    if not source:
        raise UserError(f"option {role} is empty; it names the {role} net; give --set {role}=MODEL")
    other = load(source, precision=model.precision, memory=model.cache.budget)
    mine, theirs = model.tokenizer.get_vocab(), other.tokenizer.get_vocab()
    same = mine.items() <= theirs.items() if other.filler is not None else mine == theirs
    if not same or other.target.vocab != model.target.vocab:
        raise UserError(
            f"{role} net {source} has another vocabulary ({len(theirs)} tokens, not {len(mine)}); "
            f"a {role} net shares the target's tokenizer; choose one that does"
        )
    return other


def _edited(model: Model, rate: float, window: int, optimizer: str, clip: float, words: Words) -> Edited:
    return _editing(model, Optimized(rate, window, optimizer, clip))


def _recoded(model: Model, step: float, signal: str, where: str, words: Words) -> Edited:
    return _editing(model, Recoded(step, signal, where))


def _editing(model: Model, rule: Rule) -> Edited:
    """The model once more, in fp32 and open to gradients; all rules share it. Raises UserError."""
    body: Any = model.target.body
    if FROZEN not in model.memory:
        device = getattr(getattr(body, "stock", body), "device", torch.device("cpu"))
        module, _ = load_checkpoint(model.name, "fp32", device.type)
        try:
            model.memory[FROZEN] = Frozen(module)
        except ValueError as error:
            raise UserError(f"{model.name}: {error}") from error
    return Edited(model.memory[FROZEN], rule, model.cache)


MAKERS: dict[str, tuple[Callable[..., Net], tuple[str, ...]]] = {  # kind -> maker, the options it is made by
    "exit": (_exit, ("layer",)),
    "skip": (_skip, ("skip", "share")),
    "draft": (_draft, ("draft",)),
    "diffusion": (_diffusion, ("draft",)),
    "second": (_second, ("second",)),
    QUICK: (_quick, ()),
    "edited": (_edited, ("rate", "window", "optimizer", "clip")),
    "recoded": (_recoded, ("step", "signal", "where")),
}
