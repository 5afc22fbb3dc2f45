"""The eight laws every method passes, and `check_laws`, which applies them in one line.

>>> from anyorder.testing import check_laws
>>> check_laws("my_method")                             # registered, by name
>>> check_laws(build, card, options={"tokens": 2})      # or a builder: Setting, options -> Method

Everything runs on toy nets in float64 through the real loop. A law that does not apply says why in the
report; a broken one raises LawBroken, which carries its number.

1. dropping all caches between steps changes nothing; greedy exact methods can be restarted from the canvas
2. exact greedy methods give greedy's text, wherever end-of-text falls
3. exact sampling methods give the target's law on a tiny vocabulary: every outcome, exact weights
4. a request alone equals the same request in company
5. budget, end-of-text and stop strings are never exceeded, and only commits change the canvas
6. same seed, same transcript; a golden file, if one is named
7. stale reuse only where the card says inexact
8. runs and cells fed match the card's cost
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from anyorder.card import Card
from anyorder.testing.behaviour import alone_as_in_company, limits_hold, same_seed_same_transcript
from anyorder.testing.cost import cost_as_stated
from anyorder.testing.exactness import (
    DoesNotApply,
    caches_follow_the_text,
    greedy_text_wherever_eos_falls,
    sampling_law,
    stale_only_if_inexact,
)
from anyorder.testing.subject import Build, Nets, Subject, subject, toy_nets

LAWS: dict[int, Callable[[Subject], str]] = {
    1: caches_follow_the_text,
    2: greedy_text_wherever_eos_falls,
    3: sampling_law,
    4: alone_as_in_company,
    5: limits_hold,
    6: same_seed_same_transcript,
    7: stale_only_if_inexact,
    8: cost_as_stated,
}


class LawBroken(AssertionError):
    """`.law` is the number of the law."""

    def __init__(self, law: int, card: Card, why: object):
        name = LAWS[law].__name__.replace("_", " ")
        super().__init__(f"law {law}, {name}: broken by {card.name}: {why}")
        self.law = law


def check_laws(
    method: str | Build,
    card: Card | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    nets: Nets = toy_nets,
    laws: Collection[int] = tuple(LAWS),
    golden: Path | None = None,
) -> dict[int, str]:
    """Apply the laws; number -> what was checked, or why it does not apply. Raises LawBroken.

    `nets`: (card, V) -> the nets to run on, fresh ones at every call. `golden`: the file of law 6.
    """
    tested = subject(method, card, options, nets)
    report = {}
    for law in laws:
        try:
            if law == 6 and golden is not None:
                report[law] = same_seed_same_transcript(tested, golden)
            else:
                report[law] = LAWS[law](tested)
        except DoesNotApply as reason:
            report[law] = f"does not apply: {reason}"
        except AssertionError as error:
            raise LawBroken(law, tested.card, error) from error
    return report
