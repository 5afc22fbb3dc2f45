"""What a benchmark remembers: runs, takes, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from anyorder.audit.ties import Divergence
from anyorder.bench.entries import Entry, Plan
from anyorder.bench.suites import Prompt


class Run(NamedTuple):
    """A batch of prompts decoded once by one row."""

    tokens: list[list[int]]  # of each prompt
    seconds: float
    runs: int  # of the target, each reading its weights once
    cells: int | None  # fed to the target; None: a peer does not count them
    forwards: int | None = None  # runs that each prompt took part in, of all prompts; None: not counted

    @property
    def written(self) -> int:
        """Tokens of all prompts."""
        return sum(map(len, self.tokens))

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.written / self.seconds


@dataclass(frozen=True)
class Take:
    """A run with its place in the benchmark and, for rows that claim the plain text, where texts part."""

    label: str
    prompts: tuple[int, ...]  # the batch: indices into the suite
    repeat: int
    run: Run
    divergences: tuple[Divergence | None, ...] = ()  # of each prompt; () where nothing is claimed


class Weights(NamedTuple):
    """What a row's target reads at each run."""

    precision: str
    size: float | None  # bytes; None: not known


@dataclass
class Measured:
    """What was measured, whole batches only. `stopped`: the user ended it early."""

    plan: Plan
    entries: list[Entry]
    prompts: list[Prompt]
    weights: Mapping[str, Weights]  # label ->
    takes: list[Take] = field(default_factory=list)
    stopped: bool = False
    noise: float | None = None  # of the target, if a divergence had to be judged
    prompt_tokens: list[int] = field(default_factory=list)  # of each prompt
    right: dict[tuple[str, int], float] = field(default_factory=dict)  # (label, prompt) -> share of repeats
    strict: dict[tuple[str, int], float] = field(default_factory=dict)  # the same, judged strictly

    @property
    def finished(self) -> int:
        """Prompts measured at least once by every row."""
        return len({prompt for take in self.takes for prompt in take.prompts})
