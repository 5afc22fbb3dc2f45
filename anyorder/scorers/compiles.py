"""Whether a Python program is valid so far: 1 while it can still become one, 0 when it cannot.

The last line is judged when it is complete. What an ended text leaves open is an error.
"""

import codeop
import warnings
from collections.abc import Sequence

from anyorder.card import Card, Option, Setting
from anyorder.scorers.source import begun, fenced
from anyorder.scoring import Prefix, Scorer, asked

CARD = Card(
    name="compiles",
    family="scorer",
    paper="",
    exact=False,
    summary="1 while the text is valid Python so far, 0 else",
    cost="",
    nets=(),
    options=(
        Option("prompt", True, "the program begins with the prompt, unless the text has a fenced block"),
    ),
)


def valid(source: str, ended: bool) -> bool:
    """Whether it is a program, or, not ended, the beginning of one.

    >>> valid("def f(x):\\n    retu", ended=False), valid("def f(x):\\n    retu", ended=True)
    (True, True)
    """
    done = source if ended else source[: source.rfind("\n") + 1]
    while not ended and done.endswith("\\\n"):  # the line goes on
        done = done[: done.rfind("\n", 0, -1) + 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(done, "program", "exec") if ended else codeop.compile_command(done, "program", "exec")
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            return False
    return True


def compiles(setting: Setting, prompt: bool) -> Scorer:
    def score(prefixes: Sequence[Prefix]) -> list[float]:
        start = begun(asked(setting, prefixes[0])) if prompt else ""
        texts = [setting.spell(prefix.token) for prefix in prefixes]
        sources = [start + text if (block := fenced(text)) is None else block for text in texts]
        return [float(valid(s, p.ended)) for s, p in zip(sources, prefixes, strict=True)]

    return Scorer(score, "compiles", bounds=(0.0, 1.0))
