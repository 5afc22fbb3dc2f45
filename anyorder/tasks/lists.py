"""Ten edits of a waiting line of n distinct items (ParallelBench, arXiv:2510.04767).

>>> example = Example("insert_index", ("Ann", "Ben"), "Zoe", 1, ("Ann", "Zoe", "Ben"))
>>> said(example)
'insert_index Zoe 1: Ann, Ben'
>>> accepted(example, ["Ann", "Zoe", "Ben"])
True
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

TASKS = (
    "copy", "reverse", "sort", "shuffle", "insert_index", "insert_random", "remove_index", "remove_random",
    "replace_index", "replace_random",
)  # fmt: skip
LENGTHS = (3, 4, 5, 6)  # of the paper's lists


@dataclass(frozen=True)
class Example:
    """One question and one right answer; where there are others, `gold` is only an example."""

    task: str
    items: tuple[str, ...]
    word: str | None  # what is inserted or put in an item's place
    index: int | None  # where, from 0
    gold: tuple[str, ...]


def words(task: str) -> int:
    """How many words besides the list the task shows: 0 or 1."""
    return int(task.startswith(("insert", "replace")))


def indices(task: str) -> int:
    """How many indices the task shows: 0 or 1."""
    return int(task.endswith("index"))


def draw(task: str, n: int, rng: random.Random, pool: Sequence[str]) -> Example:
    """An example with a list of n items. Raises ValueError for an unknown task and too small a pool."""
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; allowed are {', '.join(TASKS)}; name one")
    *items, other = rng.sample(pool, n + 1)
    word = other if words(task) else None
    index = rng.randrange(n + 1 if task.startswith("insert") else n)
    shown = Example(task, tuple(items), word, index if indices(task) else None, ())
    if task == "shuffle":
        gold = items[:]
        while gold == items:
            rng.shuffle(gold)
        return Example(task, shown.items, None, None, tuple(gold))
    found = answers(shown)
    return Example(task, shown.items, word, shown.index, found[index if len(found) > 1 else 0])


def accepted(example: Example, answer: Sequence[str]) -> bool:
    """Whether an answer is right, by the paper's rule for the task."""
    task, items, given = example.task, example.items, tuple(answer)
    if task == "shuffle":
        return sorted(given) == sorted(items) and given != items
    if task == "insert_random":
        return example.word in given and _without(given, given.index(example.word)) == items
    if task == "remove_random":
        return any(given == _without(items, k) for k in range(len(items)))
    if task == "replace_random":
        return any(given == _with(items, k, example.word, 1) for k in range(len(items)))
    return given == answers(example)[0]


def answers(example: Example) -> list[tuple[str, ...]]:
    """Every right answer; those of a random edit by the place of the edit."""
    task, items, n = example.task, example.items, len(example.items)
    if task in ("copy", "reverse", "sort"):
        return [{"copy": items, "reverse": items[::-1], "sort": tuple(sorted(items))}[task]]
    if task == "shuffle":
        return [one for one in permutations(items) if one != items]
    places = range(n + 1 if task.startswith("insert") else n) if example.index is None else [example.index]
    if task.startswith("remove"):
        return [_without(items, k) for k in places]
    return [_with(items, k, example.word, int(task.startswith("replace"))) for k in places]


def said(example: Example) -> str:
    """The question as the shipped model reads it."""
    head = [example.task, example.word, example.index]
    return " ".join(str(part) for part in head if part is not None) + ": " + ", ".join(example.items)


def _without(items: tuple[str, ...], k: int) -> tuple[str, ...]:
    return items[:k] + items[k + 1 :]


def _with(items: tuple[str, ...], k: int, word: str | None, gone: int) -> tuple[str, ...]:
    assert word is not None
    return (*items[:k], word, *items[k + gone :])
