"""Traces: one JSON line per step, enough to replay how a text came about.

A line holds what was committed and the asks that led to it: for each guess its token, parent, drafter, the
target's probability of it, and whether it was accepted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anyorder.core.decode import Event, Request
from anyorder.core.types import Answer, Ask, Lines
from anyorder.errors import UserError


class Tracer:
    """`watch` goes to `decode`; `write` gets every event."""

    def __init__(self, path: Path):
        try:
            self.file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"trace file {path} cannot be written ({error.strerror}); name a file in a folder that can"
            ) from error
        self.asks: list[dict[str, Any]] = []
        self.laws: list[tuple[Lines, Any]] = []  # of the last run of the target: its lines and their laws
        self.step = 0

    def watch(self, request: Request, ask: Ask, answer: Answer) -> None:
        laws = answer.logits.softmax(-1)
        rows = []
        for lines in answer.rows:
            mine = laws[lines.start : lines.start + lines.count] if not ask.skip else None
            rows.append({"row": lines.row, "cells": lines.cells, "guess": _guesses(lines, mine)})
            if ask.net == "target":
                self.laws.append((lines, mine))
        why = {"why": ask.why} if ask.why else {}
        self.asks.append({"net": ask.net, "cells": answer.cells, "rows": rows} | why)

    def write(self, event: Event, tokenizer: Any) -> None:
        """One line for what just became true."""
        rows = []
        for h, tokens in enumerate(event.written.token):
            source = event.commit.parents[h] if event.commit.parents else h
            lines, laws = next(((x, p) for x, p in self.laws if x.row == source), (None, None))
            at = list(event.written.at[h]) if event.written.at else None
            rows.append({
                "row": h, "parent": source, "token": list(tokens), "text": tokenizer.decode(list(tokens)),
                "probability": _along(lines, laws, tokens, at), "ended": event.written.ended[h],
                "accepted": _accepted(lines, tokens), "at": at,
            })  # fmt: skip
        line = {"step": self.step, "asked": self.asks, "committed": rows}
        self.file.write(json.dumps(line) + "\n")
        self.asks, self.laws, self.step = [], [], self.step + 1

    def close(self) -> None:
        self.file.close()


def _guesses(lines: Lines, laws: Any) -> list[dict[str, Any]]:
    tree = lines.tree
    out = []
    for i, (token, parent) in enumerate(zip(tree.token, tree.parent, strict=True)):
        p = None if laws is None or token < 0 else round(float(laws[parent + 1, token]), 6)
        out.append({"token": token, "parent": parent, "by": tree.source[i] if tree.source else "", "p": p})
    return out


def _path(lines: Lines, tokens: Any) -> list[int]:
    """The nodes of the tree that the tokens walk along, as far as they do."""
    children, node, path = lines.tree.children(), -1, []
    for token in tokens:
        node = next((i for i in children.get(node, ()) if lines.tree.token[i] == token), -2)
        if node == -2:
            break
        path.append(node)
    return path


def _accepted(lines: Lines | None, tokens: Any) -> list[int]:
    return [] if lines is None or lines.cells is not None else _path(lines, tokens)


def _along(
    lines: Lines | None, laws: Any, tokens: Any, at: list[int] | None = None
) -> list[float | None] | None:
    """The target's probability of each committed token after the ones before it, or in its cell; None for a
    cell that was not asked for."""
    if lines is None or laws is None:
        return None
    if lines.cells is not None:
        line = {cell: i for i, cell in enumerate(lines.cells)}
        pairs = zip(at or (), tokens, strict=True)
        return [round(float(laws[line[i], t]), 6) if i in line else None for i, t in pairs]
    nodes = [-1, *_path(lines, tokens)]
    return [round(float(laws[n + 1, t]), 6) for n, t in zip(nodes, tokens, strict=False)]
