"""Traces: how a text came about, one JSON object a line, enough to replay it.

The first line is the header, the last one what `Result.figures` says, and each line between is a step: what
was committed and the asks that led to it, for each guess its token, parent, drafter, the target's probability
of it, and whether it was accepted. `docs/playground.md` names every field.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from anyorder import registry
from anyorder.card import Card
from anyorder.core.decode import Event, Request
from anyorder.core.types import Answer, Ask, Lines, Tree
from anyorder.errors import UserError
from anyorder.text import Speller

FORMAT = 2
OWN, STEP = "own", "step"  # who wrote a token: the target itself; a step of an any-order method


def header(model: str, card: Card, request: Request, prompt: str) -> dict[str, Any]:
    """The first line: what was asked of whom."""
    from anyorder import __version__

    canvas = request.canvas
    return {
        "anyorder_trace": FORMAT, "anyorder": __version__, "model": model, "method": card.name,
        "exact": card.exact, "prompt": prompt, "prompt_tokens": canvas.prompt, "canvas": card.canvas,
        "cells": None if canvas.mask is None else len(canvas.rows[0]) - canvas.prompt,
    }  # fmt: skip


class Steps:
    """The steps of one request. `watch` goes to `decode`, `step` makes a record of each event."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self.spellers = [Speller(tokenizer)]  # of the rows
        self.asks: list[dict[str, Any]] = []
        self.laws: list[tuple[Lines, Any]] = []  # of the target's runs: lines and their laws, the last first
        self.count, self.start = 0, time.perf_counter()

    def watch(self, request: Request, ask: Ask, answer: Answer) -> None:
        laws = answer.logits.softmax(-1)
        rows = []
        for lines in answer.rows:
            mine = laws[lines.start : lines.start + lines.count] if not ask.skip else None
            cells = None if lines.cells is None else [i - request.canvas.prompt for i in lines.cells]
            rows.append({"row": lines.row, "cells": cells, "guess": self._guesses(lines, mine)})
            if ask.net == "target":
                self.laws.insert(0, (lines, mine))
        why = {"why": ask.why} if ask.why else {}
        self.asks.append({"net": ask.net, "cells": answer.cells, "rows": rows} | why)

    def step(self, event: Event) -> dict[str, Any]:
        """The record of what just became true."""
        canvas, parents = event.request.canvas, event.commit.parents
        if parents is not None:
            self.spellers = [_twin(self.spellers[p]) for p in parents]
        self.spellers += [Speller(self.tokenizer) for _ in range(len(canvas.rows) - len(self.spellers))]
        live = [h for h, tokens in enumerate(event.written.token) if tokens or parents is not None]
        record = {
            "step": self.count,
            "ms": round(1000 * (time.perf_counter() - self.start), 2),
            "rows": len(canvas.rows),
            "asked": self.asks,
            "committed": [self._row(event, h) for h in live],
        }
        if self.count == 0 and canvas.mask is not None and (given := self._given(event)):
            record["given"] = given
        self.asks, self.laws, self.count = [], [], self.count + 1
        return record

    def _given(self, event: Event) -> dict[str, list[Any]]:
        """Fixed text between the holes: what the first row has that the first commit did not write."""
        canvas, written = event.request.canvas, set((event.written.at or ((),))[0])
        row = enumerate(canvas.rows[0])
        fixed = [(i, t) for i, t in row if i >= canvas.prompt and t != canvas.mask and i not in written]
        texts = [self._spelt(token) for _, token in fixed]
        return {"at": [i - canvas.prompt for i, _ in fixed], "texts": texts} if fixed else {}

    def _row(self, event: Event, h: int) -> dict[str, Any]:
        """What one row got."""
        written, canvas = event.written, event.request.canvas
        tokens, source = list(written.token[h]), event.commit.parents[h] if event.commit.parents else h
        lines, laws = next(((x, p) for x, p in self.laws if x.row == source), (None, None))
        if written.at is None:
            at, cells = None, None
            texts: list[str | None] = [self.spellers[h].add([token]) for token in tokens]
        else:
            at = list(written.at[h])
            cells = [i - canvas.prompt for i in at]
            texts = [None if token == canvas.mask else self._spelt(token) for token in tokens]
        path = [] if lines is None or lines.cells is not None else walked(lines.tree, tokens)
        return {
            "row": h, "parent": source, "token": tokens, "texts": texts,
            "probability": _along(lines, laws, tokens, path, at), "accepted": path,
            "by": [STEP] * len(tokens) if at is not None else _writers(lines, path, len(tokens)),
            "at": cells, "cut": len(canvas.rows[h]) - canvas.prompt if event.commit.cut else None,
            "ended": written.ended[h],
        }  # fmt: skip

    def _guesses(self, lines: Lines, laws: Any) -> list[dict[str, Any]]:
        tree = lines.tree
        out = []
        for i, (token, parent) in enumerate(zip(tree.token, tree.parent, strict=True)):
            p = None if laws is None or token < 0 else round(float(laws[parent + 1, token]), 6)
            text, by = self._spelt(token) if token >= 0 else None, tree.source[i] if tree.source else ""
            out.append({"token": token, "text": text, "parent": parent, "by": by, "p": p})
        return out

    def _spelt(self, token: int) -> str:
        return self.tokenizer.decode([token], skip_special_tokens=True)


def _twin(speller: Speller) -> Speller:
    """One that goes on by itself from the same text."""
    twin = copy(speller)
    twin.tokens = list(speller.tokens)
    return twin


def walked(tree: Tree, tokens: Sequence[int]) -> list[int]:
    """The nodes of the tree that the tokens walk along, as far as they do."""
    children, node, path = tree.children(), -1, []
    for token in tokens:
        node = next((i for i in children.get(node, ()) if tree.token[i] == token), -2)
        if node == -2:
            break
        path.append(node)
    return path


def _writers(lines: Lines | None, path: Sequence[int], count: int) -> list[str]:
    """Who wrote each token: the drafters of the accepted guesses, then the target."""
    source = lines.tree.source if lines is not None else ()
    return [(source[i] if source else "") or "guess" for i in path] + [OWN] * (count - len(path))


def _along(
    lines: Lines | None, laws: Any, tokens: Sequence[int], path: Sequence[int], at: Sequence[int] | None
) -> list[float | None] | None:
    """The target's probability of each committed token after the ones before it, or in its cell; None for a
    token that was not asked for."""
    if lines is None or laws is None:
        return None
    if lines.cells is not None:
        line = {cell: i for i, cell in enumerate(lines.cells)}
        pairs = zip(at or (), tokens, strict=True)
        return [round(float(laws[line[i], t]), 6) if i in line else None for i, t in pairs]
    said = [round(float(laws[n + 1, t]), 6) for n, t in zip([-1, *path], tokens, strict=False)]
    return [*said, *[None] * (len(tokens) - len(said))]


# files ------------------------------------------------------------------------------------------------------


class Tracer:
    """Writes the trace of one request to a file."""

    def __init__(self, path: Path):
        """Raises UserError if the file cannot be written."""
        try:
            self.file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"trace file {path} cannot be written ({error.strerror}); name a file in a folder that can"
            ) from error

    def begin(self, model: Any, request: Request, method: str, prompt: str) -> None:
        """The header, before the first step. `model`: of `anyorder.load`."""
        self.steps = Steps(model.tokenizer)
        card = registry.card(model.chosen(method, None))
        self._line(header(model.name, card, request, prompt))

    def watch(self, request: Request, ask: Ask, answer: Answer) -> None:
        self.steps.watch(request, ask, answer)

    def write(self, event: Event) -> None:
        """One line for what just became true."""
        self._line(self.steps.step(event))

    def close(self, figures: Mapping[str, Any]) -> None:
        """The last line."""
        self._line({"end": figures})
        self.file.close()

    def _line(self, record: Mapping[str, Any]) -> None:
        self.file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any] | None]:
    """Header, steps and figures (None: it ended early) of a trace file. Raises UserError for what is none, or
    one of another version."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no trace ({error}); name a file that --trace wrote") from None
    found = lines[0].get("anyorder_trace") if lines and isinstance(lines[0], dict) else None
    if found != FORMAT:
        raise UserError(
            f"{path} is a trace of version {found or 'unknown'}; allowed is {FORMAT}; write it anew with "
            "anyorder generate --trace"
        )
    end = lines[-1].get("end")
    return lines[0], lines[1:-1] if end else lines[1:], end
