"""Scorers of programs: valid so far, the prompt's own examples, a function of the user's file."""

from __future__ import annotations

import pytest

from anyorder import registry
from anyorder.card import Setting
from anyorder.errors import UserError
from anyorder.scorers.compiles import valid
from anyorder.scorers.examples import found
from anyorder.scorers.source import fenced, first_function, whole
from anyorder.scoring import Prefix

PROMPT = '''def double(x):
    """ Twice x.
    >>> double(2)
    4
    >>> double([1])
    [1, 1]
    double(0) == 0
    double("a") -> "aa" (as strings do)
    """
'''


def setting(prompt: str = PROMPT) -> Setting:
    return Setting(spell=lambda tokens: "".join(map(chr, tokens)), prompt=prompt)


def texts(*written: str, ended: bool = True) -> list[Prefix]:
    return [Prefix((), tuple(map(ord, text)), ended=ended) for text in written]


# source -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "after", ["def g():", "class A:", "# and", "print(f(1))", "if x:", "@a", "```", "x = 1"]
)
def test_what_follows_the_function_is_cut(after):
    assert (
        first_function(f"    a = [\n]\n\n    return a\n\n{after}\n    pass")
        == "    a = [\n]\n\n    return a\n"
    )
    assert first_function("    return 1") == "    return 1"


def test_fenced_blocks():
    assert fenced("Here:\n```python\nx = 1\n```\nthat is\n```python\ny\n```") == "x = 1\n"
    assert fenced("```\nx = 1\n") == "x = 1\n"
    assert fenced("    return 1\n```\nThis is it\n") is None  # it closes what the prompt opened


def test_the_longest_part_that_is_a_program():
    assert whole("x = 1\nif x:\n    y = (2,\n") == "x = 1\n"
    assert whole("def f():\n    return 1\n    retu = ") == "def f():\n    return 1\n"
    assert whole("(") == ""


# compiles ---------------------------------------------------------------------------------------------------

OPEN = [
    "def f(x):\n", "try:\n    x\n", "x = (1,\n", 'def f():\n    """abc\n', "if x:\n    y\nelse:\n", "@a\n",
    "x = 1 + \\\n", "x = 1\ny = = 2", "x = '", "", "class A:\n    def f(self):\n        # so\n",
]  # fmt: skip
WRONG = [
    "def f(x):\nreturn 1\n",
    "x = = 1\n",
    "x = 1 +\n",
    "def f():\n    x\n  y\n",
    "return 1\n",
    "x = 'a\n",
]


@pytest.mark.parametrize("source", OPEN)
def test_what_may_still_become_a_program(source):
    assert valid(source, ended=False)


@pytest.mark.parametrize("source", WRONG)
def test_what_can_no_more(source):
    assert not valid(source, ended=False)
    assert not valid(source, ended=True)


def test_what_is_open_at_the_end_is_wrong():
    assert [valid(source, ended=True) for source in OPEN] == [False] * 9 + [True, False]


def test_compiles():
    scorer = registry._scorer("compiles", setting())
    assert scorer(texts("    return x + x\n", "    return x x\n", "```python\nx = 1\n```")) == [1, 0, 1]
    assert scorer(texts("    return x x", ended=False)) == [1]
    assert registry._scorer("compiles/prompt=false", setting())(texts("    x = 1\n", "x = 1\n")) == [0, 1]
    assert scorer.bounds == (0, 1)


# examples ---------------------------------------------------------------------------------------------------


def test_examples_are_found():
    assert found(PROMPT) == [
        ("double(2)", "4"), ("double([1])", "[1, 1]"), ("double(0)", "0"), ('double("a")', '"aa"'),
    ]  # fmt: skip
    assert found("no example: f(x) returns y\nf(x) == 2\nf(a=1) == 2\nf(()) -> None of") == [
        ("f(())", "None")
    ]


def test_examples():
    scorer = registry._scorer("examples", setting())
    assert scorer(
        texts(
            "    return x + x\n\nprint(double(3))\nexit()\n",
            "    return x * 3\n",
            "    return 4\n",
            "    exit()\n",
            "    return x + x\n    (unfinished",
            "```python\ndef double(x):\n    return 2 * x\n```",
        )
    ) == [1.0, 0.25, 0.25, 0.0, 1.0, 1.0]


def test_examples_of_a_program_that_hangs():
    assert registry._scorer("examples/seconds=0.2", setting())(texts("    while True: pass\n")) == [0.0]


def test_a_prompt_without_examples_asks_whether_it_runs():
    scorer = registry._scorer("examples", setting("def f():\n"))
    assert scorer(texts("    return 1\n", "    return 1\n\nx = 2", "(")) == [1.0, 1.0, 0.0]


# a user's file ----------------------------------------------------------------------------------------------


def test_a_function_of_a_file(tmp_path):
    (tmp_path / "helper.py").write_text("def half(x): return x / 2\n")
    file = tmp_path / "reward.py"
    file.write_text(
        "import helper\ndef score(texts, prompt): return [helper.half(len(t)) for t in texts]\n"
        "def other(texts, prompt): return [len(prompt)] * len(texts)\n"
        "def nan(texts, prompt): return [float('nan')] * len(texts)\n"
        "def fewer(texts, prompt): return []\n"
    )
    ours = setting("four")
    assert registry._scorer(f"python/file={file}", ours)(texts("abc", "")) == [1.5, 0.0]
    assert registry._scorer(f"python/file={file}/function=other", ours)(texts("abc")) == [4.0]
    assert len(ours.memory) == 2
    registry._scorer(f"python/file={file}", ours)
    assert len(ours.memory) == 2  # the process is kept for the next request
    with pytest.raises(UserError, match=r"reward.py: nan returned NaN"):
        registry._scorer(f"python/file={file}/function=nan", ours)(texts("abc"))
    with pytest.raises(UserError, match=r"reward.py: fewer returned 0 numbers for 1 texts"):
        registry._scorer(f"python/file={file}/function=fewer", ours)(texts("abc"))
    for worker in ours.memory.values():
        worker.close()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        ValueError, match=r"python got file='.*nothing.py', which is not there; give the path"
    ):
        registry._scorer(f"python/file={tmp_path / 'nothing.py'}", setting())
