"""The file of a sweep: JSON lines, the first saying how all cells are measured, then one for each cell.

A cell's line stands there whole or not at all: a last line without its end, left by a process that was
killed, is cut. Of several lines of one cell the last counts, so that a cell that failed can be tried again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from anyorder.errors import UserError

VERSION = 1
MARK = "anyorder_sweep"  # begins the first line


class Key(NamedTuple):
    """Names a cell."""

    method: str
    model: str
    suite: str
    seed: int

    def __str__(self) -> str:
        return f"{self.method}, {self.model}, {self.suite}, seed {self.seed}"


KEY = Key._fields


class Results:
    """An open file of results, this process's alone. `lines`: the last line of each cell."""

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        """Opens or makes the file. `settings`: what all cells share. Raises UserError for a file that
        cannot be written, that another sweep holds, that is none of a sweep or that has other settings."""
        self.path = path
        self.lines: dict[Key, dict[str, Any]] = {}
        self._head = {MARK: VERSION, **settings}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise UserError(
                f"--out {path} cannot be written ({error.strerror}); name one that can"
            ) from error
        try:
            self._lock()
            self.read()
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another sweep writes to {self.path}; allowed is one at a time; wait for it or "
                "name another --out"
            ) from None

    def read(self) -> None:
        """Take what is there, cut a half-written end, begin a new file. Raises UserError."""
        self._file.seek(0)
        *whole, rest = self._file.read().split(b"\n")
        begin = json.dumps(self._head)[: len(MARK) + 2].encode()  # of the first line
        first = whole[0] if whole else rest
        if not (first.startswith(begin) or (not whole and begin.startswith(first))):
            raise UserError(
                f"--out {self.path} is a file of something else; allowed is one of a sweep; name another"
            )
        if whole:
            self._agree(self._parsed(whole[0], 1))
        for number, line in enumerate(whole[1:], start=2):
            self._take(self._parsed(line, number))
        if rest:
            self._file.truncate(sum(len(line) + 1 for line in whole))
        if not whole:
            self._write(self._head)

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            said = json.loads(line)
            if number > 1:
                hash(Key(*(said[name] for name in KEY)))
                _ = said["failed" if "failed" in said else "report"]
            return said
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"line {number} of {self.path} is no cell of a sweep; allowed are whole JSON lines that a "
                "sweep wrote; take it out or name another --out"
            ) from None

    def _agree(self, there: Mapping[str, Any]) -> None:
        head = self._head
        for name in {**there, **head}:
            if there.get(name) != head.get(name):
                flag = "its version" if name == MARK else "--" + name.replace("_", "-")
                raise UserError(
                    f"{self.path} holds cells measured otherwise: {flag} was {there.get(name)} and is "
                    f"{head.get(name)}; allowed is one configuration in a file; name another --out"
                )

    def _take(self, line: dict[str, Any]) -> None:
        key = Key(*(line[name] for name in KEY))
        self.lines.pop(key, None)  # in the order of the last lines
        self.lines[key] = line

    def add(self, key: Key, said: Mapping[str, Any]) -> None:
        """Keep a cell's line, on the disk before this returns."""
        line = {**key._asdict(), **said}
        self._write(line)
        self._take(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def done(self, key: Key) -> bool:
        """Whether the cell was measured."""
        return key in self.lines and "failed" not in self.lines[key]

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
