"""What a task asks of a generation (lm-eval's gen_kwargs), as options of a request.

A task's word goes before the model's arguments. Nothing is ignored: what no request knows is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from anyorder.errors import UserError

LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # lm-eval's order
KNOWN = ("until", *LENGTHS, "do_sample", "temperature", "seed")


@dataclass(frozen=True)
class Wanted:
    """How a text is to be written."""

    tokens: int | None = None  # at most; None: the model's own number of cells
    temperature: float | None = None  # None: the method's
    seed: int = 0
    stop: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # of shaping, the canvas and the method


def wanted(given: Mapping[str, Any], usual: Wanted, allowed: Collection[str]) -> Wanted:
    """`given`: a task's gen_kwargs; `usual`: what the model's arguments say; `allowed`: names of options.
    Raises UserError.

    >>> wanted({"until": "\\n", "do_sample": False, "top_k": 5}, Wanted(temperature=0.8), {"top_k"})
    Wanted(tokens=None, temperature=0.0, seed=0, stop=('\\n',), options={'top_k': 5})
    """
    unknown = [name for name in given if name not in (*KNOWN, *allowed)]
    if unknown:
        known = dict.fromkeys((*KNOWN, *sorted(allowed)))
        raise UserError(
            f"gen_kwargs name {', '.join(unknown)}; allowed are {', '.join(known)}; "
            "leave out what is not among them"
        )
    until = given.get("until") or ()
    stop = (until,) if isinstance(until, str) else tuple(until)
    if not all(isinstance(text, str) for text in stop):
        raise UserError(f"gen_kwargs have until={until!r}; allowed is a text or a list of texts; write those")
    lengths = [given[name] for name in LENGTHS if given.get(name) is not None]
    own = {name: value for name, value in given.items() if name in allowed and name not in KNOWN}
    return replace(
        usual,
        tokens=_whole("max_gen_toks", lengths[0]) if lengths else usual.tokens,
        temperature=_temperature(given, usual.temperature),
        seed=_whole("seed", given["seed"]) if given.get("seed") is not None else usual.seed,
        stop=tuple(filter(None, stop)),
        options={**usual.options, **own},
    )


def _temperature(given: Mapping[str, Any], usual: float | None) -> float | None:
    """`do_sample` false is temperature 0; true, with no temperature named, is 1, as in transformers."""
    named = given.get("temperature")
    draws = given.get("do_sample")
    if draws is not None and not isinstance(draws, bool):
        raise UserError(f"gen_kwargs have do_sample={draws!r}; allowed is true or false; write one of them")
    if draws is False:
        return 0.0
    if named is None:
        return 1.0 if draws and usual is None else usual
    try:
        return float(named)
    except (TypeError, ValueError):
        raise UserError(
            f"gen_kwargs have temperature={named!r}; allowed is a number from 0; write one"
        ) from None


def _whole(name: str, value: Any) -> int:
    try:
        if int(value) == float(value):
            return int(value)
    except (TypeError, ValueError):
        pass
    raise UserError(f"gen_kwargs have {name}={value!r}; allowed is a whole number; write one")
