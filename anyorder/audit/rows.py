"""What is audited: a method of ours by its row's name, or any builder with a card; and the plain loop.

Both get the same shaping, constraints and canvas, so a method is held to what it says with these options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from anyorder import registry
from anyorder.api import Model
from anyorder.bench.entries import Entry, Plan, attention, entries, fills, named, runs_on
from anyorder.card import Card, Setting
from anyorder.core.decode import Request
from anyorder.core.types import Net
from anyorder.errors import UserError
from anyorder.testing.subject import Build, Nets, toy_nets

STATIC = "static"  # the plain loop of any-order decoding
TEMPERATURE = "temperature"


@dataclass(frozen=True)
class Row:
    """A method under audit. `build`: None for registered methods."""

    label: str
    card: Card
    own: Mapping[str, Any] = field(default_factory=dict)  # the method's options
    shared: Mapping[str, Any] = field(default_factory=dict)  # what the plain loop gets, too
    build: Build | None = None
    nets: Nets = toy_nets  # that the laws run on
    others: Mapping[str, Net] = field(default_factory=dict)  # a builder's nets beside the target

    @property
    def cells(self) -> bool:
        return self.card.canvas == "cells"

    @property
    def heat(self) -> float | None:
        """A temperature of the row's own."""
        return self.shared.get(TEMPERATURE)

    @property
    def loop(self) -> bool:
        """Whether there is a plain loop to compare with. A grid has none."""
        return self.card.family != "visual"

    @property
    def law(self) -> tuple[Any, ...]:
        """What `laws.checked` takes. Files and models of this machine say nothing to toy nets."""
        local = {option.name for option in self.card.options if option.local}
        own = {name: value for name, value in self.own.items() if name not in local}
        return self.build or self.card.name, self.card if self.build else None, own, self.nets

    def request(self, model: Model, prompt: Sequence[int], **asked: Any) -> Request:
        """The method's request. Raises UserError."""
        if self.build is None:
            return model.request(prompt, self.card.name, **{**asked, **self.shared, **self.own})
        request = self.plain(model, prompt, **asked)
        heat = asked[TEMPERATURE] if self.heat is None else self.heat
        target = model.target
        setting = Setting(
            greedy=heat == 0, vocab=target.vocab, context=target.context, eos=model.eos, memory=model.memory
        )
        own = self.card.settle(self.own)
        request.method = self.build(setting, **own)
        missing = [name for name in self.card.nets[1:] if name not in self.others]
        request.nets = {**request.nets, **self.others, **{name: model.net(name, own) for name in missing}}
        return request

    def plain(self, model: Model, prompt: Sequence[int], **asked: Any) -> Request:
        """The plain loop's request. Raises UserError."""
        heat = asked[TEMPERATURE] if self.heat is None else self.heat
        if not self.cells:
            return model.request(prompt, "sample" if heat else "greedy", **{**asked, **self.shared})
        steps = {o.name for o in registry.options(STATIC)}
        given = {name: value for name, value in self.own.items() if name in steps}
        return model.request(prompt, STATIC, **{**asked, **self.shared, **given})


def row_of(entry: Entry) -> Row:
    """A named row. Raises UserError for what is no method of ours."""
    if entry.peer or entry.parts:
        what = "a mix" if entry.parts else "another library"
        raise UserError(
            f"--methods names {entry.label}, which is {what}; allowed are methods of ours; see: anyorder "
            "methods; --against audits transformers or an endpoint"
        )
    mine = {option.name for option in registry.options(entry.method)}
    own = {name: value for name, value in entry.options.items() if name in mine}
    rest = {name: value for name, value in entry.options.items() if name not in mine}
    return Row(entry.label, registry.card(entry.method), own, rest)


def built(method: str | Build, card: Card | None, options: Mapping[str, Any], **given: Any) -> Row:
    """A row of a registered method or of a builder with its card. Raises UserError."""
    if not isinstance(method, str):
        assert card is not None, "a builder comes with its card"
        return Row(card.name, card, dict(options), build=method, **given)
    try:
        registry.card(method)
    except ValueError as error:
        raise UserError(str(error)) from error
    return replace(row_of(Entry(method, method, dict(options))), **given)


def rows_of(methods: str | None, plan: Plan) -> list[Row]:
    """The rows that were asked for. None: all that claim exactness and run on the model without being told
    more; "all": those that claim nothing, too. Raises UserError."""
    if methods in (None, "all"):
        names = [card.name for card in registry.cards().values() if _runs(card, plan.model)]
        chosen = [name for name in names if methods == "all" or registry.card(name).exact]
        return [row_of(Entry(name, name)) for name in chosen]
    assert methods is not None
    asked = [name for part in methods.split(",") for name in named(part.strip(), plan.model) if name]
    if not asked:
        raise UserError("--methods is empty; allowed are methods by comma, all or all-speculative; name one")
    found = entries(Plan(methods=",".join(asked), model=plan.model))
    plain = STATIC if fills(asked) else "greedy"
    return [row_of(entry) for entry in found if entry.label != plain or plain in asked]


def _runs(card: Card, model: str) -> bool:
    """Whether a model runs a method that is told nothing."""
    kind = attention(model)
    fits = bool(kind) if card.canvas == "cells" else kind in ("", "hybrid")
    return fits and runs_on(card, kind) and not any(option.needed for option in card.options)


def same_text(row: Row, flipped: bool) -> bool:
    """Whether the draws of a seed are the plain loop's, token for token. A verifier that tosses coins follows
    the law in another way."""
    if not row.card.exact:
        return False
    matches = bool(row.card.kind) and row.own.get("verify", "auto") in ("auto", "match") and not flipped
    return row.cells or row.card.name == "sample" or matches
