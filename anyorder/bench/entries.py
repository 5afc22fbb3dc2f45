"""What is compared: the plan of a benchmark, and its rows as the user names them.

A row is `name` or `name:option=value:option=value`; commas separate rows, and a `+` in a value stands for a
comma: `merged:drafters=prompt_lookup+jacobi`. The plain loop always comes first. Peers are other libraries
on the same weights and prompts; nothing is claimed about their text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from anyorder import registry
from anyorder.errors import UserError

PEERS = ("transformers",)
METHODS = "transformers,prompt_lookup,token_recycling"  # what is compared when nothing is asked for


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
    temperature: float = 0.0
    seed: int = 0
    threads: int | None = None  # None: what torch chooses
    out: str | None = None

    def __post_init__(self) -> None:
        for name in ("max_tokens", "prompts", "repeat", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag} is {value}; allowed is 1 or more; choose a larger number")
        if self.temperature < 0:
            raise UserError(f"--temperature is {self.temperature}; allowed is 0 or more; 0 is greedy")

    @property
    def command(self) -> str:
        """The command line that measures this again."""
        words = ["anyorder", "bench"]
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "methods" or value != f.default:
                words += ["--" + f.name.replace("_", "-"), str(value)]
        return shlex.join(words)


@dataclass(frozen=True)
class Entry:
    """One row to be measured.

    `claim`: "text" (the plain loop's, token for token), "law" (its law only, so texts may differ) or None.
    """

    label: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    claim: str | None = None

    @property
    def peer(self) -> bool:
        return self.method in PEERS

    @property
    def exact(self) -> bool:
        return not self.peer and registry.card(self.method).exact


def entries(plan: Plan) -> list[Entry]:
    """The rows of a plan, the plain loop first. Raises UserError for what is unknown or named twice."""
    plain = "sample" if plan.temperature else "greedy"
    rows = [Entry(plain, plain, claim="text")]
    for spec in filter(None, (part.strip() for part in plan.methods.split(","))):
        row = _entry(spec, plan.temperature)
        if row.label in [r.label for r in rows[1:]]:
            raise UserError(
                f"--methods names {spec} twice; a row is measured once; use --repeat to measure again"
            )
        if row.label != plain:
            rows.append(row)
    return rows


def _entry(spec: str, temperature: float) -> Entry:
    name, *settings = re.split(r":(?=[a-z_]+=)", spec)  # a value may contain a colon
    options: dict[str, Any] = {}
    if ":" in name or (name in PEERS and settings):
        raise UserError(
            f"--methods got {spec!r}; allowed is name:option=value:option=value, and no option for peers"
        )
    if name in PEERS:
        return Entry(spec, name)
    try:
        card = registry.card(name)
        known = {option.name: option for option in registry.options(name)}
        for setting in settings:
            key, _, value = setting.partition("=")
            if key not in known:
                card.settle({key: value})  # says which options there are
            text = known[key].type is str
            options[key] = known[key].parse(value.replace("+", ",") if text else value)
    except ValueError as error:
        hint = f"; peers are {', '.join(PEERS)}" if name not in registry.cards() else ""
        raise UserError(f"--methods: {error}{hint}") from error
    return Entry(spec, name, options, _claim(name, options, temperature))


def _claim(name: str, options: Mapping[str, Any], temperature: float) -> str | None:
    """What the method claims. When sampling, only the verifier `match` draws the plain loop's very text."""
    card = registry.card(name)
    if not card.exact or (temperature and name == "greedy"):
        return None
    matches = bool(card.kind) and options.get("verify", "auto") in ("auto", "match")
    return "text" if not temperature or name == "sample" or matches else "law"
