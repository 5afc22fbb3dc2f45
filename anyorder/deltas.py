"""From commits to text that can be shown as it comes: what was given is never taken back.

While a method keeps several rows nothing is certain: the best one's text comes at the end. Cells of an
any-order canvas are named as they are written; their text is certain up to the first hole, unless the method
may write a cell again (its card says so), and then it comes at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from anyorder import registry
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Event
from anyorder.text import Speller


class Delta(NamedTuple):
    """What one commit adds. `texts[i]`: what cell `cells[i]`, counted from the end of the prompt, shows now;
    None: a hole again. The first row's."""

    text: str = ""
    cells: tuple[int, ...] = ()
    texts: tuple[str | None, ...] = ()


def revises(method: str, options: Mapping[str, Any]) -> bool:
    """Whether cells may be written twice: by the method, or by one that its options name.

    >>> revises("prefix_cache", {"then": "wino/draft=0.5"})
    True
    """
    if registry.card(method).revises:
        return True
    specs = [registry.parsed(v)[0] for v in options.values() if isinstance(v, str) and v.isprintable()]
    return any(registry.cards()[name].revises for name in specs if name in registry.cards())


class Deltas:
    """The text of one request, bit by bit. `certain`: cells are never written twice."""

    def __init__(self, tokenizer: Any, canvas: Canvas, stop: Sequence[str] = (), certain: bool = True):
        self.tokenizer, self.canvas = tokenizer, canvas
        self.speller = Speller(tokenizer, stop)
        self.certain = certain
        self.shown = 0  # characters of the text that were given
        self.read = 0  # cells of the first row that were spelt

    def add(self, event: Event) -> Delta:
        """What the commit adds."""
        canvas = self.canvas
        if event.written.at is None:
            self.certain &= event.commit.parents is None and len(canvas.rows) == 1
            return Delta(self._spelt(event.written.token[0]))
        at, token = event.written.at[0], event.written.token[0]
        one = self.tokenizer.decode
        texts = [None if t == canvas.mask else one([t], skip_special_tokens=True) for t in token]
        cells = tuple(i - canvas.prompt for i in at)
        row = canvas.generated()
        sure = row[: row.index(canvas.mask)] if canvas.mask in row else row
        new, self.read = sure[self.read :], len(sure)
        return Delta(self._spelt(new), cells, tuple(texts))

    def end(self, text: str) -> str:
        """The rest of the finished text."""
        rest = text[self.shown :]
        self.shown = len(text)
        return rest

    def _spelt(self, tokens: Sequence[int]) -> str:
        if not self.certain:
            return ""
        new = self.speller.add(tokens)
        self.shown += len(new)
        return new
