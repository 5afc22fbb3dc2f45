"""The audit of our own methods: laws on toy nets, texts and draws on a real model.

>>> from anyorder import audit
>>> audit.of("prompt_lookup", model=anyorder.load()).verdict    # registered, by name
'exact'
>>> audit.of(build, card).verdict                               # or a builder: Setting, options -> Method
'not exact'

Every prompt is written by every row, alone, with nets that have forgotten what others wrote. Then that is
re-decoded (`redecode`, `filled`), equal beginnings once. Draws of prompt i have seed + i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from anyorder.api import Model
from anyorder.audit import laws, rows
from anyorder.audit.filled import Static, compare, refill
from anyorder.audit.redecode import Parted, Plain, Reading, reread
from anyorder.audit.rows import Row
from anyorder.audit.sampling import p_value
from anyorder.audit.ties import FACTOR, Judge, asked, forget
from anyorder.audit.verdict import Found, Greedy, Sampling, Token, Verdict, judge
from anyorder.bench.entries import Plan
from anyorder.bench.measure import most, passages
from anyorder.bench.suites import Prompt, read_suite
from anyorder.card import Card
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.types import Ask, Net, Written
from anyorder.testing.subject import Build, Nets, toy_nets

AGAIN = 2  # prompts that are drawn twice with one seed
FEW = 6  # prompts of a library call that names none
OURS = "anyorder"

Tell = Callable[[str], None]


@dataclass
class Noted:
    """A chance that notes whether the target's coins were tossed."""

    chance: Any
    flipped: bool = False

    @property
    def seed(self) -> int:
        return self.chance.seed

    def of(self, purpose: str) -> Any:
        own = self.chance.of(purpose)
        return self if own is self.chance else own

    def pick(self, *place: Any, **turn: Any) -> int:
        return self.chance.pick(*place, **turn)

    def flip(self, *place: Any, **turn: Any) -> bool:
        self.flipped = True
        return self.chance.flip(*place, **turn)


@dataclass(frozen=True)
class Text:
    """What a row wrote for a prompt."""

    row: Row
    tokens: list[int]
    commits: list[Written]
    flipped: bool


@dataclass
class Tally:
    """What re-decoding found of one row at one temperature."""

    prompts: int = 0
    parted: list[tuple[int, Parted]] = field(default_factory=list)  # with the prompt's number
    ranks: list[float] = field(default_factory=list)
    same: bool = True  # every token has to be the plain loop's; else only the law and where texts end
    same_seed: bool | None = None

    def add(self, prompt: int, reading: Reading) -> None:
        self.prompts += 1
        self.parted += [(prompt, one) for one in reading.parted]
        self.ranks += reading.ranks


class Audit:
    """A model, the rows and the prompts. `run` may be interrupted; `verdicts` tells what was found so far."""

    def __init__(self, model: Model | None, chosen: Sequence[Row], prompts: Sequence[Prompt], plan: Plan):
        """`model` None: only the laws. Of the plan max_tokens, temperature (0: no draws) and seed count."""
        self.model, self.rows, self.prompts, self.plan = model, list(chosen), list(prompts), plan
        self.laws: dict[str, laws.Checked] = {}
        self.tallies: dict[tuple[str, bool], Tally] = {}  # row and whether it drew
        self.memories: dict[tuple[str, bool], dict[str, Any]] = {}
        self.failed: dict[str, str] = {}  # row -> why it wrote nothing
        self.undrawn: dict[str, str] = {}  # row -> why it drew nothing
        self.stopped = False
        self.shaky = 0.0  # noise of any-order laws

    @property
    def total(self) -> int:
        """How often `tell` is called, with laws."""
        ways = 2 if self.plan.temperature else 1
        return len(self.rows) + len(self.prompts) * ways * (len(self.rows) + 1)

    @cached_property
    def noise(self) -> float:
        """How far rounding moves the difference of two logits of the target."""
        assert self.model is not None
        return Judge(self.model.target, passages(self.model)).noise

    def run(self, tell: Tell = lambda label: None, law: bool = True) -> list[Verdict]:
        """Everything; Ctrl-C keeps whole prompts. `tell` hears whose turn it was. `law`: the laws, too."""
        try:
            for row in self.rows if law else ():
                self.laws[row.label] = laws.checked(*row.law)
                tell(f"laws: {row.label}")
            for prompt in range(len(self.prompts) if self.model else 0):
                for heat in (0.0, self.plan.temperature) if self.plan.temperature else (0.0,):
                    self._prompt(prompt, heat, tell)
        except KeyboardInterrupt:
            self.stopped = True
        return self.verdicts()

    # writing ---------------------------------------------------------------------------------------------

    def _prompt(self, prompt: int, heat: float, tell: Tell) -> None:
        """One prompt by every row, then read again."""
        assert self.model is not None
        texts, held = [], self._held(prompt)
        for row in self.rows:
            if self._takes_part(row, heat):
                texts += self._texts(row, prompt, heat)
            tell(row.label)
        self.model.target.follow(held, None)
        self._read(prompt, heat, texts)
        tell("re-decoding")

    def _held(self, prompt: int) -> Canvas:
        """A canvas that keeps the prompt's cells in the target's cache, so that rows read it once."""
        assert self.model is not None
        held = Canvas(ids := self._ids(prompt), 1)
        forget([self.model.target])
        if self.model.target is not self.model.filler and len(ids) < self.model.target.context:
            asked(self.model.target, Ask(lambda answer, chance: None), held)
        return held

    def _forget(self, nets: Iterable[Net]) -> None:
        """Drop what earlier rows left in the caches, the prompt excepted."""
        assert self.model is not None
        target = self.model.target
        for net in nets:
            if net is self.model.filler or (net is not target and getattr(net, "whole", None) is not target):
                forget([net])
            while net is target and net.idle() is not None:  # texts of requests that are over
                net.drop_idle()

    def _takes_part(self, row: Row, heat: float) -> bool:
        if row.label in self.failed or not row.loop or (heat and row.label in self.undrawn):
            return False
        if row.heat is not None:  # a temperature of its own: it either draws or it does not
            return (row.heat > 0) == (heat > 0)
        return not heat or row.card.name != "greedy"

    def _texts(self, row: Row, prompt: int, heat: float) -> list[Text]:
        """What the row writes; nothing if it cannot."""
        key = (row.label, bool(heat))
        try:
            if heat and prompt < AGAIN:
                texts = [self._write(row, prompt, heat, {}) for _ in range(2)]
                tally = self.tallies.setdefault(key, Tally())
                tally.same_seed = tally.same_seed is not False and texts[0].tokens == texts[1].tokens
                return texts[:1]
            return [self._write(row, prompt, heat, self.memories.setdefault(key, {}))]
        except Exception as error:  # a method that cannot be run is no alarm, and the others go on
            (self.undrawn if heat else self.failed)[row.label] = f"{type(error).__name__}: {error}"
            return []

    def _asked(self, prompt: int, heat: float) -> dict[str, Any]:
        one = self.prompts[prompt]
        return {
            "max_tokens": most(one, self.plan.max_tokens), "temperature": heat, "stop": one.stop,
            "seed": self.plan.seed + prompt,
        }  # fmt: skip

    def _ids(self, prompt: int) -> list[int]:
        assert self.model is not None
        return self.model.encode(self.prompts[prompt].text, self.prompts[prompt].chat)

    def _write(self, row: Row, prompt: int, heat: float, memory: dict[str, Any]) -> Text:
        """Decode a prompt alone. `memory` is what the row's drafters remember."""
        assert self.model is not None
        before, self.model.memory = self.model.memory, memory
        try:
            request = row.request(self.model, self._ids(prompt), **self._asked(prompt, heat))
            noted = Noted(request.chance)
            request.chance = noted  # type: ignore[assignment]
            self._forget(request.nets.values())
            commits = [event.written for event in decode([request])]
            self._forget(request.nets.values())
        finally:
            self.model.memory = before
        canvas = request.canvas
        best = max(range(len(canvas.rows)), key=lambda h: canvas.score[h])
        return Text(row, canvas.generated(best), commits, noted.flipped)

    # reading ---------------------------------------------------------------------------------------------

    def _read(self, prompt: int, heat: float, texts: Sequence[Text]) -> None:
        """Judge what was written for one prompt. A text that several rows wrote is read once."""
        assert self.model is not None
        lines: dict[Net, Plain] = {}
        known: dict[Any, Reading] = {}
        for text in texts:
            row, tally = text.row, self.tallies.setdefault((text.row.label, bool(heat)), Tally())
            request = row.plain(self.model, self._ids(prompt), **self._asked(prompt, heat))
            tally.same &= not heat or rows.same_text(row, text.flipped)
            if row.cells:
                tally.add(prompt, self._refilled(request, text))
                continue
            net = request.nets["target"]
            key = (repr(sorted(row.shared.items())), tuple(text.tokens))
            if key not in known:
                plain = lines.setdefault(net, Plain(net, self._ids(prompt)))
                warm = heat if row.heat is None else row.heat
                known[key] = reread(plain, request, text.tokens, warm)
            tally.add(prompt, known[key])

    def _refilled(self, request: Request, text: Text) -> Reading:
        static = Static(request.nets["target"], request)
        if not text.row.card.exact:
            return compare(static, text.tokens)
        found = refill(static, text.commits, text.tokens)
        if any(one.margin is not None for one in found.parted):
            self.shaky = max(self.shaky, static.noise)
        return found

    # judging ---------------------------------------------------------------------------------------------

    def verdicts(self) -> list[Verdict]:
        """What is to be thought of each row, by what was found so far."""
        return [self._verdict(row) for row in self.rows]

    def _verdict(self, row: Row) -> Verdict:
        law = self.laws.get(row.label)
        cold, warm = (self.tallies.get((row.label, drew)) for drew in (False, True))
        greedy = self._greedy(row, cold) if cold else None
        failed = [self.failed.get(row.label, "")]
        if law is not None:
            failed += [f"law {number} could not be applied: {why}" for number, why in law.unchecked.items()]
        return judge(
            row.label, OURS, row.card.exact, None if law is None else law.broken, greedy,
            self._sampling(row, law, warm), failed="; ".join(filter(None, failed)),
        )  # fmt: skip

    def _greedy(self, row: Row, tally: Tally) -> Greedy:
        found = [self._found(row, prompt, one) for prompt, one in tally.parted if tally.same or one.end]
        ties = sum(one.verdict == "tie" for one in found)
        equal = tally.prompts - len({one.prompt for one in found})
        return Greedy(tally.prompts, equal, ties, len(found) - ties, tuple(found))

    def _found(self, row: Row, prompt: int, one: Parted) -> Found:
        noise = None if one.margin is None else self.shaky if row.cells else self.noise
        tie = one.margin is not None and noise is not None and one.margin <= FACTOR * noise
        emitted = self._token(one.emitted)
        if one.where is not None:
            emitted = Token(emitted.id, f"{emitted.text} at cell {one.where}")
        expected = self._token(one.expected)
        return Found(prompt, one.position, expected, emitted, one.margin, noise, "tie" if tie else "bug")

    def _token(self, token: int | None) -> Token:
        assert self.model is not None
        return Token(token, "" if token is None else self.model.tokenizer.decode([token]))

    def _sampling(self, row: Row, law: laws.Checked | None, tally: Tally | None) -> Sampling | None:
        tv, what = (law.tv if law else None), []
        if law and tv is not None:
            what.append(f"every text of {law.texts} tokens on toy nets, with its weight")
        if tally is None:
            return None if tv is None else Sampling(tv, None, 0, None, what[0])
        if tally.ranks:
            what.append(f"{len(tally.ranks)} drawn tokens in their laws, by chi-square")
        if tally.same:
            what.append("every drawn token against the plain loop's of the same seed")
        texts = self._greedy(row, tally)
        kept = texts if tally.same or texts.bugs else None
        drawn = p_value(tally.ranks)
        return Sampling(tv, drawn, len(tally.ranks), tally.same_seed, "; ".join(what), kept)


def of(
    method: str | Build,
    card: Card | None = None,
    *,
    model: Model | None = None,
    options: Mapping[str, Any] | None = None,
    nets: Nets = toy_nets,
    others: Mapping[str, Net] | None = None,
    prompts: Sequence[Prompt] | None = None,
    max_tokens: int = 24,
    temperature: float = 0.8,
    seed: int = 0,
    law: bool = True,
) -> Verdict:
    """Audit one method: a registered name, or a builder and its card.

    Without a `model` only the laws are applied, on `nets`. `others`: a builder's nets beside the target.
    `prompts`: a few of the quick suite by default. Raises UserError for unknown methods and options.
    """
    row = rows.built(method, card, options or {}, nets=nets, others=dict(others or {}))
    chosen = read_suite("quick")[:FEW] if prompts is None else prompts
    plan = Plan(max_tokens=max_tokens, temperature=temperature, seed=seed)
    (verdict,) = Audit(model, [row], chosen if model else [], plan).run(law=law)
    return verdict
