"""`anyorder methods [NAME]`: the cards, read without importing torch."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from anyorder import registry
from anyorder.card import FAMILIES, KINDS, Card
from anyorder.errors import UserError


def described(name: str) -> dict[str, Any]:
    """A card as plain data."""
    card = registry.card(name)
    return {
        "name": card.name, "family": card.family, "paper": card.paper, "exact": card.exact,
        "nets": list(card.nets), "summary": card.summary, "cost": card.cost,
        "options": [
            {"name": o.name, "default": o.default, "allowed": o.allowed, "help": o.help}
            for o in registry.options(name)
        ],
        "departures": list(card.departures),
    }  # fmt: skip


def methods(
    name: Annotated[str | None, typer.Argument(help="one method, in full")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Every decoding method: what it is, its paper, exact or not, what it needs, its options."""
    if name is not None:
        try:
            card = registry.card(name)
        except ValueError as error:
            raise UserError(str(error)) from error
        print(json.dumps([described(name)]) if as_json else page(card))
    elif as_json:
        print(json.dumps([described(n) for n in registry.cards()]))
    else:
        table()


def table() -> None:
    """All methods by family, one line each."""
    cards = registry.cards().values()
    width = max(len(card.name) for card in cards)
    for family in FAMILIES:
        mine = [card for card in cards if card.family == family]
        if mine:
            print(f"\n{family}")
        for card in mine:
            exact = "exact" if card.exact else "     "
            print(f"  {card.name:<{width}}  {exact}  {card.paper:<16}  {card.summary}")
    print("\none method in full: anyorder methods NAME")


def page(card: Card) -> str:
    """One card as text."""
    lines = [
        f"{card.name}: {card.summary}", "",
        f"family   {card.family}", f"paper    {card.paper}",
        f"exact    {'yes' if card.exact else 'no'}", f"nets     {', '.join(card.nets)}",
        f"cost     {card.cost}",
    ]  # fmt: skip
    if card.kind:
        lines.append(f"drafts   {card.kind}: {KINDS[card.kind]}")
    for option in registry.options(card.name):
        lines += ["", f"  {option.name} = {option.default!r}  ({option.allowed})", f"      {option.help}"]
    if card.departures:
        lines += ["", "departures from the paper:", *(f"  - {d}" for d in card.departures)]
    return "\n".join(lines)
