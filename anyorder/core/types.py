"""The nouns of decoding: what a method may ask, what it may commit, and what comes back.

Decoding is choosing which cells to make true next. A method is a generator that yields two verbs:

>>> token = yield Ask(argmax)                  # run a net once, read something small off its answer
>>> yield Commit([[t] for t in token])         # make it true

Letters for shapes: H rows, N guesses of a row, M lines of an answer, K tokens written to a row, V vocabulary,
D width. `p` is the target's law of a token, `q` a drafter's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from anyorder.core.canvas import Canvas
    from anyorder.core.chance import Chance

Cells = Sequence[Sequence[int]]  # [H][K] positions, counted from the first token of the prompt
Tokens = Sequence[Sequence[int]]  # [H][K] token ids

EXACT: Cells = ()  # nothing stale may be reused


@dataclass(frozen=True, slots=True)
class Tree:
    """Tokens assumed beyond one row's text. Node 0 comes first; a parent always precedes its children.

    `q` travels with the tokens only as the law they were really drawn from. Deterministic drafts carry none
    and are judged as point masses. A negative token names a mixture of embeddings; it is never committed.
    """

    token: tuple[int, ...] = ()  # [N]
    parent: tuple[int, ...] = ()  # [N] index of the node before, -1: the end of the row's text
    q: Tensor | None = None  # [N, V] law that each node was drawn from, or None
    source: tuple[str, ...] = ()  # [N] who drafted the node; for traces only
    soft: Mapping[int, Mapping[int, float]] = field(default_factory=dict)  # negative token -> token: weight

    def __post_init__(self) -> None:
        assert len(self.token) == len(self.parent), "a tree needs one parent for each token"
        assert all(-1 <= p < i for i, p in enumerate(self.parent)), "a parent must precede its children"
        assert all(t >= 0 or t in self.soft for t in self.token), "a soft node needs its mixture"

    def __len__(self) -> int:
        return len(self.token)

    @property
    def depth(self) -> tuple[int, ...]:
        """[N] steps from the end of the text; the first guessed token of a path has depth 1."""
        depth: list[int] = []
        for parent in self.parent:
            depth.append(1 if parent < 0 else depth[parent] + 1)
        return tuple(depth)

    def path(self, node: int) -> list[int]:
        """Tokens from the end of the text down to `node`, inclusive; [] for node -1."""
        tokens: list[int] = []
        while node >= 0:
            tokens.append(self.token[node])
            node = self.parent[node]
        return tokens[::-1]

    def children(self) -> dict[int, list[int]]:
        """Node (-1: end of the text) to its children in drafting order."""
        children: dict[int, list[int]] = {}
        for node, parent in enumerate(self.parent):
            children.setdefault(parent, []).append(node)
        return children


def chain(tokens: Sequence[int], q: Tensor | None = None, source: str = "") -> Tree:
    """A tree without branches.

    >>> chain([5, 6]).parent
    (-1, 0)
    """
    return Tree(tuple(tokens), tuple(range(-1, len(tokens) - 1)), q, (source,) * len(tokens))


@dataclass(frozen=True, slots=True)
class Lines:
    """Which lines of an answer belong to one live row.

    Without `at`: line `start` speaks about the cell after the row's text, line `start + 1 + i` about the cell
    after guess i (lines the ask skipped are not there). With `at`: line `start + i` is about `cells[i]`.
    """

    row: int
    start: int
    length: int  # tokens in the row's text
    tree: Tree = Tree()
    cells: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        return len(self.tree) + 1 if self.cells is None else len(self.cells)

    def position(self, line: int) -> int:
        """Position of the cell that the `line`-th of this row's lines predicts."""
        if self.cells is not None:
            return self.cells[line]
        return self.length + (self.tree.depth[line - 1] if line else 0)


@dataclass(slots=True)
class Answer:
    """What one run of a net says: a line for each live row's end and each guess, or for each cell of `at`."""

    logits: Tensor  # [M, V] float32 or wider
    rows: tuple[Lines, ...]  # one for each live row, in order
    hidden: Tensor | None = None  # [M, D] what the output head read
    layers: Mapping[int, Tensor] = field(default_factory=dict)  # layer -> [M, D], those the ask named
    cells: int = 0  # cells fed to the net for this ask
    head: Callable[[Tensor], Tensor] | None = None  # the net's last norm and output head: [M, D] -> [M, V]


Reader = Callable[["Answer", "Chance"], Any]
Shape = Callable[["Answer", "Canvas"], "Answer"]


@dataclass(frozen=True, slots=True)
class Ask:
    """Run one net once. `read` turns its answer into something small; the flow receives that."""

    read: Reader
    guess: tuple[Tree, ...] = ()  # one for each live row; (): no guesses
    at: Cells | None = None  # any-order nets: the cells to predict, for each live row
    net: str = "target"
    layers: tuple[int, ...] = ()  # hidden states wanted besides the last: 0 = embeddings, i = after block i
    why: str = ""  # for traces: why this and not another
    skip: int = 0  # leading lines of each row that are not wanted (1: not the row's end, 2: nor guess 0, ...)
    fill: tuple[Mapping[int, int], ...] = ()  # any-order nets: cell -> token assumed there, for each live row
    blind: Cells = ()  # of `at`, cells answered by a hole beside them that sees all cells but them
    drift: float = -1.0  # two-way nets: stale states go from the block on where attention turned below this


@dataclass(frozen=True, slots=True)
class Commit:
    """Make tokens true. The flow receives a `Written`."""

    token: Tokens  # one list for each live row, or new row of `parents`: appended, or written at `at`
    at: Cells | None = None  # any-order canvases: one list of positions for each live row
    parents: tuple[int, ...] | None = None  # new row h continues old row parents[h]: fork, prune, reorder
    score: tuple[float, ...] | None = None  # [H]
    keep: Cells = EXACT  # two-way nets: cells whose inner state may be reused although stale
    cut: Sequence[int] = ()  # any-order canvases: each live row has no cells from here on


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit really wrote, after end-of-text, stop strings and budget cut it."""

    token: Tokens  # [H][K']
    at: Cells | None = None
    ended: tuple[str | None, ...] = ()  # [H] "eos", "stop", "length", or None while the row lives


class Net(Protocol):
    """A network behind two verbs. The law: caches follow the text.

    An answer depends on text and guesses only (and on `Commit.keep`, for methods that admit to it).
    """

    vocab: int  # V
    context: int  # longest text, tokens
    can: frozenset[str]  # of "tree", "rows", "pack" (many asks in one run), "hidden", "layers", "any-order"

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> Sequence[Answer | Exception | None]:
        """Catch up with all text not yet computed, add the guesses, answer the asks from one run.

        None puts an ask off to the next run; an exception says why this one cannot be answered.
        """
        ...

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        """Drop what no longer spells the text. None: the canvas is over."""
        ...


Flow = Generator["Ask | Commit | tuple[Ask, ...]", Any, None]
Method = Callable[["Canvas"], Flow]
