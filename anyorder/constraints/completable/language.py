"""A grammar, compiled: a lexer for its terminals, and rules whose right sides have at most two symbols.

>>> language = Language.of_lark('start: "(" start ")" | "x"')
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from anyorder.constraints.completable.lexer import Lexer
from anyorder.constraints.completable.reading import Rules, read
from anyorder.errors import UserError

Rule = tuple[int, tuple[int, ...]]


class Language:
    """Symbols are numbers, terminals first. A rule is (symbol, right side of one or two symbols); symbols in
    `empty` may also derive nothing. `first[X]` are the terminals that a word of X may begin with, as bits.
    `blank`: an ignored terminal that can be written between any two words, if there is one."""

    def __init__(self, grammar: Rules, option: str = "grammar"):
        self.lexer = Lexer(grammar.machines)
        self.names = grammar.names
        self.terminals = len(grammar.machines)
        self.blank = next((t for t in grammar.ignored if self.lexer.divides(t)), None)
        rules, self.start, size = _spaced(grammar)
        rules, self.start = _without_aliases(rules, self.start, self.terminals)
        rules, size = _paired(rules, size)
        self.empty = _empty(rules) | self.lexer.nullable()
        self.empty |= _closed(rules, self.empty)
        rules = _useful([rule for rule in rules if rule[1]], self.empty, self.terminals, self.start)
        self.rules: dict[int, list[tuple[int, int]]] = defaultdict(list)  # symbol -> (first, second or -1)
        self.alone: dict[int, list[int]] = defaultdict(list)  # X -> every A of a rule A: X
        self.before: dict[int, list[tuple[int, int]]] = defaultdict(list)  # X -> (Y, A) of a rule A: X Y
        for symbol, right in dict.fromkeys(rules):
            second = right[1] if len(right) == 2 else -1
            self.rules[symbol].append((right[0], second))
            if second < 0:
                self.alone[right[0]].append(symbol)
            else:
                self.before[right[0]].append((second, symbol))
        if self.start >= self.terminals and self.start not in self.rules and self.start not in self.empty:
            raise UserError(f"no text satisfies {option}: its rules never end; give a rule an end")
        self.first = _first(self.rules, self.empty, self.terminals, size)

    @classmethod
    def of_lark(cls, text: str, option: str = "grammar") -> Language:
        """Of a grammar in Lark's syntax; its start rule is `start`. Raises UserError."""
        return cls(read(text, option), option)


def _spaced(grammar: Rules) -> tuple[list[Rule], int, int]:
    """Rules in which what is ignored may follow every terminal."""
    if not grammar.ignored:
        return list(grammar.rules), grammar.start, grammar.size
    terminals, size = len(grammar.machines), grammar.size
    space, word = size, {t: size + 1 + t for t in range(terminals)}
    rules: list[Rule] = [(space, ())]
    rules += [(space, (t, space)) for t in grammar.ignored]
    rules += [(word[t], (t, space)) for t in range(terminals)]
    rules += [(a, tuple(word.get(x, x) for x in right)) for a, right in grammar.rules]
    return rules, grammar.start, size + 1 + terminals


def _without_aliases(rules: list[Rule], start: int, terminals: int) -> tuple[list[Rule], int]:
    """Symbols that stand for one other symbol are that symbol."""
    count: dict[int, int] = defaultdict(int)
    for symbol, _ in rules:
        count[symbol] += 1
    same = {a: right[0] for a, right in rules if count[a] == 1 and len(right) == 1 and right[0] != a}

    def true(symbol: int) -> int:
        seen = set()
        while symbol in same and symbol not in seen:
            seen.add(symbol)
            symbol = same[symbol]
        return symbol

    kept = [(a, tuple(map(true, right))) for a, right in rules if true(a) == a]
    return kept, true(start)


def _paired(rules: list[Rule], size: int) -> tuple[list[Rule], int]:
    """Right sides of at most two symbols. Rules that begin alike share what they begin with."""
    pairs: dict[tuple[int, int], int] = {}
    made: list[Rule] = []
    for symbol, right in rules:
        while len(right) > 2:
            pair = (right[0], right[1])
            if pair not in pairs:
                pairs[pair] = size + len(pairs)
                made.append((pairs[pair], pair))
            right = (pairs[pair], *right[2:])
        made.append((symbol, right))
    return made, size + len(pairs)


def _empty(rules: Iterable[Rule]) -> set[int]:
    return {symbol for symbol, right in rules if not right}


def _closed(rules: list[Rule], known: set[int]) -> set[int]:
    """Symbols of which some right side has only known symbols, and so on."""
    known, before = set(known), -1
    while len(known) > before:
        before = len(known)
        known |= {symbol for symbol, right in rules if all(x in known for x in right)}
    return known


def _useful(rules: list[Rule], empty: set[int], terminals: int, start: int) -> list[Rule]:
    """Rules of symbols that the start reaches and that derive some word."""
    ends = _closed(rules, empty | set(range(terminals)))
    rules = [rule for rule in rules if all(x in ends for x in rule[1])]
    reached, before = {start}, -1
    while len(reached) > before:
        before = len(reached)
        reached |= {x for symbol, right in rules if symbol in reached for x in right}
    return [rule for rule in rules if rule[0] in reached]


def _first(rules: dict[int, list[tuple[int, int]]], empty: set[int], terminals: int, size: int) -> list[int]:
    first = [1 << x if x < terminals else 0 for x in range(size)]
    changed = True
    while changed:
        changed = False
        for symbol, rights in rules.items():
            for one, two in rights:
                bits = first[symbol] | first[one] | (first[two] if two >= 0 and one in empty else 0)
                changed |= bits != first[symbol]
                first[symbol] = bits
    return first
