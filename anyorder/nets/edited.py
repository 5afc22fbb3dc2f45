"""A causal language model that edits its states while it reads; its weights stay as they are.

A state is a cell's key or value in one layer. When a window of text and the token behind it are known, the
window is run once more with gradients, and a rule of `nets.edits` moves the states by what it could have
said better.

What follows reads the moved states, so this net's caches hold what no text spells; "caches follow the text"
holds all the same: windows lie at fixed places, so the states are a function of the text, and a net that
forgot them makes the same ones again. What is said of a token is said before the edit that its own window
gives rise to, so nothing is ever told by a token it is about.

A `State` is a value that nobody changes: rows that fork share it, an edit makes a new one, and moments go
where their states go. States are private to a canvas; no other net and no other canvas sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Ask, Commit, Lines, Tree
from anyorder.errors import UserError
from anyorder.nets.edits import Head, Past, Rule
from anyorder.nets.memory import Memory, share_of_machine
from anyorder.nets.stock import NORMS

CHUNK = 64  # cells of catching up that one call may take, if a window is not longer
PROBE = (3, 1, 4, 1, 5, 9)  # any tokens


class Said(NamedTuple):
    """What a run says of some cells."""

    logits: Tensor  # [Q, V]
    hidden: Tensor  # [Q, D] what the head read
    inner: Tensor  # [layers + 1, Q, D] before, between and after the blocks

    def line(self, i: int) -> Said:
        """One cell's, apart from the others."""
        return Said(self.logits[i : i + 1].clone(), self.hidden[i : i + 1].clone(),
                    self.inner[:, i : i + 1].clone())  # fmt: skip


class Cells:
    """The cache of one run, as transformers calls it: given cells before the run's own."""

    is_compileable = False

    def __init__(self, past: Tensor, own: Tensor | None):
        """`own`: added to the run's own cells, for their gradient."""
        self.past = [layer.unbind(0) for layer in past.unbind(0)]
        self.own = None if own is None else [layer.unbind(0) for layer in own.unbind(0)]
        self.made: list[Tensor] = []  # [2, groups, Q, width] of each layer
        self.length = past.shape[3]

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *unused: Any, **more: Any
    ) -> tuple[Tensor, Tensor]:
        self.made.append(torch.cat([keys, values]).detach())
        new = (keys, values) if self.own is None else (keys + self.own[layer][0], values + self.own[layer][1])
        both = [torch.cat([old[None], x], 2) for old, x in zip(self.past[layer], new, strict=True)]
        return both[0], both[1]

    def get_seq_length(self, layer: int = 0) -> int:
        return self.length


class Frozen:
    """A stock transformers model whose weights stay as they are, run over cells that are given to it.

    Raises ValueError for models that do not keep a key and a value of every cell in every layer, and for
    weights of fewer than 32 bits: an edit would be lost in their rounding.
    """

    def __init__(self, module: Any):
        config = module.config.get_text_config()
        what = f"a {config.model_type} model"
        if module.dtype.itemsize < 4:
            raise ValueError(
                f"{what} is loaded as {module.dtype}, in which an edit of a state would be rounded away; "
                "allowed are fp32 and fp64; load it so"
            )
        uses = getattr(config, "use_sliding_window", True)
        slides = uses and getattr(config, "sliding_window", None) is not None
        kinds = set(getattr(config, "layer_types", None) or ("sliding_attention" * slides,)) - {""}
        if getattr(module, "_is_stateful", False) or not kinds <= {"full_attention"}:
            raise ValueError(
                f"{what} forgets keys and values beyond a window or keeps other states, and edited states "
                "have to stay; allowed are models whose layers all attend to all of the text; choose one"
            )
        self.module = module.eval().requires_grad_(False)
        self.vocab: int = config.vocab_size
        self.context: int = getattr(config, "max_position_embeddings", None) or 1 << 20
        self._cap: float | None = getattr(config, "final_logit_softcapping", None)
        self._read: Tensor | None = None
        module.get_output_embeddings().register_forward_pre_hook(self._see)
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        groups = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self.shape = (config.num_hidden_layers, 2, groups, width)
        self._probe(what)

    def _see(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._read = inputs[0]

    @property
    def cell_bytes(self) -> int:
        layers, two, groups, width = self.shape
        return layers * two * groups * width * self.module.dtype.itemsize

    def blank(self, cells: int = 0) -> Tensor:
        """[layers, 2, groups, cells, width] of nothing."""
        layers, two, groups, width = self.shape
        shape = (layers, two, groups, cells, width)
        return torch.zeros(shape, dtype=self.module.dtype, device=self.module.device)

    def __call__(self, token: Sequence[int], past: Tensor, own: Tensor | None = None) -> tuple[Said, Tensor]:
        """What is said of the tokens behind given cells, and the cells that they made."""
        first, count, device = past.shape[3], len(token), self.module.device
        place = torch.arange(first, first + count, device=device)
        sees = torch.arange(first + count, device=device) <= place[:, None]
        mask = torch.zeros(sees.shape, dtype=self.module.dtype, device=device).masked_fill_(~sees, -torch.inf)
        cache = Cells(past, own)
        out = self.module(
            input_ids=torch.tensor([list(token)], device=device), position_ids=place[None],
            attention_mask=mask[None, None], past_key_values=cache, use_cache=True, output_hidden_states=True,
        )  # fmt: skip
        read, self._read = self._read, None
        assert read is not None, "the model did not call its output head"
        inner = torch.stack([x[0].detach() for x in out.hidden_states])
        return Said(out.logits[0], read[0].detach(), inner), torch.stack(cache.made)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of what the head reads."""
        logits = self.module.get_output_embeddings()(hidden)
        self._read = None
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap

    @property
    def say(self) -> Head | None:
        """The last norm and the head. None: the norm has an unknown name."""
        inner = self.module.base_model
        norm = next((n for name in NORMS if (n := getattr(inner, name, None)) is not None), None)
        return None if norm is None else lambda states: self.head(norm(states))

    @torch.no_grad()
    def _probe(self, what: str) -> None:
        """Whether the model over cells of ours says what it says alone. Raises ValueError."""
        alone = self.module(torch.tensor([PROBE], device=self.module.device), use_cache=False).logits[0]
        try:
            first, made = self(PROBE[:2], self.blank())
            then, _ = self(PROBE[2:], made)
            apart = torch.cat([first.logits, then.logits]) - alone
            apart = torch.maximum(apart.abs().max(), (self.head(then.hidden) - then.logits).abs().max())
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
            apart = torch.tensor(torch.inf)
        if not apart <= 1e-3 * alone.std():
            raise ValueError(
                f"{what} says something else over keys and values that are given to it, so they cannot be "
                "edited; allowed are models of the usual decoder shape; choose one"
            )


# states of a text -----------------------------------------------------------------------------------------


class State(NamedTuple):
    """All that is known behind some text. A value: nothing in it is ever changed in place."""

    past: Past
    tail: tuple[int, ...]  # tokens behind the last closed window, at most a window
    cells: Tensor  # [layers, 2, groups, len(tail), width] of the tail
    said: Said | None = None  # of the last cell


@dataclass
class Row:
    """The part of one row that is read."""

    text: list[int]
    state: State
    guesses: dict[tuple[int, ...], State] = field(default_factory=dict)  # path beyond the text -> behind it


class Edited:
    """A net that edits its states by a rule. It runs one row and one chain of guesses at a time."""

    can = frozenset({"tree", "rows", "hidden", "layers"})

    def __init__(self, frozen: Frozen, rule: Rule, memory: Memory | None = None):
        self.frozen, self.rule = frozen, rule
        self.vocab, self.context = frozen.vocab, frozen.context
        self.chunk = max(CHUNK, rule.window + 1)  # a token more, so that its window can be closed
        moments = getattr(rule, "optimizer", "") == "adam"
        self.cell_bytes = frozen.cell_bytes * (3 if moments else 1)
        self.memory = memory or Memory(share_of_machine())
        self.memory.holders.append(self)
        self.forget()

    def forget(self) -> None:
        """Drop all states. They are made again, the same, from the text."""
        self.held: WeakKeyDictionary[Canvas, list[Row]] = WeakKeyDictionary()

    # reading ----------------------------------------------------------------------------------------------

    def start(self) -> State:
        """Before any text."""
        return State(Past(self.frozen.blank()), (), self.frozen.blank())

    def read(self, token: Sequence[int], state: State | None = None) -> Iterator[State]:
        """The state behind each of the tokens; what it says was said before the window's edit."""
        state = state or self.start()
        left = list(token)
        while left:
            known, room = len(state.tail), self.rule.window - len(state.tail)
            if len(left) > room:  # the window and the token behind it are known
                window = (*state.tail, *left[:room])
                past, said, made = self._close(state.past, (*window, left[room]))
            else:
                window = (*state.tail, *left)
                past, (said, made) = None, self._run(left, torch.cat([state.past.cells, state.cells], 3))
                made = torch.cat([state.cells, made], 3)
            before = state.past
            for i in range(known, len(window)):
                line = said.line(i - len(window) + len(said.hidden))
                state = State(before, window[: i + 1], made[:, :, :, : i + 1], line)
                yield state
            if past is not None:
                state = State(past, (), self.frozen.blank())
            del left[:room]

    def _run(self, token: Sequence[int], past: Tensor) -> tuple[Said, Tensor]:
        with torch.inference_mode(False), torch.no_grad():
            said, made = self.frozen(token, past)
        return self._decoded(said), made

    def _close(self, past: Past, token: Sequence[int]) -> tuple[Past, Said, Tensor]:
        """Edit: what was said of a window before, its cells as made, and the past that it joins."""
        following = torch.tensor(token[1:], device=past.cells.device)
        with torch.inference_mode(False), torch.set_grad_enabled(self.rule.moves):
            before = past.cells.detach().requires_grad_(self.rule.far)
            own = self.frozen.blank(len(following)).requires_grad_(self.rule.moves)
            said, made = self.frozen(token[:-1], before, own)
            error = self.rule.signal(said.logits, following)
            leaves = (own, before) if self.rule.far else (own,)
            gradient = torch.autograd.grad(error, leaves) if self.rule.moves else (own,)  # of zeros
        with torch.inference_mode(False), torch.no_grad():
            past = past._replace(losses=(*past.losses, float(error)))
            past = self.rule.edited(past, made, *gradient)
        return past, self._decoded(said._replace(logits=said.logits.detach())), made

    def _decoded(self, said: Said) -> Said:
        """What is said once the state that the head reads is corrected."""
        top = self.rule.top(said.hidden, self.frozen.head)
        if top is said.hidden:
            return said
        with torch.no_grad():
            return said._replace(logits=self.frozen.head(top), hidden=top)

    # the two verbs ----------------------------------------------------------------------------------------

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer | Exception | None]:
        answers: list[Answer | Exception | None] = []
        for ask, canvas in asks:
            try:
                answers.append(self._answer(ask, canvas))
            except UserError as error:
                answers.append(error)
        return answers

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        if canvas not in self.held:
            return
        if commit is None:
            self.memory.leave(id(canvas))
            del self.held[canvas]
            return
        old = self.held[canvas]
        parents = range(len(old)) if commit.parents is None else commit.parents
        self.held[canvas] = [
            _moved(old[parent], text) for parent, text in zip(parents, canvas.rows, strict=True)
        ]

    def _answer(self, ask: Ask, canvas: Canvas) -> Answer | None:
        if canvas not in self.held:
            self.memory.enter(canvas)
            self.held[canvas] = [Row([], self.start()) for _ in canvas.rows]
        rows, live = self.held[canvas], canvas.live
        fed = 0
        for h in live:
            fed += self._catch_up(rows[h], canvas, canvas.rows[h])
            if len(rows[h].text) < len(canvas.rows[h]):
                return None
        said: list[Said] = []
        lines: list[Lines] = []
        for i, h in enumerate(live):
            length, start = len(canvas.rows[h]), len(said)
            if ask.at is not None:
                cells = tuple(ask.at[i])
                said += self._said_of(canvas.rows[h], rows[h], cells)
                lines.append(Lines(h, start, length, cells=cells))
                continue
            tree = ask.guess[i] if ask.guess else Tree()
            more, count = self._guessed(rows[h], tree)
            said += more[ask.skip :]
            lines.append(Lines(h, start - ask.skip, length, tree))
            fed += count
        return self._together(said, tuple(lines), ask.layers, fed)

    def _together(
        self, said: list[Said], lines: tuple[Lines, ...], layers: Sequence[int], fed: int
    ) -> Answer:
        if not said:
            none = self.frozen.blank().new_zeros
            return Answer(none(0, self.vocab), lines, cells=fed, head=self.frozen.say)
        logits, hidden = torch.cat([s.logits for s in said]), torch.cat([s.hidden for s in said])
        inner = {layer: torch.cat([s.inner[layer] for s in said]) for layer in layers}
        return Answer(logits, lines, hidden, inner, fed, self.frozen.say)

    def _catch_up(self, row: Row, canvas: Canvas, text: list[int]) -> int:
        """Read what the row lacks, or as much as a call may; how many cells that was."""
        known = len(row.text)
        if row.text != text[:known]:
            row.text, row.state, row.guesses, known = [], self.start(), {}, 0
        more = text[known : known + self.chunk]
        if not more or not self.memory.room(len(more) * self.cell_bytes, canvas):
            return 0
        for state in self.read(more, row.state):
            row.state = state
        row.text, row.guesses = text[: known + len(more)], {}
        return len(more)

    def _guessed(self, row: Row, tree: Tree) -> tuple[list[Said], int]:
        """What is said behind the row's text and behind each guess, as if its path were written; and how
        many guesses had to be read. Chains of guesses are read in one go."""
        if any(token < 0 for token in tree.token):
            raise UserError(
                "the method guesses mixtures of tokens, and a net that edits its states learns from tokens; "
                "allowed are guesses of single tokens; choose another method for the option then"
            )
        behind = {(): row.state, **row.guesses}
        path: list[tuple[int, ...]] = []
        for token, parent in zip(tree.token, tree.parent):
            path.append((*(path[parent] if parent >= 0 else ()), token))
        fed, node = 0, 0
        while node < len(path):
            end = node + 1
            while end < len(path) and tree.parent[end] == end - 1 and path[end] not in behind:
                end += 1
            if path[node] not in behind:
                states = self.read(tree.token[node:end], behind[path[node][:-1]])
                behind.update(zip(path[node:end], states, strict=True))
                fed += end - node
                node = end
            else:
                node += 1
        row.guesses = {way: state for way, state in behind.items() if way}
        return [_last(row.state), *(_last(behind[way]) for way in path)], fed

    def _said_of(self, text: list[int], row: Row, cells: tuple[int, ...]) -> list[Said]:
        """What was said of cells of the text, each before it was known: read again from the start, unless it
        is the next cell alone."""
        assert all(0 < cell <= len(text) for cell in cells), "a cell of the text after its first, or the next"
        if set(cells) == {len(text)}:
            return [_last(row.state)] * len(cells)
        found = {
            place: _last(state)
            for place, state in enumerate(self.read(text[: max(cells, default=0)]), 1)
            if place in cells
        }
        return [found[cell] for cell in cells]

    # what memory asks for ---------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Bytes of states, as if no row shared any."""
        return sum(len(row.text) for rows in self.held.values() for row in rows) * self.cell_bytes

    def idle(self) -> int | None:
        return None  # states are private: nothing is left for others

    def drop_idle(self) -> None:
        raise AssertionError("nothing is idle")

    def pause(self, canvas: Canvas) -> None:
        self.held.pop(canvas, None)


def _last(state: State) -> Said:
    assert state.said is not None, "something was read"
    return state.said


def _moved(row: Row, text: list[int]) -> Row:
    """The row behind as much of its new text as was guessed."""
    known, state = len(row.text), row.state
    path: tuple[int, ...] = ()
    while known + len(path) < len(text) and (way := (*path, text[known + len(path)])) in row.guesses:
        path, state = way, row.guesses[way]
    return Row(text[: known + len(path)], state)
