"""What an audit found of one method: broken laws, texts at temperature 0, draws, and what follows from them.

The same three parts are asked of our own methods, of transformers' assisted generation and of an endpoint on
the other side of a network, so all of them end in the same table.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

EXACT = "exact"
UP_TO_TIES = "exact up to ties"
NOT_EXACT = "not exact"
AS_SAID = "inexact, as its card says"
UNCHECKED = "could not be checked"

LEAST_P = (
    1e-4  # a drawn test whose p-value is lower is a failure: one false alarm in ten thousand sound tests
)
MOST_TV = 1e-6  # total variation allowed where outcomes were enumerated and not drawn


@dataclass(frozen=True)
class Token:
    """A token and how it reads; id None: the text had ended there, or the token's id is not known."""

    id: int | None
    text: str


@dataclass(frozen=True)
class Found:
    """A place where a method wrote something else than the plain loop writes after the same text."""

    prompt: int  # number of the prompt in the suite, from 0
    position: int  # generated tokens before it
    expected: Token  # the plain loop's
    emitted: Token  # the method's
    margin: float | None  # how far apart the two are, in logits; None: nothing to measure, as at an end
    noise: float | None  # how far rounding moves such a difference; None: not measured
    verdict: str  # "tie", "bug", or, of an endpoint that tells no logprobs, "unknown"


@dataclass(frozen=True)
class Greedy:
    """Texts at temperature 0 against the plain loop's choice at each place."""

    prompts: int
    equal: int  # texts without any divergence
    ties: int  # divergences that rounding explains
    bugs: int  # divergences that it does not
    divergences: tuple[Found, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """Draws against the target's law."""

    tv: float | None  # total variation of the outcomes' distribution from the target's law; None: not counted
    p_value: float | None  # of a drawn test; None: outcomes were enumerated
    draws: int  # samples, or enumerated transcripts
    same_seed: bool | None  # does one seed write one text; None: not asked
    what: str  # what was tested, in words
    texts: Greedy | None = None  # texts drawn with a seed against the plain loop's draws; None: not promised

    @property
    def sound(self) -> bool:
        """Nothing found against it."""
        counted = self.tv is None or self.tv <= MOST_TV
        follows = counted if self.p_value is None else self.p_value >= LEAST_P
        return follows and self.same_seed is not False and (self.texts is None or not self.texts.bugs)


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of one method."""

    method: str
    of: str  # "anyorder", "transformers" or "endpoint"
    claims: bool  # does it say that it is exact
    laws: dict[int, str] = field(default_factory=dict)  # broken laws, each with a sentence
    greedy: Greedy | None = None
    sampling: Sampling | None = None
    verdict: str = UNCHECKED
    why: str = ""

    @property
    def alarm(self) -> bool:
        """It says that it is exact, and is not."""
        return self.claims and self.verdict == NOT_EXACT

    def figures(self) -> dict[str, Any]:
        """Everything as JSON can say it."""
        return asdict(self)


def judge(
    method: str,
    of: str,
    claims: bool,
    laws: dict[int, str] | None = None,
    greedy: Greedy | None = None,
    sampling: Sampling | None = None,
    why: str = "",
    failed: str = "",
) -> Verdict:
    """The verdict that follows from what was found. Nothing found where nothing was looked at is no verdict.

    `why` goes before the reason given here. `failed`: why not everything was looked at.
    """
    broken = dict(laws or {})
    texts = [part for part in (greedy, sampling and sampling.texts) if part]
    bugs = sum(part.bugs for part in texts)
    wrong = []
    if broken:
        wrong.append("breaks " + ", ".join(f"law {law}" for law in sorted(broken)))
    if bugs:
        wrong.append(f"{bugs} {'place' if bugs == 1 else 'places'} that rounding does not explain")
    if sampling and not sampling.sound and not (sampling.texts and sampling.texts.bugs):
        wrong.append(
            "draws do not follow the target" if sampling.same_seed is not False else "one seed, two texts"
        )
    if wrong:
        said, reason = (NOT_EXACT if claims else AS_SAID), "; ".join(wrong)
    elif failed:
        said, reason = UNCHECKED, failed
    elif not texts and sampling is None and laws is None:
        said, reason = UNCHECKED, "nothing of it was checked"
    elif not claims:
        said, reason = AS_SAID, "nothing was found against it here, and it claims nothing"
    elif any(part.ties for part in texts):
        ties = sum(part.ties for part in texts)
        said, reason = UP_TO_TIES, f"{ties} {'tie' if ties == 1 else 'ties'}, explained by rounding"
    else:
        said, reason = EXACT, ""
    return Verdict(method, of, claims, broken, greedy, sampling, said, why or reason)
