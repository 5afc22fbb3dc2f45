"""The share of the prompt's own examples that the program passes, run in the sandbox.

Examples are doctest's, `>>> f(2)` with the result on the next line, and lines with `f(2) == 4`, `f(2) -> 4`,
`f(2) => 4`. A text that goes on is run up to its last complete statement. Without examples in the prompt the
number is 1 for a program that runs and 0 for one that does not.
"""

import ast
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from anyorder.card import Card, Option, Setting
from anyorder.sandbox import run
from anyorder.scorers.source import begun, fenced, first_function, whole
from anyorder.scoring import Scorer, of_texts

CARD = Card(
    name="examples",
    local=True,
    family="scorer",
    paper="",
    exact=False,
    summary="the share of the prompt's examples that the program passes",
    cost="",
    nets=(),
    options=(
        Option("seconds", 2.0, "that a program may run", low=0.1, high=600),
        Option("memory", 512, "megabytes that it may use", low=64),
    ),
)
ABREAST = 2  # programs side by side
SHOWN = re.compile(r"^\s*>>>\s*(.+)\n\s*(?!>>>)(\S.*)$", re.MULTILINE)
SAID = re.compile(r"(\w+\(.*?\))\s*(?:==|->|=>|➞|→)\s*(.+)")
MARK = "examples passed:"
TRY = """
for _call, _result in {cases!r}:
    try:
        _passed += eval(_call) == eval(_result)
    except BaseException:
        pass
"""


def found(prompt: str) -> list[tuple[str, str]]:
    """Calls and their results, both Python.

    >>> found("def f(x):\\n    '''\\n    >>> f(2)\\n    4\\n    f(3) -> 9 (its square)\\n    '''\\n")
    [('f(2)', '4'), ('f(3)', '9')]
    """
    pairs = [(m[1], m[2]) for m in SHOWN.finditer(prompt)]  # these may be any expression
    lines = [line for line in prompt.splitlines() if ">>>" not in line]
    pairs += [(m[1], m[2]) for line in lines for m in SAID.finditer(line) if _call(m[1])]
    return list(dict.fromkeys((call.strip(), said) for call, result in pairs for said in _literal(result)))


def _call(said: str) -> bool:
    """Whether it is a call with literals, and not with names as in `f(x) == x`."""
    try:
        call = ast.parse(said, mode="eval").body
        return isinstance(call, ast.Call) and all(map(_is_literal, call.args)) and not call.keywords
    except SyntaxError:
        return False


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _literal(result: str) -> Iterator[str]:
    """The longest beginning of a line that is a literal, if there is one."""
    for end in range(len(result.rstrip()), 0, -1):
        try:
            ast.literal_eval(result[:end].strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        yield result[:end].strip()
        return


def passed(source: str, cases: list[tuple[str, str]], seconds: float, memory: int) -> float:
    """The share of cases that a program passes; without cases whether it runs."""
    ask = f"\n_passed = 0\n{TRY.format(cases=cases)}\nprint()\nprint({MARK!r}, _passed)\n"
    outcome = run(source + ask, seconds=seconds, memory_mb=memory)
    _, mark, count = outcome.output.rpartition(MARK)
    if not outcome.ok or not mark:
        return 0.0
    return int(count) / len(cases) if cases else 1.0


def examples(setting: Setting, seconds: float, memory: int) -> Scorer:
    def score(texts: list[str], prompt: str) -> list[float]:
        cases, before = found(prompt), begun(prompt)

        def share(text: str) -> float:
            block = fenced(text)
            source = whole(block or before + first_function(text))
            written = block or len(source) > len(before)
            return passed(source, cases, seconds, memory) if written else 0.0

        with ThreadPoolExecutor(ABREAST) as pool:
            return list(pool.map(share, texts))

    return of_texts(score, setting, "examples", float("inf"), (0.0, 1.0))
