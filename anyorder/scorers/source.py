"""Programs in texts: what of a prompt and its continuation is source code."""

import ast
import re
import warnings

NEXT = re.compile(r"\n(?=[^\s)\]}#]|#)")  # a statement or a comment at the left margin
FENCE = re.compile(r"(?:\A\s*```\w*|```(?:python|py))\n(.*?)(?:```|\Z)", re.DOTALL)  # not one that closes


def first_function(text: str) -> str:
    """A continuation of `def f(x):` up to what follows the function: HumanEval's rule, which cuts before the
    next class, def, comment, if or print at the left margin, for any statement there.

    >>> first_function("    return x\\n\\nprint(f(1))\\n")
    '    return x\\n'
    """
    found = NEXT.search(text)
    return text[: found.start()] if found else text


def fenced(text: str) -> str | None:
    """The first ```python block, as chat models write them; it may still be open. None: there is none."""
    found = FENCE.search(text)
    return found[1] if found else None


def begun(prompt: str) -> str:
    """The program that a prompt begins: what an open fence at its start holds, or all of it.

    >>> begun("```python\ndef f(x):"), begun("def f(x):")
    ('def f(x):', 'def f(x):')
    """
    return fenced(prompt) or prompt if prompt.lstrip().startswith("```") else prompt


def whole(source: str) -> str:
    """The longest part of a program, by lines from its start, that is one."""
    lines = source.splitlines(keepends=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strange escapes, which are the model's
        while lines:
            try:
                ast.parse("".join(lines))
                break
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                lines.pop()
    return "".join(lines)
