"""An any-order canvas on the terminal: text where it is written, a shade where not, filling in place."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rich.text import Text

from anyorder.text import words_only

if TYPE_CHECKING:
    from anyorder.core.canvas import Canvas

HOLE = "░"
FRESH = "bold green"  # what the last commit wrote


def drawn(canvas: Canvas, tokenizer: Any, fresh: Collection[int] = ()) -> Text:
    """The first row's generated cells. `fresh`: positions that were just written. A run of cells of one kind
    is spelt together, so that words and broken characters look as they will."""
    text, row = Text(), canvas.rows[0]
    runs: list[tuple[str, list[int]]] = []
    for i in range(canvas.prompt, len(row)):
        kind = "hole" if row[i] == canvas.mask else "fresh" if i in fresh else "old"
        if not runs or runs[-1][0] != kind:
            runs.append((kind, []))
        runs[-1][1].append(row[i])
    for place, (kind, tokens) in enumerate(runs):
        word = HOLE * len(tokens) if kind == "hole" else tokenizer.decode(tokens, skip_special_tokens=True)
        apart = place and word and words_only(tokenizer)
        text.append(f" {word}" if apart else word, style={"hole": "dim", "fresh": FRESH}.get(kind, ""))
    return text
