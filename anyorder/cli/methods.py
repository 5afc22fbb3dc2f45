"""`anyorder methods [NAME]`: the cards, read without importing torch."""

from __future__ import annotations

import difflib
import json
from typing import Annotated, Any

import typer

from anyorder import registry
from anyorder.card import FAMILIES, KINDS, SCORER, Card, Option
from anyorder.errors import UserError


def found(name: str) -> Card:
    """The card of a method or a scorer. Raises UserError."""
    if name in registry.scorers():
        return registry.scorers()[name]
    try:
        return registry.card(name)
    except ValueError as error:
        near = difflib.get_close_matches(name, registry.scorers(), n=1)
        if "did you mean" in str(error) or not near:
            raise UserError(str(error)) from error
        raise UserError(
            f"unknown method or scorer {name!r}; did you mean {near[0]!r}? see: anyorder methods"
        ) from error


def options(card: Card) -> tuple[Option, ...]:
    """Every option that may be given."""
    return card.options if card.family == SCORER else registry.options(card.name)


def described(card: Card) -> dict[str, Any]:
    """A card as plain data."""
    return {
        "name": card.name, "family": card.family, "paper": card.paper, "exact": card.exact,
        "nets": list(card.nets), "summary": card.summary, "cost": card.cost,
        "options": [
            {"name": o.name, "default": o.default, "allowed": o.allowed, "help": o.help}
            for o in options(card)
        ],
        "departures": list(card.departures),
    }  # fmt: skip


def methods(
    name: Annotated[str | None, typer.Argument(help="one method or scorer, in full")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Every decoding method: what it is, its paper, exact or not, what it needs, its options. And the
    scorers, by which searches judge texts."""
    if name is not None:
        card = found(name)
        print(json.dumps([described(card)]) if as_json else page(card))
    elif as_json:
        print(json.dumps([described(card) for card in registry.cards().values()]))
    else:
        table()


def table() -> None:
    """All methods by family, one line each, and the scorers."""
    cards = registry.cards().values()
    width = max(len(card.name) for card in cards)
    for family in FAMILIES:
        mine = [card for card in cards if card.family == family]
        if mine:
            print(f"\n{family}")
        for card in mine:
            exact = "exact" if card.exact else "     "
            print(f"  {card.name:<{width}}  {exact}  {card.paper:<16}  {card.summary}")
    print("\nscorers, by which searches judge texts; NAME/option=value/option=value")
    for card in registry.scorers().values():
        print(f"  {card.name:<{width}}         {card.paper:<16}  {card.summary}")
    print("\none method in full: anyorder methods NAME")


def page(card: Card) -> str:
    """One card as text."""
    lines = [f"{card.name}: {card.summary}", "", f"family   {card.family}"]
    if card.family != SCORER:
        lines += [
            f"paper    {card.paper}", f"exact    {'yes' if card.exact else 'no'}",
            f"nets     {', '.join(card.nets)}", f"cost     {card.cost}",
        ]  # fmt: skip
    if card.kind:
        lines.append(f"drafts   {card.kind}: {KINDS[card.kind]}")
    for option in options(card):
        lines += ["", f"  {option.name} = {option.default!r}  ({option.allowed})", f"      {option.help}"]
    if card.departures:
        lines += ["", "departures from the paper:", *(f"  - {d}" for d in card.departures)]
    return "\n".join(lines)
