"""A process reward for arithmetic: the share of the equations written so far that are right.

An equation is numbers joined by + - * / and a number after "=": `48 / 2 = 24`, `$1,200 x 3 = $3,600`, and
`48/2=<<48/2=24>>24` as in GSM8K's solutions. A result with decimals is right if it is rounded right. While
the text goes on, an equation at its very end is not judged: digits may still follow.
"""

import ast
import operator
import re
from collections.abc import Sequence

from anyorder.card import Card, Option, Setting
from anyorder.scoring import Prefix, Scorer

CARD = Card(
    name="equations",
    family="scorer",
    paper="",
    exact=False,
    summary="the share of the text's equations that are right: a process reward for arithmetic",
    cost="",
    nets=(),
    options=(Option("none", 0.5, "of a text without equations", low=0, high=1),),
)
NUMBER = r"\$?(?:\d+(?:,\d{3})+|\d+)(?:\.\d+)?%?"
OPERAND = rf"\(*\s*-?{NUMBER}\s*\)*"
SIGN = r"(?:[-+*/×÷x−·]|\\times|\\cdot|\\div)"
EQUATION = re.compile(
    rf"({OPERAND}(?:\s*{SIGN}\s*{OPERAND})+)\s*=\s*(?:<<[^>]*>>)?\s*(-?{NUMBER})(?! *[+*/×÷]|\d)"
)
SIGNS = {"×": "*", "x": "*", "·": "*", r"\times": "*", r"\cdot": "*", "÷": "/", r"\div": "/", "−": "-",
         ",": "", "$": "", "%": "/100"}  # fmt: skip
DO = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(written: str) -> float:
    """What a calculation comes to. Raises ArithmeticError, or SyntaxError if it is none.

    >>> value("$1,200 x (2 + 3)")
    6000.0
    """
    for sign, ours in SIGNS.items():
        written = written.replace(sign, ours)

    def of(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp) and type(node.op) in DO:
            return DO[type(node.op)](of(node.left), of(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -of(node.operand)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        raise SyntaxError(written)

    return of(ast.parse(re.sub(r"\b0+(?=\d)", "", written.strip()), mode="eval").body)


def right(left: str, result: str) -> bool | None:
    """Whether an equation holds; None if its left side is no calculation, such as (3 + 4."""
    decimals = len(result.partition(".")[2].rstrip("%"))
    slack = (0.5 * 10.0**-decimals if decimals else 0.0) * (0.01 if result.endswith("%") else 1.0)
    try:
        is_, said = value(left), value(result)
    except SyntaxError:
        return None
    except ArithmeticError:
        return False
    ways = (said, said * 100) if result.endswith("%") else (said,)  # 100 - 60 = 40%
    return any(abs(is_ - way) <= slack + 1e-9 * max(1.0, abs(way)) for way in ways)


def goes_on(before: str) -> bool:
    """Whether a calculation has its beginning in what stands before it, behind a unit: 12 apples - 8 + 2.

    >>> goes_on("12 apples - "), goes_on("a list:\\n- ")
    (True, False)
    """
    line = before.rpartition("\n")[2].rstrip()
    return line[-1:] in tuple("+-*/×÷") and bool(line[:-1].strip())


def equations(setting: Setting, none: float) -> Scorer:
    def share(prefix: Prefix) -> float:
        text = setting.spell(prefix.token)
        found = [m for m in EQUATION.finditer(text) if prefix.ended or m.end() < len(text)]
        found = [m for m in found if not goes_on(text[: m.start()])]
        judged = [truth for m in found if (truth := right(m[1], m[2])) is not None]
        return sum(judged) / len(judged) if judged else none

    def score(prefixes: Sequence[Prefix]) -> list[float]:
        return [share(prefix) for prefix in prefixes]

    return Scorer(score, "equations", bounds=(0.0, 1.0))
