"""Check what the style promises and a machine can count: sizes, import directions, flags per command.

Prints every breach and exits 1 if there is one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "anyorder"
LINES = {"methods": 150, "drafters": 150, "core": 200, "engine": 300}  # any other folder: 500
CORE, FUNCTION, WIDTH, FLAGS = 700, 50, 110, 12
MAY_IMPORT = {  # a folder or module of the package -> what it may import from the package
    "core": {"core", "card"},
    "card": set(),
    "drafter": {"card", "core"},
    "hypotheses": {"core"},
    "filling": {"core"},
    "growth": {"card", "core", "drafter", "trees"},
    "layouts": set(),
    "automaton": set(),
    "folders": {"errors"},
    "sizes": {"card"},
    "superposition": {"core", "tables", "trees"},
    "jsonl": {"errors"},
    "tables": {"errors", "folders", "jsonl"},
    "tasks": {"tasks"},
    "trigrams": {"tables"},
    "trees": {"core"},
    "phrases": set(),
    "ngrams": set(),
    "revising": {"core", "filling"},
    "quick": {"card", "core", "drafter", "sizes"},
    "reuse": {"core", "errors", "law"},
    "methods": {
        "ahead",
        "card",
        "core",
        "drafter",
        "errors",
        "filling",
        "hypotheses",
        "law",
        "layouts",
        "methods",
        "revising",
        "reuse",
        "scoring",
        "sizes",
        "superposition",
        "tables",
        "trees",
    },
    "drafters": {
        "automaton",
        "card",
        "core",
        "drafter",
        "drafters",
        "errors",
        "growth",
        "ngrams",
        "sizes",
        "superposition",
        "tables",
        "trees",
        "trigrams",
        "phrases",
        "quick",
    },
    "shapers": {"core"},
    "registry": {"card", "core", "methods", "drafters", "scorers", "scoring"},
    "ahead": {"card", "core", "scoring", "trees"},
    "law": {"card", "core", "trees"},
    "scoring": {"card", "core", "errors"},
    "scorers": {"card", "core", "errors", "sandbox", "scorers", "scoring"},
    "sandbox": {"errors", "sandbox"},
    "constraints": {"law", "text", "card", "core", "constraints", "errors", "shapers"},
    "nbest": {"api", "card", "core", "errors", "jsonl", "nbest", "trees"},
    "harness": {"api", "core", "errors", "harness", "text"},
    "nets": {"card", "core", "nets", "errors", "folders"},
    "audit": {"api", "audit", "bench", "card", "core", "errors", "hf", "nets", "registry", "testing"},
    "engine": {"core", "nets", "engine", "errors", "folders"},
    "testing": {
        "card",
        "core",
        "drafter",
        "testing",
        "filling",
        "methods",
        "drafters",
        "registry",
        "scoring",
        "shapers",
        "nets",
        "tasks",
        "trees",
    },
}


def files() -> Iterator[tuple[Path, str]]:
    for path in sorted([*PACKAGE.rglob("*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("tools/*.py")]):
        yield path, path.read_text()


def part(path: Path) -> str:
    """The folder of the package a file belongs to, or its own name at the top."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def sizes(path: Path, text: str) -> Iterator[str]:
    lines = text.splitlines()
    inside = path.is_relative_to(PACKAGE)
    most = LINES.get(part(path), 500) if inside else 500
    if len(lines) > most:
        yield f"{len(lines)} lines, {most} allowed"
    yield from (
        f"line {i} is {len(x)} wide, {WIDTH} allowed" for i, x in enumerate(lines, 1) if len(x) > WIDTH
    )
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            size = (node.end_lineno or 0) - node.lineno + 1
            nested = sum(
                (n.end_lineno or 0) - n.lineno + 1 for n in node.body if isinstance(n, ast.FunctionDef)
            )
            if size - nested > FUNCTION:
                yield f"function {node.name} has {size - nested} lines, {FUNCTION} allowed"


def directions(path: Path, text: str) -> Iterator[str]:
    mine = part(path)
    allowed = MAY_IMPORT.get(mine)
    for node in ast.walk(ast.parse(text)) if allowed is not None else ():
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            parts = name.split(".")
            if parts[0] == "anyorder" and len(parts) > 1 and allowed is not None and parts[1] not in allowed:
                yield f"line {node.lineno}: {mine} imports {name}; it may import {', '.join(sorted(allowed))}"
            if mine in ("methods", "drafters") and parts[0] == "transformers":
                yield f"line {node.lineno}: methods and drafters know no model library"


def flags(path: Path, text: str) -> Iterator[str]:
    if path.parent.name != "cli":
        return
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == path.stem:
            count = ast.unparse(node.args).count("typer.Option")
            if count > FLAGS:
                yield f"command {node.name} has {count} flags, {FLAGS} allowed"


def main() -> int:
    breaches = []
    for path, text in files():
        found = list(sizes(path, text))
        if path.is_relative_to(PACKAGE):
            found += [*directions(path, text), *flags(path, text)]
        breaches += [f"{path.relative_to(ROOT)}: {what}" for what in found]
    core = sum(len(path.read_text().splitlines()) for path in PACKAGE.glob("core/*.py"))
    if core > CORE:
        breaches.append(f"anyorder/core: {core} lines in all, {CORE} allowed")
    print("\n".join(breaches) or f"budgets kept (core: {core} of {CORE} lines)")
    return bool(breaches)


if __name__ == "__main__":
    sys.exit(main())
