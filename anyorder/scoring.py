"""Scorers: what a search judges texts by. Likelihood, rewards, process rewards, classifiers.

One interface for all: a batch of prefixes in, one number for each out. A function of texts from Python
becomes a scorer by itself,

>>> def short(texts, prompt):
...     return [-len(text) for text in texts]
>>> model.generate("Why is the sky blue?", method="deal", reward=short)

and `anyorder/scorers/` holds those that have names. Whatever a scorer runs, it is guarded: an error, a number
that is none and a call that hangs end the request with a sentence and nothing else. The guard against hangs
is a thread, so a function is left running behind the sentence, and one that lets no other thread run (a loop
in C) cannot be left at all; the scorer `python` is a process of its own, which is killed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any, NamedTuple

from anyorder.card import Setting
from anyorder.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SECONDS = 60.0  # that a call may take


class Prefix(NamedTuple):
    """A text so far."""

    prompt: tuple[int, ...]  # token ids
    token: tuple[int, ...]  # generated so far
    logp: tuple[float, ...] = ()  # of each generated token under the target, if known
    ended: bool = False  # nothing follows: end of text, a stop string or the budget
    hidden: Tensor | None = None  # [D] the target's state at the last token, for scorers that want it


Score = Callable[[Sequence[Prefix]], Sequence[float]]
OfTexts = Callable[[list[str], str], Sequence[float]]  # (texts, prompt) -> a number for each text


@dataclass(frozen=True)
class Scorer:
    """`score` judges a batch of prefixes; higher is better. Calling it guards that."""

    score: Score
    name: str = "reward"
    hidden: bool = False  # wants `Prefix.hidden`
    seconds: float = SECONDS
    bounds: tuple[float, float] | None = None  # where its numbers lie, if known; (0, 1): a share, a chance

    def __call__(self, prefixes: Sequence[Prefix]) -> list[float]:
        """One number for each prefix. Raises UserError for an error, a hang, NaN or another count."""
        if not prefixes:
            return []
        said = self._in_time(prefixes)
        try:
            numbers = [float(x) for x in said]
        except (TypeError, ValueError):
            raise UserError(
                f"{self.name} returned {brief(said)}; allowed is a list of one number a text; correct it"
            ) from None
        if len(numbers) != len(prefixes):
            raise UserError(
                f"{self.name} returned {len(numbers)} numbers for {len(prefixes)} texts; "
                "allowed is one for each; correct it"
            )
        if any(x != x for x in numbers):
            raise UserError(f"{self.name} returned NaN; allowed are numbers that can be compared; correct it")
        return numbers

    def _in_time(self, prefixes: Sequence[Prefix]) -> Any:
        """What `score` says. A call that hangs is left behind in a thread that nobody waits for."""
        said: list[Any] = []
        raised: list[BaseException] = []

        def call() -> None:
            try:
                answer = self.score(prefixes)
                said.append(list(answer) if isinstance(answer, Iterable) else answer)
            except BaseException as error:  # SystemExit too, which a thread would swallow
                raised.append(error)

        if self.seconds == float("inf"):
            call()
        else:
            thread = threading.Thread(target=call, daemon=True, name=f"scorer {self.name}")
            thread.start()
            thread.join(self.seconds)
        if raised and isinstance(raised[0], UserError | KeyboardInterrupt):
            raise raised[0]
        if raised:
            what = " ".join(f"{type(raised[0]).__name__}: {raised[0]}".split())
            raise UserError(f"{self.name} raised {what}; a reward returns numbers; correct it") from raised[0]
        if not said:
            raise UserError(
                f"{self.name} took more than {self.seconds:g} seconds for {len(prefixes)} texts; "
                "make it quicker or allow more seconds"
            )
        return said[0]


def asked(setting: Setting, prefix: Prefix) -> str:
    """The prompt, as the user wrote it if that is known."""
    return setting.spell(prefix.prompt) if setting.prompt is None else setting.prompt


def of_texts(
    score: OfTexts,
    setting: Setting,
    name: str,
    seconds: float = SECONDS,
    bounds: tuple[float, float] | None = None,
) -> Scorer:
    """A scorer of a function of texts and prompt."""

    def judge(prefixes: Sequence[Prefix]) -> Sequence[float]:
        return score([setting.spell(prefix.token) for prefix in prefixes], asked(setting, prefixes[0]))

    return Scorer(judge, name, seconds=seconds, bounds=bounds)


def of_function(score: OfTexts, setting: Setting) -> Scorer:
    """A scorer of a user's function."""
    return of_texts(score, setting, f"reward {getattr(score, '__name__', 'function')!r}")
