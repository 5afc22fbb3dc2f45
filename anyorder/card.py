"""Cards: a method's facts, as literals, so that they can be read without running the method's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

FAMILIES = ("autoregressive", "speculative", "search", "diffusion", "visual")
SCORER = "scorer"  # the family of what methods judge texts by; not a method

KINDS = {  # how a drafter's guesses are made, which decides what verifiers are exact for them
    "point": "fixed by the text so far; no q",
    "chain": "one path, each token drawn from its q",
    "iid": "siblings drawn independently from one q",
    "distinct": "siblings drawn without replacement; q of each: what was left when it was drawn",
}
PARSERS: dict[type, tuple[Callable[[str], Any], str]] = {  # from a command line's string, and how to write it
    bool: (lambda s: {"true": True, "1": True, "false": False, "0": False}[s.lower()], "true | false"),
    tuple: (lambda s: tuple(int(i) for i in s.split(",") if i), "token ids, by comma"),
    dict: (lambda s: {int(k): float(v) for k, v in (i.split(":") for i in s.split(",") if i)},
           "token id:number, by comma"),
}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """One option of a method. The type is the default's; flags, fields and documentation come from here."""

    name: str
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    needed: bool = False  # the method is nothing without it
    unmeasured: int = 0  # what 0, "as many as pay", stands for where the cost of a run is not known
    function: bool = False  # from Python, a function may stand here instead
    local: bool = False  # names a file, a model or code of this machine, so a server takes none
    within: tuple[str, ...] = ()  # of those: values, or beginnings up to a colon, that a server takes

    @property
    def type(self) -> type:
        return type(self.default)

    @property
    def allowed(self) -> str:
        if self.type in PARSERS:
            return PARSERS[self.type][1]
        if self.choices:
            return " | ".join(map(str, self.choices))
        low = "" if self.low is None else f" from {self.low:g}"
        high = "" if self.high is None else f" to {self.high:g}"
        return f"{self.type.__name__}{low}{high}"

    def parse(self, value: Any) -> Any:
        """The value in the option's type. Raises ValueError with what is allowed."""
        if self.function and callable(value):
            return value
        try:
            parse = PARSERS[self.type][0] if isinstance(value, str) and self.type in PARSERS else self.type
            made = parse(value)
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"option {self.name} is {value!r}; allowed is {self.allowed}") from None
        fits = (self.low is None or made >= self.low) and (self.high is None or made <= self.high)
        if not fits or (self.choices and made not in self.choices):
            raise ValueError(f"option {self.name} is {value!r}; allowed is {self.allowed}")
        return made

    def reaches(self, value: Any) -> bool:
        """Whether the value names something of this machine."""
        begins = [word for word in self.within if word.endswith(":")]
        mine = value == self.default or value in self.within
        return self.local and not mine and not str(value).startswith(tuple(begins))


@dataclass(frozen=True)
class Card:
    """What a method is, and what it promises.

    `exact`: its text is the plain loop's, token for token when greedy and in law when sampling, and the laws
    of `anyorder.testing` hold it to that. `cost`: target runs and cells, in words; `departures`: where our
    method differs from its paper, and choices that the paper leaves open and that are ours.
    """

    name: str
    family: str
    paper: str
    exact: bool
    summary: str
    cost: str
    headline: str = ""  # what the paper reports
    nets: tuple[str, ...] = ("target",)
    options: tuple[Option, ...] = ()
    departures: tuple[str, ...] = ()
    temperature: float = 0.0  # what a request gets that names none
    revises: bool = False  # may write a cell of an any-order canvas twice
    local: bool = False  # runs code on this machine, so a server takes it from nobody
    kind: str = ""  # drafters: how their guesses are made (KINDS); "" for other methods
    canvas: str = "row"  # "row": grows at its end; "cells": any-order
    attention: tuple[str, ...] = ()  # any-order nets it runs on, by what their cells see; (): all

    def __post_init__(self) -> None:
        if self.family not in (*FAMILIES, SCORER):
            raise ValueError(f"card {self.name}: family is {self.family!r}; allowed is {', '.join(FAMILIES)}")

    def settle(self, given: Mapping[str, Any], measured: bool = False) -> dict[str, Any]:
        """All options with their values; `measured`: the cost of a run is known, so that what depends on it
        stays 0. Raises ValueError for unknown names and bad values."""
        known = {option.name: option for option in self.options}
        for name in given:
            if name not in known:
                there = ", ".join(known) or "none"
                what = SCORER if self.family == SCORER else "method"
                raise ValueError(
                    f"{what} {self.name} has no option {name!r}; its options: {there}; "
                    f"see: anyorder methods {self.name}"
                )
        values = {name: option.parse(given.get(name, option.default)) for name, option in known.items()}
        if not measured:
            values |= {o.name: o.unmeasured for o in self.options if o.unmeasured and values[o.name] == 0}
        return values


class Load(NamedTuple):
    """What the target's last run was busy with."""

    requests: int = 1
    cells: int = 1  # of all requests together


class Price(Protocol):
    """What a run of the target costs."""

    def __call__(self, k: float, batch: int = 1, context: int = 64) -> float:
        """Seconds of a run over k cells for each of `batch` requests with `context` tokens of text."""
        ...


@dataclass(frozen=True)
class Setting:
    """What a method's builder may know of the request besides its options."""

    greedy: bool = True  # temperature 0
    trusted: bool = True  # the request comes from who runs this machine, not through a server
    vocab: int = 1 << 62  # V of the target
    context: int = 1 << 62  # longest text of the target, tokens
    layers: int = 0  # blocks of the target; 0: not known
    eos: tuple[int, ...] = ()
    attention: str = ""  # what cells of an any-order target see; "": not known, or it writes left to right
    special: tuple[int, ...] = ()  # the tokenizer's tokens that stand for no text
    make: Callable[[str], Any] = lambda spec: None  # a drafter by its spec: name/option=value/option=value
    method: Callable[[str], Any] = lambda spec: None  # a method by its spec, written alike
    scorer: Callable[[Any], Any] = lambda what: None  # by its spec, or of a function of texts and prompt
    nets: list[tuple[str, Mapping[str, Any]]] = field(
        default_factory=list
    )  # what made methods and drafters need besides the target: net, options
    memory: dict[str, Any] = field(default_factory=dict)  # kept between requests by who loaded the model
    cost: Price | None = None  # of a run of the target; None: not measured
    costs: Mapping[str, Price] = field(default_factory=dict)  # other nets -> of their runs, if measured
    load: Callable[[], Load] = Load  # of the target's last run
    encode: Callable[[str], list[int]] | None = None  # text to token ids; None: no tokenizer is there
    spell: Callable[[Sequence[int]], str] = lambda tokens: " ".join(map(str, tokens))  # token ids to text
    spelling: str = ""  # tells tokenizers apart
    prompt: str | None = None  # as the user wrote it; None: it came as token ids
    forced: Callable[[Any, int], Sequence[int]] | None = None  # (canvas, row) -> what a constraint leaves no
    # choice about, most likely: guesses that cost no draft
