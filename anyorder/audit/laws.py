"""The eight laws of `anyorder.testing` as an audit applies them: all of them, whatever breaks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anyorder import registry
from anyorder.card import Card
from anyorder.testing.exactness import DoesNotApply, sampling_distances
from anyorder.testing.laws import LAWS, LawBroken, check_laws
from anyorder.testing.subject import Build, Nets, Subject, subject, toy_nets

SMALLER = (2, 1)  # what numbers are lowered to where there is too much to enumerate


@dataclass(frozen=True)
class Checked:
    """What the laws said."""

    broken: dict[int, str]  # law -> sentence
    unchecked: dict[int, str]  # law -> why it could not be applied
    tv: float | None = None  # law 3: the largest total variation of all verifiers; None: it does not apply
    texts: int = 0  # tokens of the enumerated texts, the longest


def checked(
    method: str | Build,
    card: Card | None = None,
    options: Mapping[str, Any] | None = None,
    nets: Nets = toy_nets,
    chosen: Collection[int] = tuple(LAWS),
) -> Checked:
    """Apply the laws, all by default. An error that is not about a law leaves that law unchecked.

    Law 3 follows every draw; where the options make too many of them, their numbers are lowered for it.
    """
    facts = registry.card(method) if isinstance(method, str) else card
    assert facts is not None, "a builder comes with its card"
    broken: dict[int, str] = {}
    unchecked: dict[int, str] = {}
    off: Mapping[str, tuple[int, float]] = {}
    for law in chosen:
        for given in _smaller(facts, dict(options or {}), law):
            unchecked.pop(law, None)
            try:
                if law == 3:
                    off = _distances(subject(method, card, given, nets))
                check_laws(method, card, options=given, nets=nets, laws=[law])
            except LawBroken as error:
                broken[law] = str(error)
            except Exception as error:  # whatever an outside method raises: said, and no verdict
                unchecked[law] = f"{type(error).__name__}: {error}"
                continue
            break
    worst = max((far for _, far in off.values()), default=None)
    return Checked(broken, unchecked, worst, max((length for length, _ in off.values()), default=0))


def _distances(tested: Subject) -> Mapping[str, tuple[int, float]]:
    """Of law 3; none where it does not apply, or where the method draws in a way that cannot be followed."""
    try:
        return sampling_distances(tested)
    except (DoesNotApply, AssertionError):  # the law itself says which of the two
        return {}


def _smaller(card: Card, options: dict[str, Any], law: int) -> Iterator[dict[str, Any]]:
    """The options, and for law 3 the same with ever smaller numbers."""
    yield options
    numbers = [option for option in card.options if option.type is int and option.low is not None]
    for most in SMALLER if law == 3 else ():
        values = {option.name: int(options.get(option.name, option.default)) for option in numbers}
        low = {option.name: int(option.low or 0) for option in numbers}
        yield options | {name: max(low[name], min(most, value)) for name, value in values.items()}
