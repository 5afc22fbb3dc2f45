"""A causal language model as a Net.

One call answers many asks by one packed run: the cells of all rows and all guesses lie side by side, each
with the way it sees (`nets.feed`). The cache is a trie of computed cells (`nets.slots`), so prefill, draft
catch-up, rollback, forks, prefix reuse and going on after a pause are one rule: compute the cells of the text
that are not there yet. A run takes so many cells of catching up and no more; an ask that lacks more, or that
has to wait for memory, is put off to the next run.
"""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from anyorder.card import Load
from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Ask, Commit, Lines, Tree
from anyorder.nets.feed import Feed
from anyorder.nets.memory import Full, Memory, share_of_machine
from anyorder.nets.slots import ROOT, WHOLE, Partial, Slots

CHUNK = 128  # most cells of catching up in one run, of all asks together
SHORT = 8  # an ask that lacks no more than this is never put off for the sake of a run's size


class Body(Protocol):
    """The computing part of a causal net."""

    @property
    def vocab(self) -> int: ...

    @property
    def context(self) -> int: ...

    @property
    def cell_bytes(self) -> int:
        """Cache bytes of one cell."""
        ...

    def store(self, slots: int) -> Any:
        """Room for the keys and values of so many cells."""
        ...

    def __call__(self, feed: Feed, store: Any) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """Logits [M, V] (float32 or wider), what the head read [M, D] and the named layers' states [M, D], of
        the feed's lines."""
        ...


@dataclass(slots=True)
class Path:
    """The computed part of a row: its tokens and their slots. The last slot is held."""

    tokens: list[int] = field(default_factory=list)
    slots: array[int] = field(default_factory=lambda: array("i"))

    @property
    def tip(self) -> int:
        return self.slots[-1] if self.slots else ROOT


@dataclass(slots=True)
class Held:
    """What one canvas keeps in the cache."""

    canvas: weakref.ref[Canvas]
    rows: list[Path]
    guesses: list[int] = field(default_factory=list)  # slots computed for it and not yet known to be text


Part = tuple[tuple[Lines, ...], list[int], int]  # an ask's lines, the slots they are of, cells fed


class Causal:
    """A causal language model; text in, laws of the next token out.

    `body` computes: a stock transformers model (`nets.stock`) or a faster one of the same weights
    (`nets.lean`). Everything else is here. Nets that share a `memory` share its budget.
    """

    def __init__(self, body: Body, memory: Memory | None = None, packs: bool = True):
        """`packs=False`: the body misreads cells side by side; it gets one row without guesses at a time."""
        self.body = body
        self.vocab, self.context, self.cell_bytes = body.vocab, body.context, body.cell_bytes
        self.memory = memory or Memory(share_of_machine())
        self.memory.holders.append(self)
        self.can = frozenset({"hidden", "layers"} | ({"tree", "rows", "pack"} if packs else set()))
        self.state_bytes: int = getattr(body, "state_bytes", 0)
        self.held: dict[int, Held] = {}
        self.left: dict[int, int] = {}  # when a text became idle -> its last slot
        self.judged = (1, 1)  # asks and lines of the last run
        self.store: Any = None
        self.forget()

    def forget(self) -> None:
        """Drop every cached cell. By the law this changes no answer."""
        self.slots = Slots(1 + self.memory.budget // self.cell_bytes)
        self.held.clear()
        self.left.clear()

    # the two verbs ---------------------------------------------------------------------------------------

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer | Exception | None]:
        """One answer for each ask; None: put off, ask again; an exception: this one cannot be answered."""
        return self.run(asks, self.body, WHOLE)

    def run(
        self, asks: Sequence[tuple[Ask, Canvas]], body: Body, blocks: int
    ) -> list[Answer | Exception | None]:
        """One run of a body over this net's cells: the net's own, or its first so many blocks, whose cells
        are its own and go on from there when it comes by (`nets.exits`)."""
        if not asks:
            return []
        for _, canvas in asks:
            self._open(canvas)
        ages = self.memory.ages()
        order = sorted(range(len(asks)), key=lambda i: ages.get(id(asks[i][1]), 0))
        floor = min((layer for ask, _ in asks for layer in ask.layers), default=WHOLE)
        feed, left = Feed(blocks=blocks, floor=floor, partial=self.slots.partial), CHUNK
        parts: dict[int, Part | Exception | None] = {}
        for i in order:
            parts[i], left = self._offer(feed, *asks[i], left)
        if not feed.token and all(part is None for part in parts.values()):  # all wait for who never asks
            parts[order[0]], left = self._offer(feed, *asks[order[0]], CHUNK, first=True)
        return self._answers(feed, body, [ask for ask, _ in asks], parts)

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        held = self.held.get(id(canvas))
        if held is None or held.canvas() is not canvas:
            return
        if commit is None:
            self._leave(id(canvas), held, keep=all(canvas.ended))
            return
        parents = range(len(held.rows)) if commit.parents is None else commit.parents
        rows = []
        for h, parent in enumerate(parents):
            path = held.rows[parent]
            if commit.parents is not None:
                path = Path(list(path.tokens), path.slots[:])
                self.slots.hold(path.tip)
            self._catch_up(path, canvas.rows[h])
            rows.append(path)
        if commit.parents is not None:
            for path in held.rows:
                self.slots.release(path.tip)
        held.rows = rows
        self._drop_guesses(held)

    # what memory asks for ----------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Bytes of all cells held."""
        return self.slots.used * self.cell_bytes + len(self.slots.partial) * self.state_bytes

    @property
    def load(self) -> Load:
        """All who are being decoded, as if each took as many lines of a run as those of the last one."""
        asks, lines = self.judged
        requests = max(1, len(self.held))
        return Load(requests, lines * requests // asks)

    def idle(self) -> int | None:
        return next(iter(self.left), None)

    def drop_idle(self) -> None:
        self.slots.release(self.left.pop(next(iter(self.left))))

    def pause(self, canvas: Canvas) -> None:
        held = self.held.get(id(canvas))
        if held is not None:
            self._drop_guesses(held)
            for path in held.rows:
                self.slots.release(path.tip)
            held.rows = [Path() for _ in held.rows]

    # text and slots --------------------------------------------------------------------------------------

    def _open(self, canvas: Canvas) -> Held:
        """What the cache holds of the canvas."""
        held = self.held.get(id(canvas))
        if held is not None and held.canvas() is canvas:
            return held
        for key, old in list(self.held.items()):
            other = old.canvas()
            if other is None or other.done:  # nobody said that it is over
                self._leave(key, old, keep=other is not None and all(other.ended))
        self.memory.enter(canvas)
        held = self.held[id(canvas)] = Held(weakref.ref(canvas), [Path() for _ in canvas.rows])
        for path, text in zip(held.rows, canvas.rows):
            self._catch_up(path, text)  # a prefix that another request computed
        return held

    def _leave(self, key: int, held: Held, keep: bool) -> None:
        """A canvas is over. Whole texts stay for others to begin with; a cancelled one's cells go at once."""
        self._drop_guesses(held)
        for path in held.rows:
            if keep and path.slots:
                self.left[self.memory.tick()] = path.tip
            else:
                self.slots.release(path.tip)
        self.memory.leave(key)
        del self.held[key]

    def _drop_guesses(self, held: Held) -> None:
        for slot in reversed(held.guesses):
            self.slots.release(slot)
        held.guesses = []

    def _catch_up(self, path: Path, text: list[int]) -> None:
        """Make the path cover all computed cells of the text, and nothing else."""
        known = len(path.slots)
        if path.tokens != text[:known]:  # the text was changed behind our back: keep the common part only
            known = next(i for i, (a, b) in enumerate(zip(path.tokens, [*text, None])) if a != b)
        tip = path.tip
        del path.tokens[known:], path.slots[known:]
        path.slots.extend(self.slots.walk(path.tip, text[known:]))
        path.tokens += text[known : len(path.slots)]
        self.slots.hold(path.tip)
        self.slots.release(tip)

    # a run -------------------------------------------------------------------------------------------------

    def _offer(
        self, feed: Feed, ask: Ask, canvas: Canvas, left: int, first: bool = False
    ) -> tuple[Part | Exception | None, int]:
        """Put an ask into the run, or the part of its text that the run has room for."""
        held, live = self.held[id(canvas)], canvas.live
        for h in live:
            self._catch_up(held.rows[h], canvas.rows[h])
        lacks = sum(len(canvas.rows[h]) - self._known(held.rows[h], feed.blocks) for h in live)
        absent = sum(len(canvas.rows[h]) - len(held.rows[h].slots) for h in live)
        size = self.cell_bytes + (self.state_bytes if feed.blocks < WHOLE else 0)
        fresh = -1
        while fresh != (fresh := absent + self._unknown(held, canvas, ask.guess)):  # room may cost known ones
            try:
                if not self.memory.room(fresh * size, canvas, first):
                    return None, left
            except Full as full:
                return full, left
        if lacks > max(left, SHORT):
            for h in live:
                left -= self._feed_text(feed, held, h, canvas.rows[h], left)
            return None, left
        fed, start = len(feed), 0
        wanted: list[int] = []
        rows: list[Lines] = []
        if ask.at is not None:  # cells of the text: each is told by the cell before it, run again
            for h, cells in zip(live, ask.at, strict=True):
                wanted += self._feed_again(feed, held, h, canvas.rows[h], cells)
                rows.append(Lines(h, start, len(canvas.rows[h]), cells=tuple(cells)))
                start += len(cells)
            return (tuple(rows), wanted, len(feed) - fed), left
        for i, h in enumerate(live):
            tree = ask.guess[i] if ask.guess else Tree()
            wanted += self._feed(feed, held, h, canvas.rows[h], ask.skip, tree)
            rows.append(Lines(h, start - ask.skip, len(canvas.rows[h]), tree))
            start += max(0, len(tree) + 1 - ask.skip)
        return (tuple(rows), wanted, len(feed) - fed), left - (lacks if lacks > SHORT else 0)

    def _unknown(self, held: Held, canvas: Canvas, guess: Sequence[Tree]) -> int:
        """How many guesses have no cell yet."""
        count = 0
        for h, tree in zip(canvas.live, guess):
            path = held.rows[h]
            whole = len(path.slots) == len(canvas.rows[h])
            way: dict[int, int | None] = {-1: path.tip if whole else None}
            for node, (token, parent) in enumerate(zip(tree.token, tree.parent)):
                before = way[parent]
                way[node] = None if before is None else self.slots.find(before, token)
                count += way[node] is None
        return count

    def _feed_text(self, feed: Feed, held: Held, h: int, text: list[int], most: int) -> int:
        """Feed the next cells of a row's text; how many."""
        path = held.rows[h]
        first = self._known(path, feed.blocks)
        slot = path.slots[first - 1] if first else ROOT
        way = feed.begin(path.slots[:first], len(feed.ways))
        more = text[first : first + most]
        for length, token in enumerate(more, first):
            slot = self._cell(feed, held, slot, token)
            way = feed.step(way, length, slot)
            feed.add(token, slot, way, length + 1)
        return len(more)

    def _feed(self, feed: Feed, held: Held, h: int, text: list[int], skip: int, tree: Tree) -> list[int]:
        """Feed what a row still lacks and its guesses; the slots of the lines that are wanted."""
        path = held.rows[h]
        known = self._known(path, feed.blocks)
        known = min(known, len(text) - 1) if skip == 0 else known  # a wanted line means its cell runs (again)
        way = feed.begin(path.slots[:known], len(feed.ways))
        slot = feed.ways[way][-1] if feed.ways[way] else ROOT
        for length in range(len(feed.ways[way]), len(text)):
            slot = self._cell(feed, held, slot, text[length])
            way = feed.step(way, length, slot)
            feed.add(text[length], slot, way, length + 1)
        feed.mixtures.update(tree.soft)
        stands = {-1: (slot, way, len(text))}  # node -> its slot, its way and how far along it
        for node, (token, parent) in enumerate(zip(tree.token, tree.parent)):
            slot, way, length = stands[parent]
            found = self.slots.find(slot, token)
            computed = found is not None and self.slots.blocks(found) >= feed.blocks
            slot = self._cell(feed, held, slot, token)
            way = feed.step(way, length, slot)
            if not computed or node + 1 >= skip:
                feed.add(token, slot, way, length + 1)
            stands[node] = (slot, way, length + 1)
        return [stands[node][0] for node in range(skip - 1, len(tree))]

    def _feed_again(self, feed: Feed, held: Held, h: int, text: list[int], cells: Sequence[int]) -> list[int]:
        """Feed a row's text from the cell before the first of the given ones; the slots of their lines."""
        path, slots = held.rows[h], []
        assert all(0 < cell <= len(text) for cell in cells), "a cell of the text after its first, or the next"
        known = min(self._known(path, feed.blocks), *(cell - 1 for cell in cells))
        way = feed.begin(path.slots[:known], len(feed.ways))
        slot = path.slots[known - 1] if known else ROOT
        for length in range(known, len(text)):
            slot = self._cell(feed, held, slot, text[length])
            way = feed.step(way, length, slot)
            feed.add(text[length], slot, way, length + 1)
            slots.append(slot)
        return [slots[cell - 1 - known] for cell in cells]

    def _cell(self, feed: Feed, held: Held, parent: int, token: int) -> int:
        slot = self.slots.find(parent, token)
        if slot is None:
            slot = self.slots.add(parent, token)
            if feed.blocks < WHOLE:
                self.slots.partial[slot] = Partial(0, None)
            held.guesses.append(slot)
        return slot

    def _known(self, path: Path, blocks: int) -> int:
        """How many of a path's cells went through so many blocks; those behind went no further."""
        known = len(path.slots)
        while known and self.slots.blocks(path.slots[known - 1]) < blocks:
            known -= 1
        return known

    def _answers(
        self, feed: Feed, body: Body, asks: Sequence[Ask], parts: dict[int, Part | Exception | None]
    ) -> list[Answer | Exception | None]:
        """Run the feed; `parts` in the order they were put in."""
        feed.arrange()
        asked = {i: part for i, part in parts.items() if isinstance(part, tuple)}
        lines = [feed.place[slot] for _, wanted, _ in asked.values() for slot in wanted]
        feed.lines = sorted(set(lines))
        feed.layers = sorted({layer for i in asked for layer in asks[i].layers})
        if feed.blocks == WHOLE:
            self.judged = (max(1, len(asked)), max(1, len(lines)))
        answers: list[Answer | Exception | None] = [
            part if isinstance(part, Exception) else None for _, part in sorted(parts.items())
        ]
        if not feed.token:
            return answers
        logits, hidden, inner = self._compute(feed, body)
        if lines != feed.lines:  # shared cells or another order
            place = {line: i for i, line in enumerate(feed.lines)}
            index = torch.tensor([place[i] for i in lines], device=logits.device)
            logits, hidden = logits[index], hidden[index]
            inner = {layer: x[index] for layer, x in inner.items()}
        first = 0
        for i, (rows, wanted, fed) in asked.items():
            mine = slice(first, first + len(wanted))
            states = {layer: inner[layer][mine] for layer in asks[i].layers}
            answers[i] = Answer(logits[mine], rows, hidden[mine], states, fed, getattr(body, "say", None))
            first += len(wanted)
        return answers

    @torch.inference_mode()
    def _compute(self, feed: Feed, body: Body) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        if self.store is None:
            self.store = self.body.store(self.slots.capacity)
        try:
            said = body(feed, self.store)
        except BaseException:  # its slots would pass for computed cells
            self.forget()
            raise
        for i, slot in enumerate(feed.slot):
            if self.slots.blocks(slot) >= feed.blocks:
                continue
            if feed.left is None:
                del self.slots.partial[slot]
            else:
                self.slots.partial[slot] = Partial(feed.blocks, feed.left[i].copy())
        return said
