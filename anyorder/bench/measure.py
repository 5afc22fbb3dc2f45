"""Measuring: every batch of prompts by the plain loop and by each row in turn, in one process.

A run's seconds go from the prompts' token ids to the last token: building the methods and reading the
prompts are in them, for everybody. Nets forget before each run, so that no method profits from what another
left in a cache. What a drafter remembers between prompts (Token Recycling's matrix) belongs to its row alone,
is kept from batch to batch and emptied between repeats, so that repeats are alike.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from anyorder.api import Model, load
from anyorder.audit.ties import POSITIONS, PREFIX, Divergence, Judge, first_difference, forget
from anyorder.bench import llama, quality
from anyorder.bench.entries import Entry, Plan
from anyorder.bench.peer import peers
from anyorder.bench.record import Measured, Run, Take
from anyorder.bench.suites import Prompt, read_suite
from anyorder.bench.weights import weights_of
from anyorder.core.decode import Request, decode
from anyorder.core.types import Net
from anyorder.errors import UserError

WARM = 8  # tokens of the run before the first measured one
LONG = 1024  # tokens of a plain run from which on it is worth measuring what runs cost
PASSAGES = ("summarization", "qa")  # of our own suite, for measuring noise: the long ones

Tell = Callable[[str], None]


def prepare(plan: Plan, rows: Sequence[Entry], prompts: Sequence[Prompt]) -> Bench:
    """Load what the rows need. Raises UserError."""
    llama.check(plan, rows)
    quality.check(prompts)
    return Bench(load(plan.model, precision=plan.precision), rows, prompts, plan)


def most(prompt: Prompt, max_tokens: int) -> int:
    """Most tokens that are written for a prompt."""
    return min(max_tokens, prompt.cells or max_tokens)


def passages(model: Model) -> list[list[int]]:
    """Real text for the judge, without a chat template."""
    most = min(PREFIX + POSITIONS, model.target.context - 1)
    if model.filler is model.target:
        return []  # not asked for what comes next; what parts counts as a bug
    texts = [p.text for p in read_suite("quick", first=2) if p.category in PASSAGES]
    return [model.encode(text, chat=False)[:most] for text in texts]


class Counted:
    """A net that counts the runs that answered: requests side by side share them."""

    def __init__(self, net: Any):
        self.net, self.runs = net, 0

    def __call__(self, asks: Any) -> Any:
        answers = self.net(asks)
        self.runs += any(answer is not None for answer in answers)  # else it only read a part of a prompt
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self.net, name)


class Bench:
    """A model, the rows and the prompts, ready to be measured."""

    def __init__(self, model: Model, rows: Sequence[Entry], prompts: Sequence[Prompt], plan: Plan):
        """Raises UserError for a prompt that does not fit into the model, and for a peer that cannot load."""
        self.model, self.plan = model, plan
        self.rows, self.prompts = list(rows), list(prompts)
        self.ids = [self._encode(prompt) for prompt in prompts]
        every = range(len(prompts))
        self.batches = [tuple(every[i : i + plan.batch]) for i in every[:: plan.batch]]
        self.peers = peers(plan, rows, model.eos, max(map(len, self.ids)) + plan.max_tokens)
        self.judge = Judge(model.target, passages(model), plan.temperature, plan.seed)

    @property
    def total(self) -> int:
        """Runs to be measured."""
        return len(self.rows) * len(self.batches) * self.plan.repeat

    @property
    def unpriced(self) -> bool:
        """Whether it is worth measuring first what runs cost, by which methods size their guesses."""
        writes = self.model.target is not self.model.filler  # else no method asks what guesses cost
        return writes and self.model.cost is None and len(self.prompts) * self.plan.max_tokens >= LONG

    def spell(self, token: int) -> str:
        """A token as text, special ones included."""
        return self.model.tokenizer.decode([token])

    def text(self, tokens: list[int]) -> str:
        """What a row wrote, special tokens left out."""
        return self.model.tokenizer.decode(tokens, skip_special_tokens=True)

    def _encode(self, prompt: Prompt) -> list[int]:
        ids = self.model.encode(prompt.text, prompt.chat)
        asked = most(prompt, self.plan.max_tokens)
        if len(ids) + asked > self.model.target.context:
            raise UserError(
                f"prompt {prompt.id} of suite {self.plan.suite} has {len(ids)} tokens and "
                f"{asked} are asked for; {self.model.name} holds {self.model.target.context} "
                "in all; lower --max-tokens or take it out"
            )
        return ids

    def run(self, entry: Entry, batch: Sequence[int], max_tokens: int, memory: dict[str, Any]) -> Run:
        """Decode prompts side by side. `memory` is what the row's drafter remembers."""
        if entry.label in self.peers:
            return self.peers[entry.label]([self.ids[i] for i in batch], max_tokens)
        counted = {net: Counted(net) for net in (self.model.target, self.model.filler) if net is not None}
        forget(counted)
        with self.remembering(memory):
            start = time.perf_counter()
            requests = [self.request(entry.of(i), i, max_tokens, counted) for i in batch]
            for _ in decode(deque(requests)):
                pass
            seconds = time.perf_counter() - start
        for request in requests:
            forget(request.nets.values())
        results = [self.model.result(r, entry.of(i).method, seconds) for r, i in zip(requests, batch)]
        tokens, cells = [result.token_ids for result in results], sum(result.cells for result in results)
        runs = sum(net.runs for net in counted.values())
        return Run(tokens, seconds, runs, cells, sum(result.runs for result in results))

    def request(
        self, entry: Entry, prompt: int, max_tokens: int, counted: Mapping[Net, Counted] | None = None
    ) -> Request:
        """A prompt of the suite as a row decodes it."""
        options = {"temperature": self.plan.temperature, **entry.options}
        request = self.model.request(
            self.ids[prompt], entry.method, max_tokens=most(self.prompts[prompt], max_tokens),
            seed=self.plan.seed, stop=self.prompts[prompt].stop, **options,
        )  # fmt: skip
        if counted is not None:
            request.nets = {**request.nets, "target": counted[request.nets["target"]]}
        return request

    @contextmanager
    def remembering(self, memory: dict[str, Any]) -> Iterator[None]:
        """What drafters keep between requests is kept there meanwhile."""
        before, self.model.memory = self.model.memory, memory
        try:
            yield
        finally:
            self.model.memory = before

    def warm_up(self) -> None:
        """One short run of each row that is not counted: imports, draft nets, first allocations."""
        for entry in self.rows:
            self.run(entry, self.batches[0], min(WARM, self.plan.max_tokens), {})

    def measure(self, tell: Tell = lambda label: None) -> Measured:
        """Run everything; `tell` hears each row's label when its run is done. Ctrl-C keeps whole batches."""
        own = weights_of(self.model.module, self.plan.precision)
        weights = {row.label: own for row in self.rows}
        weights |= {label: peer.weights for label, peer in self.peers.items()}
        measured = Measured(self.plan, self.rows, self.prompts, weights)
        measured.prompt_tokens = [len(ids) for ids in self.ids]
        try:
            self.warm_up()
            for repeat in range(self.plan.repeat):
                memories: dict[str, dict[str, Any]] = {entry.label: {} for entry in self.rows}
                for batch in self.batches:
                    measured.takes += self._batch(batch, repeat, memories, tell)
        except KeyboardInterrupt:
            measured.stopped = True
        try:
            measured.right = quality.judged(measured, self.text)
            measured.strict = quality.judged(measured, self.text, quality.STRICT)
        except KeyboardInterrupt:
            measured.stopped = True
        measured.noise = vars(self.judge).get("noise")  # measured only if it was needed
        return measured

    def _batch(
        self, batch: tuple[int, ...], repeat: int, memories: dict[str, dict[str, Any]], tell: Tell
    ) -> list[Take]:
        """One batch by every row, the plain loop first."""
        takes: list[Take] = []
        for entry in self.rows:
            run = self.run(entry, batch, self.plan.max_tokens, memories[entry.label])
            texts = zip(batch, (takes[0].run if takes else run).tokens, run.tokens, strict=True)
            parted = [self._parted(i, *both) for i, *both in texts if entry.claim == "text"]
            takes.append(Take(entry.label, batch, repeat, run, tuple(parted)))
            tell(entry.label)
        return takes

    def _parted(self, prompt: int, plain: Sequence[int], other: Sequence[int]) -> Divergence | None:
        """Where a text is not the plain loop's. Only a net that writes on can measure by how little."""
        if self.model.filler is not self.model.target:
            return self.judge.compare(self.ids[prompt], plain, other)
        place = first_difference(plain, other)
        if place is None:
            return None
        ends = [text[place] if place < len(text) else None for text in (plain, other)]
        return Divergence(place, ends[0], ends[1], None, None)
