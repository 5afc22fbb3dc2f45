"""A masked-diffusion model as a Net: any cell may be asked for, holes are read as the mask token.

It runs the same bodies as `nets.causal`, over other ways. What a cell sees is the adapter's `attention`:

- full: every cell of the row. Any token that changes changes every state, so nothing computed stays exact.
- block: blocks of the trained length, counted from cell 0; a cell sees its own block and those before it.
- hybrid: finished text as a causal model sees it; the block being filled sees all of that and itself.
- reordered: written cells first, holes last, each cell what stands before it in that order (WeDLM).

Caches follow the text: a state is used again if what its cell sees is still spelt as it was, which `_view`
tells for each kind of attention, or if the last commit said in `keep` that it may be used although stale.
Every other cell is fed. An ask that assumes other tokens (`Ask.fill`) is computed in slots of its own; when a
commit then writes just these tokens, they become the row's. An ask that watches attention drift (`Ask.drift`)
is a run of its own, block by block (`nets.drift`).
"""

from __future__ import annotations

import heapq
import weakref
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any, TypeVar

import torch

from anyorder.card import Load
from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Ask, Commit, Lines
from anyorder.errors import UserError
from anyorder.nets.adapter import Adapter
from anyorder.nets.causal import Body
from anyorder.nets.drift import Laid, Trail, drifted
from anyorder.nets.feed import Feed
from anyorder.nets.memory import Memory, share_of_machine

Done = TypeVar("Done")


@dataclass(slots=True)
class States:
    """Computed cells of one row: what they were computed from, and where they lie."""

    text: list[int] = field(default_factory=list)  # what the row said in the last run
    exact: int = 0  # leading cells whose states are what a fresh run over this text would give
    slots: dict[int, int] = field(default_factory=dict)  # cell -> slot


@dataclass(slots=True)
class Held:
    """What one canvas keeps in the cache."""

    canvas: weakref.ref[Canvas]
    rows: list[States]
    kept: list[frozenset[int]]  # for each row, cells that may be used although stale
    tries: list[tuple[int, States]] = field(default_factory=list)  # rows under assumed tokens, own slots only
    blind: list[int] = field(default_factory=list)  # slots of cells that stand beside others
    asked: tuple[int, ...] = ()  # rows of the last run
    trails: dict[int, Trail] = field(default_factory=dict)  # row -> what a watched run left for the next


@dataclass(frozen=True, slots=True)
class View:
    """What one row's cells see in this run."""

    order: list[int]  # cells that take part, in the order in which they lie
    sees: list[int]  # [len(order)] how far along the order each of them sees
    exact: int  # leading cells whose known states hold
    clean: int  # leading cells whose states will be exact after this run


@dataclass(frozen=True, slots=True)
class Plan:
    """What an ask wants of one row."""

    row: int
    cells: tuple[int, ...]  # asked for
    text: list[int]
    view: View
    stale: frozenset[int]  # cells that are not fed
    tried: bool  # under assumed tokens, in slots of their own


class TwoWay:
    """A model whose cells become true in any order; text with holes in, laws of cells out."""

    def __init__(self, body: Body, adapter: Adapter, memory: Memory | None = None, packs: bool = True):
        """`packs=False`: the body misreads cells side by side; it gets one row at a time."""
        self.body, self.adapter, self.mask = body, adapter, adapter.mask
        self.vocab, self.context, self.cell_bytes = body.vocab, body.context, body.cell_bytes
        self.memory = memory or Memory(share_of_machine())
        self.memory.holders.append(self)
        full = adapter.attention == "full"
        self.blocks: Any = getattr(body, "stock", body)  # what runs one block at a time, if it can
        drift = {"drift"} if full and hasattr(self.blocks, "block") and self.blocks.say else set()
        blind = {"blind"} if full and not adapter.shift else set()
        self.can = frozenset(
            {"any-order", "stale", "hidden", "layers", adapter.attention, *blind, *drift}
            | ({"rows", "pack"} if packs else set())
        )
        self.load = Load()
        self.store: Any = None
        self.held: dict[int, Held] = {}
        self.forget()

    def forget(self) -> None:
        """Drop every cached cell. Stale states are lost with them; by the law no other answer changes."""
        self.capacity = 1 + self.memory.budget // self.cell_bytes
        self.free: list[int] = []
        self.top = 0
        self.held.clear()

    # the two verbs ---------------------------------------------------------------------------------------

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer | Exception | None]:
        """One answer for each ask; None: put off for want of memory; an exception: it cannot be answered."""
        self._sweep()
        for canvas in {id(canvas): canvas for _, canvas in asks}.values():
            self._open(canvas)
        ages = self.memory.ages()
        order = sorted(range(len(asks)), key=lambda i: ages.get(id(asks[i][1]), 0))
        feed, parts = Feed(), dict.fromkeys(order)
        answers: list[Answer | Exception | None] = [None] * len(asks)
        for i, first in [*((i, False) for i in order), (order[0], True)]:
            if first and (feed.token or any(answers)):
                break  # who waits does so for somebody who goes on
            try:
                if asks[i][0].drift > -1:
                    answers[i] = self._watched(*asks[i], first)
                else:
                    parts[i] = self._offer(feed, *asks[i], first)
            except UserError as refused:
                answers[i] = refused
        asked = {i: part for i, part in parts.items() if part is not None}
        if asked:
            for i, answer in self._answers(feed, [ask for ask, _ in asks], asked):
                answers[i] = answer
        return answers

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        held = self.held.get(id(canvas))
        if held is None or held.canvas() is not canvas:
            return
        if commit is None:
            self.pause(canvas)
            self.memory.leave(id(canvas))
            del self.held[id(canvas)]
            return
        for h, states in held.tries:
            if states.text == canvas.rows[h][: len(states.text)]:
                self._adopt(held.rows[h], states)
        self._drop_tries(held)
        if commit.parents is not None:
            self.pause(canvas)
            held.rows = [States() for _ in canvas.rows]
        keep = dict(zip(held.asked, commit.keep)) if commit.keep else {}
        held.kept = [frozenset(keep.get(h, ())) for h in range(len(canvas.rows))]

    # what memory asks for ----------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Bytes of all cells held."""
        trails = sum(trail.size for held in self.held.values() for trail in held.trails.values())
        return (self.top - len(self.free)) * self.cell_bytes + trails

    def idle(self) -> int | None:
        return None  # what a finished request knew is of no use to another

    def drop_idle(self) -> None:
        raise AssertionError("a two-way net has no idle texts")

    def pause(self, canvas: Canvas) -> None:
        """Give up a canvas' cells. What it kept although stale is then computed afresh."""
        if held := self.held.get(id(canvas)):
            self._give_up(held)

    # rows and slots --------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Give up what canvases hold that are over, whether or not anybody said so."""
        for key, held in list(self.held.items()):
            canvas = held.canvas()
            if canvas is None or canvas.done:
                self._give_up(held)
                del self.held[key]

    def _give_up(self, held: Held) -> None:
        self._drop_tries(held)
        for states in held.rows:
            self._release(states.slots.values())
        held.rows = [States() for _ in held.rows]
        held.kept = [frozenset() for _ in held.rows]
        held.trails.clear()

    def _open(self, canvas: Canvas) -> None:
        if id(canvas) not in self.held:
            self.memory.enter(canvas)
            nothing = [frozenset[int]() for _ in canvas.rows]
            self.held[id(canvas)] = Held(weakref.ref(canvas), [States() for _ in canvas.rows], nothing)

    def _slot(self) -> int:
        if self.free:
            return heapq.heappop(self.free)
        self.top += 1
        return self.top - 1

    def _release(self, slots: Any) -> None:
        for slot in slots:
            heapq.heappush(self.free, slot)

    def _drop_tries(self, held: Held) -> None:
        for _, states in held.tries:
            self._release(states.slots.values())
        self._release(held.blind)
        held.tries, held.blind = [], []

    def _adopt(self, states: States, tried: States) -> None:
        """Cells computed under assumed tokens that came true become the row's."""
        for cell, slot in tried.slots.items():
            if cell in states.slots:
                self._release([states.slots[cell]])
            states.slots[cell] = slot
        states.text, states.exact, tried.slots = tried.text, tried.exact, {}

    # a run -------------------------------------------------------------------------------------------------

    def _offer(
        self, feed: Feed, ask: Ask, canvas: Canvas, first: bool
    ) -> tuple[tuple[Lines, ...], list[int], int] | None:
        """Put an ask into the run: its lines, the slots they are of, cells fed. None: no room for it now."""
        plans, held, before = self._plans(ask, canvas), self.held[id(canvas)], len(feed)
        blinds = ask.blind or ((),) * len(canvas.live)
        fresh = sum(self._lacks(held.rows[plan.row], plan) for plan in plans) + sum(map(len, blinds))
        if not self.memory.room(fresh * self.cell_bytes, canvas, first):
            return None
        held.trails.clear()  # it was not watched what this run changes
        wanted = []
        for plan, blind in zip(plans, blinds, strict=True):
            slots = self._feed(feed, held, plan)
            beside = self._feed_blind(feed, held, plan.view, slots, blind)
            wanted += [beside.get(i, slots[self._line(i)]) for i in plan.cells]
        return self._lines(canvas, plans), wanted, len(feed) - before

    def _plans(self, ask: Ask, canvas: Canvas) -> list[Plan]:
        """For each live row what the ask wants of it."""
        assert ask.at is not None, "a two-way net is asked for cells"
        assert not ask.guess, "a two-way net takes no guesses"
        if any(map(len, ask.blind)) and "blind" not in self.can:
            raise UserError(
                "the method asks for cells as if they were not written, which needs full attention and no "
                f"shift, and the model has {self.adapter.attention} attention"
                f"{', shifted' * self.adapter.shift}; choose another method"
            )
        held, plans = self.held[id(canvas)], []
        held.asked = canvas.live
        fills = ask.fill or ({},) * len(canvas.live)
        for h, cells, fill in zip(canvas.live, ask.at, fills, strict=True):
            text = self._text(canvas, h, cells, fill)
            view = self._view(canvas, text, held.rows[h], cells)
            stale = self._stale(held, h, view, cells, fill)
            plans.append(Plan(h, tuple(cells), text, view, stale, bool(fill)))
        return plans

    def _lines(self, canvas: Canvas, plans: Sequence[Plan]) -> tuple[Lines, ...]:
        """Whose lines follow each other in the answer."""
        ends = [0, *accumulate(len(plan.cells) for plan in plans)]
        return tuple(
            Lines(plan.row, start, len(canvas.rows[plan.row]), cells=plan.cells)
            for plan, start in zip(plans, ends)
        )

    def _watched(self, ask: Ask, canvas: Canvas, first: bool) -> Answer | None:
        """A run of one ask, which computes all cells where attention drifted. None: no room for it now."""
        if "drift" not in self.can:
            raise UserError(
                "this model cannot be run block by block over cells that all see each other, which watching "
                "attention drift takes; allowed are models of full attention; choose another method"
            )
        besides = (*ask.fill, *ask.blind, *ask.layers)
        assert not besides, "attention is watched over what is written, and its run gives laws alone"
        plans, held = self._plans(ask, canvas), self.held[id(canvas)]
        for i, plan in enumerate(plans):  # what no watched run computed cannot be left out
            trail = held.trails.get(plan.row)
            if trail is None or trail.cells != len(plan.text):
                held.trails.pop(plan.row, None)
                plans[i] = replace(plan, stale=frozenset())
        fresh = sum(self._lacks(held.rows[plan.row], plan) for plan in plans) * self.cell_bytes
        unknown = sum(len(plan.text) for plan in plans if plan.row not in held.trails)
        more = unknown * self.blocks.depth * self.blocks.state_bytes
        if not self.memory.room(fresh + more, canvas, first):
            return None
        parts, work = [], 0
        for plan in plans:
            slots, trail = self._assigned(held, plan), held.trails.get(plan.row)
            lines = [self._line(i) for i in plan.cells]
            laid = Laid(
                plan.text, [slots[i] for i in plan.view.order], [i for i in slots if i not in plan.stale],
                lines, [i for i, token in enumerate(plan.text) if token != self.mask],
            )  # fmt: skip
            run = partial(drifted, self.blocks, laid, trail, ask.drift)
            left, held.trails[plan.row], cells = self._compute(run)
            parts.append(left)
            work += cells
        said = self._compute(lambda store: self.blocks.say(torch.cat(parts))).clone()
        said[:, self.mask] = -torch.inf
        return Answer(said, self._lines(canvas, plans), cells=work)

    def _text(self, canvas: Canvas, h: int, cells: Sequence[int], fill: Mapping[int, int]) -> list[int]:
        """What the row says, with holes behind it up to the last cell asked for."""
        row = canvas.rows[h]
        text = row + [self.mask] * (max(cells, default=0) + 1 - len(row))
        for cell, token in fill.items():
            text[cell] = token
        return text

    def _view(self, canvas: Canvas, text: list[int], states: States, cells: Sequence[int]) -> View:
        same = next((i for i, (a, b) in enumerate(zip(text, states.text)) if a != b), None)
        same = min(len(text), len(states.text)) if same is None else same
        known = min(same, states.exact)
        last = max(cells, default=0) + 1
        match self.adapter.attention:
            case "full":
                return View(list(range(len(text))), [len(text)] * len(text), 0, 0)
            case "block":
                block = self.adapter.block
                ends = [min(-(-(i + 1) // block) * block, len(text)) for i in range(len(text))]
                upto = ends[last - 1]
                clean = next((i for i in range(upto) if text[i] == self.mask), upto) // block * block
                return View(list(range(upto)), ends[:upto], known // block * block, clean)
            case "hybrid":
                starts = [b.start for b in canvas.blocks()] if canvas.mask is not None else []
                first = max((s for s in starts if s <= min(cells)), default=min(cells))
                stop = min((s for s in starts if s >= last), default=len(text))
                ends = [*range(1, first + 1), *[stop] * (stop - first)]
                return View(list(range(stop)), ends, min(known, first), first)
            case _:
                hole = text.index(self.mask) if self.mask in text else len(text)
                holes = sorted(i for i in cells if text[i] == self.mask)
                order = [i for i in range(len(text)) if text[i] != self.mask] + holes
                return View(order, list(range(1, len(order) + 1)), min(known, hole), hole)

    def _line(self, cell: int) -> int:
        """Which cell's line predicts a cell."""
        return max(0, cell - self.adapter.shift)

    def _stale(
        self, held: Held, h: int, view: View, cells: Sequence[int], fill: Mapping[int, int]
    ) -> frozenset[int]:
        """Cells that are not fed: their states are exact, or kept."""
        known = {i for i in view.order if i < view.exact or i in held.kept[h]}
        lines = {self._line(i) for i in cells}
        return frozenset(known & held.rows[h].slots.keys() - lines - set(cells) - set(fill))

    def _lacks(self, states: States, plan: Plan) -> int:
        """Slots that a row's cells of this run need besides those it has."""
        fed = [i for i in plan.view.order if i not in plan.stale]
        return len(fed) if plan.tried else sum(i not in states.slots for i in fed)

    def _assigned(self, held: Held, plan: Plan) -> dict[int, int]:
        """Slots for a run's cells, which from then on are those of its text: cell -> slot, in order."""
        states, view, stale = held.rows[plan.row], plan.view, plan.stale
        own = States() if plan.tried else states
        if plan.tried:
            held.tries.append((plan.row, own))
        for i in view.order:
            if i not in stale and i not in own.slots:
                own.slots[i] = self._slot()
        kept = min((i for i in stale if i >= view.exact), default=len(plan.text))
        own.text, own.exact = plan.text, min(view.clean, kept)
        return {i: own.slots[i] if i not in stale else states.slots[i] for i in view.order}

    def _feed(self, feed: Feed, held: Held, plan: Plan) -> dict[int, int]:
        """Feed the cells of a row that are not known; cell -> slot of all that take part."""
        slots = self._assigned(held, plan)
        way = feed.begin(array("i", slots.values()), len(feed.ways))
        for i, sees in zip(plan.view.order, plan.view.sees, strict=True):
            if i not in plan.stale:
                feed.put(plan.text[i], slots[i], way, i, sees)
        return slots

    def _feed_blind(
        self, feed: Feed, held: Held, view: View, slots: dict[int, int], blind: Sequence[int]
    ) -> dict[int, int]:
        """Feed holes beside cells, which see all of the row but these cells; cell -> the hole's slot."""
        beside = {}
        for i in blind:
            slot = beside[i] = self._slot()
            held.blind.append(slot)
            others = [slots[j] for j in view.order if j != i]
            way = feed.begin(array("i", [*others, slot]), feed.family[-1])
            feed.put(self.mask, slot, way, i, len(others) + 1)
        return beside

    def _answers(
        self, feed: Feed, asks: Sequence[Ask], asked: Mapping[int, tuple[tuple[Lines, ...], list[int], int]]
    ) -> Iterator[tuple[int, Answer]]:
        feed.layers = sorted({layer for i in asked for layer in asks[i].layers})
        lines = [feed.place[slot] for _, wanted, _ in asked.values() for slot in wanted]
        feed.lines = sorted(set(lines)) or [0]
        self.load = Load(len(asked), max(1, len(lines)))
        logits, hidden, inner = self._compute(partial(self.body, feed))
        place = {line: i for i, line in enumerate(feed.lines)}
        first = 0
        for i, (rows, wanted, fed) in asked.items():
            mine = torch.tensor([place[feed.place[slot]] for slot in wanted], dtype=torch.long)
            mine = mine.to(logits.device)
            states = {layer: inner[layer][mine] for layer in asks[i].layers}
            said = logits[mine]
            said[:, self.mask] = -torch.inf  # a hole is never filled with a hole
            yield i, Answer(said, rows, hidden[mine], states, fed, getattr(self.body, "say", None))
            first += len(wanted)

    @torch.inference_mode()
    def _compute(self, run: Callable[[Any], Done]) -> Done:
        """What a run over the store comes to."""
        if self.store is None:
            self.store = self.body.store(self.capacity)
        try:
            return run(self.store)
        except BaseException:  # its slots would pass for computed cells
            self.forget()
            raise
