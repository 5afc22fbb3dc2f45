"""The registry: a method's name is its file's name. Files are found, and cards read, without being run.

Built-in methods lie in `anyorder/methods/*/NAME.py`, drafters in `anyorder/drafters/NAME.py`. Outside ones
are entry points in the group `anyorder.methods` that load to a module with a CARD and the function it names.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from anyorder.card import Card, Option, Setting
from anyorder.scoring import Scorer, of_function

HERE = Path(__file__).parent
GROUP = "anyorder.methods"
FAR = 1024  # of a whole number that a server is given
SHAPING = (  # what every method takes, applied by `anyorder.shapers` in this order
    Option("logit_bias", {}, "numbers added to tokens' logits"),
    Option("banned", (), "tokens that are never written"),
    Option(
        "repetition_penalty", 1.0, "divides logits of tokens already in prompt or text", low=0.001, high=100
    ),
    Option("presence_penalty", 0.0, "subtracted from logits of tokens already generated", low=-100, high=100),
    Option("frequency_penalty", 0.0, "the same, for each time they were generated", low=-100, high=100),
    Option("json_schema", "", "the text is JSON that a schema allows: the schema itself, or a file's path"),
    Option("grammar", "", "the text is of this grammar, written for Lark: itself, or a file's path"),
    Option("regex", "", "the text matches this expression"),
    Option("choices", "", "the text is one of these, separated by |"),
    Option("keywords", "", "the text does not end before it holds these words, separated by commas"),
    Option("any_keyword", False, "one of the keywords is enough"),
    Option("min_tokens", 0, "the text does not end before it has so many tokens", low=0),
    Option("rhyme", "", "the text is `word: line`, where the word rhymes with this one and ends the line"),
    Option("constraint", "", "from Python: a function of the tokens so far that returns what may follow",
           function=True),
    Option("temperature", 0.0, "logits are divided by it; 0: the likeliest token", low=0, high=100),
    Option("top_k", 0, "only the k likeliest tokens; 0: all", low=0),
    Option("top_p", 1.0, "only the likeliest tokens that make up this much probability", low=1e-9, high=1),
    Option("min_p", 0.0, "only tokens at least this share as likely as the likeliest", low=0, high=1),
    Option(
        "typical_p",
        1.0,
        "only the tokens nearest to the expected surprise that make up this much",
        low=1e-9,
        high=1,
    ),
    Option("epsilon", 0.0, "only tokens at least this likely", low=0, high=1),
    Option(
        "eta", 0.0, "only tokens as likely as the lesser of eta and sqrt(eta) exp(-entropy)", low=0, high=1
    ),
)  # fmt: skip
VERIFY = Option(
    "verify", "auto", "who judges the guesses; auto: greedy at temperature 0, above it mostly match",
    choices=("auto", "greedy", "match", "residual", "ratio", "k_seq"),
)  # fmt: skip


def _value(node: ast.expr) -> Any:
    """The value of a card's expression: literals, tuples and calls of Card and Option."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        made = {"Card": Card, "Option": Option}[node.func.id]
        return made(*map(_value, node.args), **{str(k.arg): _value(k.value) for k in node.keywords})
    if isinstance(node, ast.Tuple):
        return tuple(map(_value, node.elts))
    return ast.literal_eval(node)


def read_card(path: Path) -> Card | None:
    """The CARD of a file, or None if it has none."""
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "CARD":
            card = _value(statement.value)
            assert isinstance(card, Card), f"{path}: CARD is a Card"
            assert card.name == path.stem.rstrip("_"), f"{path}: a card is named like its file"
            return card
    return None


@cache
def cards() -> dict[str, Card]:
    """Every method's card by name, in order of family and name."""
    found = [card for path in files() if (card := read_card(path))]
    found += [_outside(point.name).CARD for point in entry_points(group=GROUP)]
    return {card.name: card for card in found}


def files() -> list[Path]:
    """Where built-in methods and drafters lie."""
    return [*sorted(HERE.glob("methods/*/*.py")), *sorted(HERE.glob("drafters/*.py"))]


@cache
def _outside(name: str) -> ModuleType:
    (point,) = entry_points(group=GROUP, name=name)
    module = point.load()
    if not isinstance(module, ModuleType) or not isinstance(getattr(module, "CARD", None), Card):
        raise ValueError(
            f"entry point {name!r} of {GROUP} loads to {module!r}; it must be a module with a CARD; "
            "fix it in the package that declares it"
        )
    return module


def card(name: str) -> Card:
    """The card of a method. Raises ValueError for an unknown name, with the nearest known ones."""
    if name not in cards():
        near = difflib.get_close_matches(name, cards(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown method {name!r}; {hint}see: anyorder methods")
    return cards()[name]


@cache
def builder(name: str) -> Callable[..., Any]:
    """The function that makes the method (or the drafter) from a Setting and its options."""
    card(name)
    for path in files():
        if path.stem.rstrip("_") == name and read_card(path):  # `del` is a word of Python's own
            dotted = ".".join(path.relative_to(HERE.parent).with_suffix("").parts)
            return getattr(importlib.import_module(dotted), path.stem)
    return getattr(_outside(name), name)


def build(name: str, options: Mapping[str, Any], setting: Setting) -> Callable[..., Any]:
    """A method ready to run on a canvas. Raises ValueError for unknown names, options and bad values."""
    setting = replace(
        setting,
        make=lambda spec: _drafter(*parsed(spec), setting),
        method=lambda spec: _inner(*parsed(spec), setting, card(name).canvas),
        scorer=lambda what: _scorer(what, setting),
    )
    if card(name).attention and setting.attention not in ("", *card(name).attention):
        raise ValueError(
            f"method {name} needs a model whose attention is {' or '.join(card(name).attention)}, and this "
            f"one's is {setting.attention}; choose another method or model"
        )
    if not card(name).kind:
        own = settled(name, options, setting)
        setting.nets.extend((net, own) for net in card(name).nets[1:])
        return builder(name)(setting, **own)
    rules = importlib.import_module("anyorder.methods.speculative.speculative")
    given = dict(options)
    verify = VERIFY.parse(given.pop("verify", VERIFY.default))
    return rules.with_drafter(_drafter(name, given, setting), setting, verify)


def options(name: str) -> tuple[Option, ...]:
    """Every option of a method; drafters are judged by a verifier of the user's choice."""
    return card(name).options + ((VERIFY,) if card(name).kind else ())


def shaping(name: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options split into those of shaping, with their values, and the method's own, which go first where both
    have a name. Raises ValueError."""
    mine, own = {option.name for option in options(name)}, dict(given)
    values = {o.name: o.parse(own.pop(o.name)) for o in SHAPING if o.name in own and o.name not in mine}
    return {"temperature": card(name).temperature} | values, own


def parsed(spec: str) -> tuple[str, dict[str, str]]:
    """Name and options of a drafter, a method or a scorer that is named in another one's option. Parentheses
    hold a spec inside a spec together. Raises ValueError.

    >>> parsed("early_exit/layer=6/draw=sampled")
    ('early_exit', {'layer': '6', 'draw': 'sampled'})
    >>> parsed("dyspec/drafter=(early_exit/layer=6)/nodes=8")
    ('dyspec', {'drafter': '(early_exit/layer=6)', 'nodes': '8'})
    """
    spec, inside, starts = spec.strip(), 0, [0]
    if spec.startswith("(") and spec.endswith(")"):
        return parsed(spec[1:-1])
    for i, letter in enumerate(spec):
        inside += (letter == "(") - (letter == ")")
        if inside < 0:
            break
        if not inside and re.match(r"/[a-z_]+=", spec[i:]):
            starts.append(i + 1)
    if inside:
        raise ValueError(f"{spec!r} is no spec; parentheses come in pairs; close what was opened")
    name, *given = [spec[a : b - 1 if b else None] for a, b in zip(starts, [*starts[1:], None])]
    pairs = [one.partition("=") for one in given]
    return name, {option: value for option, _, value in pairs}


def _inner(name: str, given: Mapping[str, Any], setting: Setting, canvas: str) -> Any:
    """A method that another one runs on its kind of canvas. Raises ValueError."""
    ways = {"row": "writes from left to right", "cells": "fills cells in any order"}
    if (mine := card(name).canvas) != canvas:
        raise ValueError(
            f"{name} {ways[mine]}, and this method runs only what {ways[canvas]}; "
            "choose a method of another family; see: anyorder methods"
        )
    return build(name, given, setting)


def _drafter(name: str, given: Mapping[str, Any], setting: Setting) -> Any:
    if not card(name).kind:
        known = ", ".join(n for n, c in cards().items() if c.kind)
        raise ValueError(f"{name!r} is not a drafter; drafters are {known}; see: anyorder methods")
    options = settled(name, given, setting)
    setting.nets.extend((net, options) for net in card(name).nets[1:])
    return builder(name)(setting, **options)


@cache
def scorers() -> dict[str, Card]:
    """Every scorer's card by name. They lie in `anyorder/scorers/NAME.py`, built like methods."""
    found = [card for path in sorted(HERE.glob("scorers/*.py")) if (card := read_card(path))]
    return {card.name: card for card in found}


def scorer_card(name: str) -> Card:
    """Raises ValueError for an unknown name, with the nearest known ones."""
    if name not in scorers():
        near = difflib.get_close_matches(name, scorers(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"unknown scorer {name!r}; {hint}allowed are {', '.join(scorers())}, or a function from Python"
        )
    return scorers()[name]


def _scorer(what: Any, setting: Setting) -> Scorer:
    """A scorer by its spec, or of a function. Raises ValueError."""
    if isinstance(what, Scorer):
        return what
    if callable(what):
        return of_function(what, setting)
    name, given = parsed(what)
    own = _taken(scorer_card(name), scorer_card(name).settle(given), setting)
    setting.nets.extend((net, own) for net in scorer_card(name).nets)
    made = getattr(importlib.import_module(f"anyorder.scorers.{name}"), name)(setting, **own)
    assert isinstance(made, Scorer), f"scorer {name} builds a Scorer"
    return made


def settled(name: str, given: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """A method's options with their values. Raises ValueError."""
    return _taken(card(name), card(name).settle(given, measured=setting.cost is not None), setting)


def _taken(card: Card, values: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """The values, if they may come from where they come from. Raises ValueError."""
    if setting.trusted:
        return values
    if card.local:
        raise ValueError(f"{card.name} runs code, which a server lets no request do; leave it out")
    for option in card.options:
        value = values[option.name]
        if option.reaches(value):
            raise ValueError(
                f"option {option.name} of {card.name} is {value!r}, which names something of the server's "
                f"machine; allowed is {' | '.join(option.within) or 'to leave it out'}"
            )
        if option.type is int and not isinstance(value, str) and value > max(FAR, option.default):
            raise ValueError(
                f"option {option.name} of {card.name} is {value}; allowed through a server is {FAR} at most"
            )
    return values
