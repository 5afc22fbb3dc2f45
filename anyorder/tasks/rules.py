"""Which module knows a task's rules."""

from __future__ import annotations

from collections.abc import Sequence

from anyorder.tasks import latin, lists, sudoku
from anyorder.tasks.lists import Example

MODULES = {**dict.fromkeys(lists.TASKS, lists), latin.TASK: latin, sudoku.TASK: sudoku}


def answers(example: Example) -> list[tuple[str, ...]]:
    """Every right answer to a question of any task."""
    return MODULES[example.task].answers(example)


def accepted(example: Example, answer: Sequence[str]) -> bool:
    """Whether an answer to a question of any task is right."""
    return MODULES[example.task].accepted(example, answer)
