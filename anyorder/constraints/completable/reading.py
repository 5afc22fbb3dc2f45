"""From a grammar's text to rules of symbols: Lark's own loader reads it, so imports and repetitions are its.

`grammar=` is read by llguidance left to right and by this in any order; what only one of the two knows is
refused here by name.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, NamedTuple

from anyorder.constraints.completable.lexer import Machine, machine
from anyorder.errors import UserError

PAGE = "see docs/constraints.md"
ONLY_THERE = (  # features of llguidance's variant, which Lark's loader does not read
    (r"%json\b", "%json"),
    (r"%regex\b", "%regex"),
    (r"%llguidance\b", "%llguidance"),
    (r"%lark\b", "%lark"),
    (r"^\s*[?!]?[a-z_]\w*\s*\[", "options of a rule in [ ]"),
    (r"^\s*[?!]?[a-z_]\w*\s*::", "a rule with a parameter"),
    (r"<[^>\s]*>", "a special token"),
    (r"@[A-Za-z_]\w*", "a reference to another grammar"),
    (r"[^|:\s]\s*\{\s*\d*\s*,?\s*\d*\s*\}", "{m,n} outside an expression (write ~m..n)"),
    (r"[:|)]\s*~|&", "& and ~ between expressions"),
)


class Rules(NamedTuple):
    """A grammar over symbols: terminals are 0 to T-1, in the order of `machines`; other symbols follow."""

    machines: list[Machine]
    names: list[str]  # of the terminals
    rules: list[tuple[int, tuple[int, ...]]]  # (symbol, its right side)
    start: int
    ignored: list[int]  # terminals that may stand after every other
    size: int  # symbols in all


def library() -> Any:
    """Lark. Raises UserError where it is not installed."""
    try:
        importlib.import_module("interegular")
        return importlib.import_module("lark")
    except ImportError:
        raise UserError(
            "a grammar in any order needs lark and interegular, which are not installed; "
            "install them with: pip install 'anyorder[constraints]'"
        ) from None


def read(text: str, option: str = "grammar") -> Rules:
    """A grammar in Lark's syntax. Raises UserError with line and column."""
    lark = library()
    loader = importlib.import_module("lark.load_grammar")
    source = _hash_comments(text)
    try:
        loaded, _ = loader.load_grammar(source, option, [], False)
        terminals, rules, ignored = loaded.compile(["start"], "*")
    except (lark.exceptions.LarkError, OSError) as error:
        raise UserError(_fault(option, text, getattr(error, "strerror", None) or str(error))) from error
    if not any(rule.origin.name == "start" for rule in rules):
        raise UserError(f"{option} has no rule start; a grammar begins at start; name one so")
    used = {symbol.name for rule in rules for symbol in rule.expansion if symbol.is_term} | set(ignored)
    kept = [terminal for terminal in terminals if terminal.name in used]
    number = {terminal.name: i for i, terminal in enumerate(kept)}
    for rule in rules:
        number.setdefault(rule.origin.name, len(number))
    declared = [name for name in sorted(used) if name not in number]
    if declared:
        raise UserError(f"{option} declares {declared[0]} and says nothing of it; define it; {PAGE}")
    return Rules(
        [_machine(terminal, option, text) for terminal in kept],
        [_shown(terminal) for terminal in kept],
        [(number[rule.origin.name], tuple(number[s.name] for s in rule.expansion)) for rule in rules],
        number["start"],
        [number[name] for name in dict.fromkeys(ignored)],
        len(number),
    )


def _machine(terminal: Any, option: str, text: str) -> Machine:
    pattern = terminal.pattern
    literal = pattern.type == "str"
    try:
        return machine(re.escape(pattern.value) if literal else pattern.value, pattern.flags)
    except UserError as error:
        at = _place(text, pattern.raw or "") or _place(text, terminal.name)
        raise UserError(
            f"{option} holds what cannot be decided in any order{at}: {error}; allowed are regular "
            f"expressions without it; write it otherwise; {PAGE}"
        ) from error


def _shown(terminal: Any) -> str:
    return str(terminal.name) if terminal.pattern.type == "re" else repr(terminal.pattern.value)


def _hash_comments(text: str) -> str:
    """llguidance reads # as a comment too; lines keep their numbers."""
    return re.sub(r"^[ \t]*#.*$", "", text, flags=re.MULTILINE)


def _outside(text: str) -> str:
    """The text with its strings, expressions and comments blanked, so that only its syntax is left."""
    pattern = r'"(?:\\.|[^"\\\n])*"i?|//[^\n]*|/(?!/)(?:\\.|[^/\\\n])+/[imslux]*'
    return re.sub(pattern, lambda m: "x" * len(m[0]), text)


def _fault(option: str, text: str, said: str) -> str:
    bare = _outside(_hash_comments(text))
    for pattern, name in ONLY_THERE:
        if found := re.search(pattern, bare, re.MULTILINE):
            start = found.start() + len(found[0]) - len(found[0].lstrip())
            return (
                f"{option} has {name}{_at(text, start)}, which can be decided left to right only; "
                f"write it otherwise; {PAGE}"
            )
    place = re.search(r"line (\d+),? column (\d+)", said)
    named = re.search(r"'(\w+)'", said)
    first = said.strip().splitlines()[0].rstrip(": ")
    if place:
        where = f" at line {place[1]}, column {place[2]}"
        first = "this is not expected here"
    else:
        where = _place(bare, named[1], "more than once" in said) if named else ""
    return f"{option} is not usable{where}: {first}; correct it; {PAGE}"


def _place(text: str, part: str, last: bool = False) -> str:
    """Where a part stands in the text, first or last, as words; '' where it is not found."""
    name = rf"(?<!\w){re.escape(part)}(?!\w)" if part.isidentifier() else re.escape(part)
    found = [match.start() for match in re.finditer(name, text)] if part else []
    return _at(text, found[-1 if last else 0]) if found else ""


def _at(text: str, index: int) -> str:
    line = text.count("\n", 0, index) + 1
    return f" at line {line}, column {index - text.rfind(chr(10), 0, index)}"
