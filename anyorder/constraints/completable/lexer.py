"""Terminals as automata over kinds of characters, all read side by side.

Characters that no terminal tells apart are one kind. A state of the lexer says for every terminal where
its own automaton stands; so one pass over a text knows every terminal that may end, and every one that
may go on.

A terminal takes as much as it can (as in Lark's `dynamic` lexer): it may not end before a character with
which it could go on. What another terminal could do with that character forbids nothing.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from anyorder.errors import UserError

DEAD = -1
OTHER = 0  # the kind of every character that no terminal names; also of a piece of a character
SAMPLES = " 0aex1_\"'{}[]():;,.=+-*/<>!&|\n"  # what stands for its kind in a text we write, best first
REPLACED = {  # lazy expressions of Lark's `common`, which are not regular as they stand
    r'".*?(?<!\\)(\\\\)*?"': r'"(?:[^"\\\n]|\\[^\n])*"',
    "/\\*(.|\n)*?\\*/": r"/\*(?:[^*]|\*+[^*/])*\*+/",
}
REFUSED = (
    (r"\(\?<?[=!]", "a look ahead or behind"),
    (r"(?:[*+?]|\{\d*,?\d*\})[?+]", "a lazy or possessive repetition"),
    (r"\(\?P=|\\[1-9]", "a reference to a group"),
    (r"\\[bBAZzG]|\^|\$", "an anchor"),
    (r"\\[pP]", "a Unicode property"),
)


class Machine(NamedTuple):
    """One terminal: state 0 is its start, dead states are left out."""

    kinds: dict[str, int]  # named character -> its column
    other: int  # the column of every other character; DEAD: none may come
    step: list[dict[int, int]]  # state -> column -> state
    final: frozenset[int]


def plain(pattern: str) -> str:
    """The expression without escapes and classes: what is left are its operators."""
    return re.sub(r"\\[^1-9bBAZzGpP]|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern, flags=re.DOTALL)


def machine(pattern: str, flags: Iterable[str] = ()) -> Machine:
    """The automaton of an expression in Python's syntax. Raises UserError for what is not regular or not
    known; the message begins with what it is."""
    pattern = REPLACED.get(pattern, pattern)
    for refused, name in REFUSED:
        if re.search(refused, plain(pattern)):
            raise UserError(f"{name} in /{pattern}/")
    try:
        re.compile(pattern)
    except re.error as error:
        raise UserError(f"the expression /{pattern}/ ({error})") from error
    library = importlib.import_module("interegular.patterns")
    written = re.sub(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})", _letter, pattern)
    try:
        parsed = library.parse_pattern(f"(?{''.join(sorted(flags))}:{written})" if flags else written)
        return _trimmed(parsed.to_fsm())
    except (library.Unsupported, library.InvalidSyntax) as error:
        raise UserError(f"the expression /{pattern}/ ({str(error) or 'not understood'})") from error
    except Exception as error:  # the library's parser names what it met by an exception of its own
        if type(error).__name__ not in ("NoMatch", "nomatch"):
            raise
        raise UserError(f"the expression /{pattern}/ (not understood)") from error


def _letter(match: re.Match[str]) -> str:
    return re.escape(chr(int(match[1] or match[2], 16)))


def _trimmed(fsm: Any) -> Machine:
    """The library's automaton without the states that lead nowhere."""
    into: dict[int, set[int]] = {}
    for state, row in fsm.map.items():
        for after in row.values():
            into.setdefault(after, set()).add(state)
    live, todo = set(fsm.finals), list(fsm.finals)
    while todo:
        fresh = into.get(todo.pop(), set()) - live
        live |= fresh
        todo += fresh
    step = {s: {c: after for c, after in fsm.map.get(s, {}).items() if after in live} for s in live}
    step.setdefault(fsm.initial, {})
    number = _merged(step, set(fsm.finals))
    number = {s: (n - number[fsm.initial]) % len(set(number.values())) for s, n in number.items()}
    rows = {number[s]: {c: number[after] for c, after in row.items()} for s, row in step.items()}
    named = {symbol: column for symbol, column in fsm.alphabet.items() if isinstance(symbol, str)}
    other = next((c for symbol, c in fsm.alphabet.items() if not isinstance(symbol, str)), DEAD)
    return Machine(named, other, [rows[n] for n in sorted(rows)], frozenset(number[s] for s in fsm.finals))


def _merged(step: dict[int, dict[int, int]], final: set[int]) -> dict[int, int]:
    """State -> number, the same for states that no text tells apart (Moore)."""
    number, count = {s: int(s in final) for s in step}, 0
    while True:
        signs = {
            s: (number[s], tuple(sorted((c, number[t]) for c, t in row.items()))) for s, row in step.items()
        }
        names = {sign: i for i, sign in enumerate(dict.fromkeys(signs.values()))}
        number = {s: names[sign] for s, sign in signs.items()}
        if len(names) == count:
            return number
        count = len(names)


class Lexer:
    """Several machines at once, determined as far as texts need it."""

    def __init__(self, machines: Sequence[Machine]):
        self.machines = machines
        columns: dict[tuple[int, ...], int] = {tuple(m.other for m in machines): OTHER}
        self.kind: dict[str, int] = {}
        for letter in sorted(set().union(*(m.kinds for m in machines))):
            column = tuple(m.kinds.get(letter, m.other) for m in machines)
            self.kind[letter] = columns.setdefault(column, len(columns))
        self.columns = list(columns)
        self.sample = [self._sample(kind) for kind in range(len(self.columns))]
        self.order = sorted(range(len(self.columns)), key=self._rank)
        self.numbers: dict[tuple[int, ...], int] = {}
        self.states: list[tuple[int, ...]] = []  # where each machine stands, or DEAD
        self.table: list[list[int | None]] = []  # state -> kind -> state
        self.ends: list[tuple[int, ...]] = []  # state -> terminals that may end there
        self.holds: dict[tuple[int, int], int] = {}
        self.start = self._number((0,) * len(machines))

    def _sample(self, kind: int) -> str:
        if kind == OTHER:
            return next((c for c in [*SAMPLES, *map(chr, range(33, 127)), "é"] if c not in self.kind), "�")
        letters = [letter for letter, its in self.kind.items() if its == kind]
        return min(letters, key=lambda c: (SAMPLES.find(c) % 99, not c.isprintable(), c))

    def _rank(self, kind: int) -> int:
        return SAMPLES.find(self.sample[kind]) % 99

    def _number(self, state: tuple[int, ...]) -> int:
        if state not in self.numbers:
            self.numbers[state] = len(self.states)
            self.states.append(state)
            self.table.append([None] * len(self.columns))
            self.ends.append(tuple(t for t, s in enumerate(state) if s in self.machines[t].final))
        return self.numbers[state]

    def kinds(self, text: str) -> Iterator[int]:
        return (self.kind.get(letter, OTHER) for letter in text)

    def step(self, state: int, kind: int) -> int:
        """The state one character later; DEAD where no terminal goes on."""
        known = self.table[state][kind]
        if known is None:
            column = self.columns[kind]
            after = tuple(
                m.step[s].get(c, DEAD) if s >= 0 else DEAD
                for m, s, c in zip(self.machines, self.states[state], column)
            )
            known = DEAD if all(s < 0 for s in after) else self._number(after)
            self.table[state][kind] = known
        return known

    def held(self, terminal: int, state: int) -> int:
        """The set of kinds before which a terminal may not end here, as bits: it could go on with them."""
        key = (terminal, self.states[state][terminal])
        if key not in self.holds:
            row = self.machines[terminal].step[key[1]]
            self.holds[key] = sum(1 << k for k, column in enumerate(self.columns) if column[terminal] in row)
        return self.holds[key]

    def begins(self, terminal: int) -> int:
        """The kinds that a word of the terminal may begin with, as bits."""
        return sum(
            1 << k for k, c in enumerate(self.columns) if c[terminal] in self.machines[terminal].step[0]
        )

    def goes_on(self, terminal: int) -> int:
        """The kinds with which some word of the terminal could go on, as bits."""
        rows = [self.machines[terminal].step[s] for s in self.machines[terminal].final]
        return sum(1 << k for k, c in enumerate(self.columns) if any(c[terminal] in row for row in rows))

    def divides(self, blank: int) -> bool:
        """Whether a letter of this terminal can be written between any two words, and before any of the
        terminal's own words as a part of them; so that what may stand beside what need not be asked."""
        machine, mine = self.machines[blank], self.begins(blank)
        after = {s for c, s in machine.step[0].items()}
        if not mine or any(s not in machine.final or machine.step[s] != machine.step[0] for s in after):
            return False
        others = [t for t in range(len(self.machines)) if t != blank]
        return not any(mine & self.begins(t) or not mine & ~self.goes_on(t) for t in others)

    def divider(self, blank: int, terminal: int) -> str:
        """A letter of the blank terminal that ends every word of another."""
        free = self.begins(blank) & ~self.goes_on(terminal)
        return next(self.sample[kind] for kind in self.order if free >> kind & 1)

    def nullable(self) -> set[int]:
        """Terminals that may be empty."""
        return {t for t, m in enumerate(self.machines) if 0 in m.final}
