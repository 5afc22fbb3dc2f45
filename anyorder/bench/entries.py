"""What is compared: the plan of a benchmark, and its rows as the user names them.

A row is `name` or `name:option=value:option=value`; commas separate rows, and a `+` in a value stands for a
comma: `merged:drafters=prompt_lookup+jacobi`. Options are the method's own and those of shaping, so that a
row may have a temperature of its own, `cntp:temperature=0.8`; then nothing is claimed about its text.
`mix(greedy+prompt_lookup:nodes=8+sample)` is a batch whose prompts take these methods in turn, prompt i of
the suite the one at i modulo their number; there `+` always separates methods, so no value holds a comma.
`all-speculative` stands for every method of that family that needs no option to be given, `all-diffusion`
for every policy and cache that the model can run, `all-caches` for every policy under every cache. The plain
loop always comes first: greedy decoding, or sampling; where all methods fill cells in any order, `static`,
one cell a run. Peers are other libraries on the same weights and prompts; nothing is claimed about their
text.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from anyorder import holes, registry
from anyorder.card import FAMILIES, Card, Option
from anyorder.errors import UserError

METHODS = "transformers,prompt_lookup,token_recycling,auto"  # what is compared when nothing is asked for
FILLING = "threshold,factor,localleap,eb_sampler,freedave,prophet,dual_cache"  # the same of any-order models
ALL = "all-"  # all-speculative: every method of the family
CACHES = "all-caches"  # every policy under every cache
STATIC = "static"  # the plain loop of any-order decoding
THEN = "then"  # the option that names what a method stands around
CACHE, OWN = "_cache", "/cache=false"  # how caches are called; a policy's own cache makes way for another
THREADS = "OMP_NUM_THREADS"  # torch reads it; a run's command line repeats it


@dataclass(frozen=True)
class Library:
    """What a row needs to know of a peer before it is loaded. `alone`: why it takes one prompt at a time."""

    options: tuple[Option, ...] = ()
    alone: str = ""


_GUESSED = Option("tokens", 10, "guessed at a time", low=1)
PEERS = {
    "transformers": Library(),
    "transformers-pld": Library((_GUESSED,), "its assisted generation takes one prompt"),
    "transformers-cb": Library(),
    "llama.cpp": Library((), "llama-cpp-python has no batching of requests"),
    "llama.cpp-pld": Library((_GUESSED,), "llama-cpp-python has no batching of requests"),
}


@dataclass(frozen=True)
class Plan:
    """The benchmark a user asked for. Everything that can change a number is here."""

    methods: str = METHODS
    suite: str = "quick"
    model: str = "smollm2"
    precision: str = "bf16"
    max_tokens: int = 128
    prompts: int | None = None  # the first so many of each category
    repeat: int = 1
    batch: int = 1  # prompts side by side
    temperature: float = 0.0
    seed: int = 0
    out: str | None = None

    def __post_init__(self) -> None:
        for name in ("max_tokens", "prompts", "repeat", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag} is {value}; allowed is 1 or more; choose a larger number")
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"--temperature is {self.temperature}; allowed is 0 or more; 0 is greedy")

    @property
    def command(self) -> str:
        """The command line that measures this again."""
        words = [f"{THREADS}={threads}"] if (threads := os.environ.get(THREADS)) else []
        words += ["anyorder", "bench"]
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "temperature" and self.seed:
                value = f"{value:g}:{self.seed}"
            if f.name == "methods" or (value != f.default and f.name != "seed"):
                words += ["--" + f.name.replace("_", "-"), str(value)]
        return shlex.join(words)


def drawing(given: str) -> tuple[float, int]:
    """Temperature and seed, as --temperature names them. Raises UserError.

    >>> drawing("0.8:7")
    (0.8, 7)
    """
    temperature, _, seed = given.partition(":")
    try:
        return float(temperature), int(seed or 0)
    except ValueError:
        raise UserError(
            f"--temperature is {given!r}; allowed is a number or number:seed; for example 0.8:7"
        ) from None


@dataclass(frozen=True)
class Entry:
    """One row to be measured.

    `claim`: "text" (the plain loop's, token for token), "law" (its law only, so texts may differ) or None.
    """

    label: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    claim: str | None = None
    parts: tuple[Entry, ...] = ()  # of a mix: the methods its prompts take in turn

    @property
    def peer(self) -> bool:
        return self.method in PEERS

    @property
    def exact(self) -> bool:
        if self.parts:
            return all(part.exact for part in self.parts)
        return not self.peer and registry.card(self.method).exact

    def of(self, prompt: int) -> Entry:
        """What decodes this prompt of the suite."""
        return self.parts[prompt % len(self.parts)] if self.parts else self


def entries(plan: Plan) -> list[Entry]:
    """The rows of a plan, the plain loop first. Raises UserError for what is unknown or named twice."""
    outside = re.split(r",(?![^(]*\))", plan.methods)  # commas in parentheses are a mix's mistake
    specs = [name for part in outside for name in named(part.strip(), plan.model) if name]
    plain = STATIC if fills(specs) else "sample" if plan.temperature else "greedy"
    rows = [Entry(plain, plain, claim="text")]
    for spec in specs:
        row = _mix(spec, plan) if spec.startswith("mix(") else _entry(spec, plan)
        if row.label in [r.label for r in rows[1:]]:
            raise UserError(
                f"--methods names {spec} twice; a row is measured once; use --repeat to measure again"
            )
        if row.label != plain:
            rows.append(row)
    return rows


def fills(specs: Sequence[str]) -> bool:
    """Whether all rows fill cells in any order.

    >>> fills(["static:steps=2"]), fills(["static", "beam"]), fills([])
    (True, False, False)
    """
    cards = registry.cards()
    names = [spec.partition(":")[0] for spec in specs]
    return bool(names) and all(name in cards and cards[name].canvas == "cells" for name in names)


def attention(model: str) -> str:
    """How the cells of an any-order model see each other; "" of other models. Raises UserError."""
    if model == Plan.model or model.endswith(".gguf"):  # looking would unpack the file
        return ""
    from anyorder.nets.diffusion import adapter_of

    adapter = adapter_of(model, "fp32")
    return adapter.attention if adapter else ""


def named(spec: str, model: str = Plan.model) -> list[str]:
    """What a name stands for: all methods of a family that a model runs without being told more, or itself.

    >>> "jacobi" in named("all-speculative")
    True
    """
    family = "diffusion" if spec == CACHES else spec.removeprefix(ALL)
    if not spec.startswith(ALL) or family not in FAMILIES:
        return [spec]
    cards = [card for card in registry.cards().values() if card.family == family]
    free = [card for card in cards if not any(option.needed for option in card.options)]
    kind = attention(model) if family == "diffusion" else ""
    fit = [card for card in free if runs_on(card, kind)]
    if spec != CACHES:
        return [card.name for card in fit]
    around = {card.name for card in fit if any(option.name == THEN for option in card.options)}
    caches = sorted(name for name in around if name.endswith(CACHE))
    inner = [card for card in fit if card.name not in around and not card.name.endswith(CACHE)]
    policies = [c.name + OWN * any(o.name == "cache" for o in c.options) for c in inner]
    return [f"{cache}:{THEN}={policy}" for cache in caches for policy in policies]


def runs_on(card: Card, attention: str) -> bool:
    return not attention or not card.attention or attention in card.attention


def left_out(plan: Plan) -> list[str]:
    """Methods that a group names and the model cannot run, each with the reason."""
    kind, out = attention(plan.model), []
    for card in registry.cards().values() if f"{ALL}diffusion" in plan.methods else ():
        if card.family == "diffusion" and not runs_on(card, kind):
            need = " or ".join(card.attention)
            out.append(f"{card.name} needs a model of {need} attention, and {plan.model}'s is {kind}")
    return out


def _mix(spec: str, plan: Plan) -> Entry:
    """A row of several methods. Raises UserError."""
    inside = spec[len("mix(") :].removesuffix(")")
    parts = tuple(_entry(part.strip(), plan) for part in inside.split("+")) if "," not in inside else ()
    if not spec.endswith(")") or len(parts) < 2 or any(part.peer for part in parts):
        raise UserError(
            f"--methods got {spec!r}; allowed is mix(method+method), two of our methods or more; "
            "join them by + and close the parenthesis"
        )
    if plan.batch < 2:
        raise UserError(f"row {spec} runs methods side by side and --batch is 1; give --batch 2 or more")
    claim = "text" if all(part.claim == "text" for part in parts) else None
    return Entry(spec, "mix", claim=claim, parts=parts)


def _entry(spec: str, plan: Plan) -> Entry:
    """A row of one method or peer. Raises UserError."""
    name, *settings = re.split(r":(?=[a-z_]+=)", spec)  # a value may contain a colon
    if ":" in name:
        raise UserError(f"--methods got {spec!r}; allowed is name:option=value:option=value")
    try:
        known = {option.name: option for option in (*_shaping(name), *_options(name))}
        options = dict(_setting(name, known, setting) for setting in settings)
    except ValueError as error:
        raise UserError(f"--methods: {error}") from error
    if name not in PEERS:
        return Entry(spec, name, options, _claim(name, options, plan.temperature))
    if plan.batch > 1 and (why := PEERS[name].alone):
        raise UserError(f"row {spec} cannot run with --batch {plan.batch}: {why}; leave one of them out")
    return Entry(spec, name, options)


def _options(name: str) -> tuple[Option, ...]:
    if name in PEERS:
        return PEERS[name].options
    try:
        return registry.options(name)
    except ValueError as error:
        raise ValueError(f"{error}; peers are {', '.join(PEERS)}") from error


def _shaping(name: str) -> tuple[Option, ...]:
    """What shapes a row's law, and its canvas; a peer's is the plan's."""
    if name in PEERS:
        return ()
    filling = name in registry.cards() and registry.card(name).canvas == "cells"
    return registry.SHAPING + (holes.OPTIONS if filling else ())


def _setting(name: str, known: Mapping[str, Option], setting: str) -> tuple[str, Any]:
    key, _, value = setting.partition("=")
    if key not in known:
        there = ", ".join(option for option in known if known[option] not in registry.SHAPING) or "none"
        more = "" if name in PEERS else ", or one of shaping such as temperature"
        raise ValueError(f"{name} has no option {key!r}; its options: {there}; choose one of these{more}")
    text = known[key].type in (str, tuple, dict)
    return key, known[key].parse(value.replace("+", ",") if text else value)


def _claim(name: str, options: Mapping[str, Any], temperature: float) -> str | None:
    """What the method claims. When sampling, only the verifier `match` draws the plain loop's very text; a
    row whose law is shaped otherwise than the plain loop's claims nothing."""
    card = registry.card(name)
    static = (*registry.options(STATIC), *holes.OPTIONS)
    if card.canvas == "cells" and any(option.name in options for option in static):
        return None  # an exact method writes what static writes with the same options, not by default
    shaped = {option.name: option.default for option in registry.SHAPING} | {"temperature": temperature}
    if any(options[key] != value for key, value in shaped.items() if key in options):
        return None
    if not card.exact or (temperature and name == "greedy"):
        return None
    matches = bool(card.kind) and options.get("verify", "auto") in ("auto", "match")
    return "text" if not temperature or name == "sample" or matches else "law"
