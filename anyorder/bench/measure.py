"""Measuring: every prompt by the plain loop and by each method in turn, in one process.

A run's seconds go from the prompt's token ids to its last token: building the method and reading the prompt
are in them, for everybody. Nets forget before each run, so that no method profits from what another left in
a cache. What a drafter remembers between prompts (Token Recycling's matrix) belongs to its row alone, is
kept from prompt to prompt and emptied between repeats, so that repeats are alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from anyorder.api import Model, load
from anyorder.audit.ties import POSITIONS, PREFIX, Divergence, Judge, forget
from anyorder.bench.entries import Entry, Plan
from anyorder.bench.peer import Peer
from anyorder.bench.suites import Prompt, read_suite
from anyorder.core.decode import decode
from anyorder.errors import UserError

WARM = 8  # tokens of the run before the first measured one
PASSAGES = ("summarization", "qa")  # of our own suite, for measuring noise: the long ones

Tell = Callable[[str], None]


class Run(NamedTuple):
    """One prompt decoded once by one row."""

    tokens: list[int]
    seconds: float
    runs: int | None  # of the target; None: a peer does not count them
    cells: int | None


@dataclass(frozen=True)
class Take:
    """A run with its place in the benchmark and, for rows that claim the plain text, its first divergence."""

    label: str
    prompt: int  # index into the suite
    repeat: int
    run: Run
    divergence: Divergence | None = None


@dataclass
class Measured:
    """What was measured, whole prompts only. `stopped`: the user ended it early."""

    plan: Plan
    entries: list[Entry]
    prompts: list[Prompt]
    takes: list[Take] = field(default_factory=list)
    stopped: bool = False
    noise: float | None = None  # of the target, if a divergence had to be judged
    prompt_tokens: list[int] = field(default_factory=list)  # of each prompt

    @property
    def finished(self) -> int:
        """Prompts measured at least once by every row."""
        return len({take.prompt for take in self.takes})


def prepare(plan: Plan, rows: Sequence[Entry], prompts: Sequence[Prompt]) -> Bench:
    """Load what the rows need. Raises UserError."""
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    model = load(plan.model, precision=plan.precision)
    peer = Peer(plan.model, plan.precision, model.eos) if any(row.peer for row in rows) else None
    return Bench(model, rows, prompts, plan, peer)


class Bench:
    """A model, the rows and the prompts, ready to be measured."""

    def __init__(
        self,
        model: Model,
        rows: Sequence[Entry],
        prompts: Sequence[Prompt],
        plan: Plan,
        peer: Peer | None = None,
    ):
        """Raises UserError for a prompt that does not fit into the model."""
        self.model, self.plan, self.peer = model, plan, peer
        self.rows, self.prompts = list(rows), list(prompts)
        self.ids = [self._encode(prompt) for prompt in prompts]
        self.judge = Judge(model.target, self._passages(), plan.temperature, plan.seed)

    @property
    def total(self) -> int:
        """Runs to be measured."""
        return len(self.rows) * len(self.prompts) * self.plan.repeat

    def spell(self, token: int) -> str:
        """A token as text, special ones included."""
        return self.model.tokenizer.decode([token])

    def _encode(self, prompt: Prompt) -> list[int]:
        ids = self.model.encode(prompt.text, prompt.chat)
        if len(ids) + self.plan.max_tokens > self.model.target.context:
            raise UserError(
                f"prompt {prompt.id} of suite {self.plan.suite} has {len(ids)} tokens and "
                f"{self.plan.max_tokens} are asked for; {self.model.name} holds {self.model.target.context} "
                "in all; lower --max-tokens or take it out"
            )
        return ids

    def _passages(self) -> list[list[int]]:
        """Real text for the judge, without a chat template."""
        most = min(PREFIX + POSITIONS, self.model.target.context - 1)
        texts = [p.text for p in read_suite("quick", first=2) if p.category in PASSAGES]
        return [self.model.encode(text, chat=False)[:most] for text in texts]

    def run(self, entry: Entry, ids: list[int], max_tokens: int, memory: dict[str, Any]) -> Run:
        """Decode one prompt. `memory` is what the row's drafter remembers."""
        plan = self.plan
        if entry.peer:
            assert self.peer is not None, "a peer row needs the peer"
            start = time.perf_counter()
            tokens = self.peer.generate(ids, max_tokens, plan.temperature, plan.seed)
            return Run(tokens, time.perf_counter() - start, None, None)
        before, self.model.memory = self.model.memory, memory
        forget([self.model.target])
        try:
            start = time.perf_counter()
            request = self.model.request(
                ids, entry.method, max_tokens=max_tokens, temperature=plan.temperature, seed=plan.seed,
                **entry.options,
            )  # fmt: skip
            for _ in decode([request]):
                pass
            seconds = time.perf_counter() - start
        finally:
            self.model.memory = before
        result = self.model.result(request, entry.method, seconds)
        forget(request.nets.values())
        return Run(result.token_ids, seconds, result.runs, result.cells)

    def warm_up(self) -> None:
        """One short run of each row that is not counted: imports, draft nets, first allocations."""
        for entry in self.rows:
            self.run(entry, self.ids[0], min(WARM, self.plan.max_tokens), {})

    def measure(self, tell: Tell = lambda label: None) -> Measured:
        """Run everything; `tell` hears each row's label when its run is done. Ctrl-C keeps whole prompts."""
        measured = Measured(self.plan, self.rows, self.prompts, prompt_tokens=[len(ids) for ids in self.ids])
        try:
            self.warm_up()
            for repeat in range(self.plan.repeat):
                memories: dict[str, dict[str, Any]] = {entry.label: {} for entry in self.rows}
                for prompt in range(len(self.prompts)):
                    measured.takes += self._prompt(prompt, repeat, memories, tell)
        except KeyboardInterrupt:
            measured.stopped = True
        measured.noise = vars(self.judge).get("noise")  # measured only if it was needed
        return measured

    def _prompt(
        self, prompt: int, repeat: int, memories: dict[str, dict[str, Any]], tell: Tell
    ) -> list[Take]:
        """One prompt by every row, the plain loop first."""
        ids = self.ids[prompt]
        takes: list[Take] = []
        for entry in self.rows:
            run = self.run(entry, ids, self.plan.max_tokens, memories[entry.label])
            plain = takes[0].run.tokens if takes else run.tokens
            parted = self.judge.compare(ids, plain, run.tokens) if entry.claim == "text" else None
            takes.append(Take(entry.label, prompt, repeat, run, parted))
            tell(entry.label)
        return takes
