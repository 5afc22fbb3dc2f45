"""How lists and puzzles are asked for in text, and read off what a model wrote.

A reader gives the answer's items, or None if there is nothing to be read. The lenient ones forgive what
stands around an answer and how it is quoted; the strict ones do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anyorder.tasks import latin, sudoku
from anyorder.tasks.lists import Example
from anyorder.tasks.vocabulary import END

Read = Callable[[str], "Sequence[str] | None"]

SENTENCES = {
    "copy": "Write the queue down unchanged.",
    "reverse": "The queue was recorded in the wrong order. "
    "Turn the queue around so that the last person is first.",
    "sort": "Order the queue alphabetically.",
    "shuffle": "Put the queue in a random order different from the one shown.",
    "insert_index": 'Add "{word}" so that this person ends up at position {index} (the first position is 0).',
    "insert_random": 'Add "{word}" at any position you like.',
    "remove_index": "The person at position {index} leaves (the first position is 0).",
    "remove_random": "One person of your choice leaves.",
    "replace_index": 'Replace the person at position {index} by "{word}" (the first position is 0).',
    "replace_random": 'Replace one person of your choice by "{word}".',
}
QUOTED = re.compile(r'"[^"\[\],]+"(?:, "[^"\[\],]+")*')
AROUND = "\"'“”‘’` \n\t"


def worked(question: str, answer: str, asked: str) -> str:
    """A question behind a worked example."""
    return f"Here is an example with its answer.\n\n{question}\n\n{answer}\n\nNow answer this.\n\n{asked}"


# lists ------------------------------------------------------------------------------------------------------


def write_list(items: Sequence[str]) -> str:
    """>>> print(write_list(["Ann Bell", "Ben Cox"]))
    ["Ann Bell", "Ben Cox"]
    """
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"


def ask_list(example: Example) -> str:
    """A list task's question."""
    sentence = SENTENCES[example.task].format(word=example.word, index=example.index)
    return (
        f"You keep the queue at a service desk. {sentence}\n{write_list(example.items)}\n"
        "Answer with the list only."
    )


def read_list(text: str) -> Sequence[str] | None:
    """The items behind the last `[`, up to the next `]`, at commas, without quotes; brackets may be missing.

    >>> read_list("Here: ['Ann Bell', Ben Cox]!")
    ['Ann Bell', 'Ben Cox']
    """
    inside = text.rpartition("[")[2].partition("]")[0]
    return [item for part in inside.split(",") if (item := part.strip(AROUND))]


def read_list_strictly(text: str) -> Sequence[str] | None:
    """The same if there are brackets and all between them is `"..."`, joined by a comma and a space."""
    _, opened, rest = text.rpartition("[")
    inside, closed, _ = rest.partition("]")
    if not (opened and closed and QUOTED.fullmatch(inside)):
        return None
    return [item.strip('"') for item in inside.split(", ")]


# puzzles ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Puzzle:
    """How one kind of puzzle is asked, written and read."""

    ask: Callable[[Example], str]
    write: Callable[[Sequence[str]], str]
    read: Callable[[Example, str], Sequence[str] | None]
    read_strictly: Read


def _rows(cells: Sequence[str], between: str) -> str:
    starts = range(0, len(cells), latin.ORDER)
    return "\n".join(between.join(cells[i : i + latin.ORDER]) for i in starts)


def _ask_square(example: Example) -> str:
    symbols = ", ".join(example.items)
    return (
        f"Write a Latin square of order 4 with the symbols {symbols}: four rows of four symbols, each symbol "
        "once in every row and once in every column. Answer with comma-separated values only, one row a line."
    )


def _write_square(cells: Sequence[str]) -> str:
    return _rows(cells, ",")


def _read_square(example: Example, text: str) -> Sequence[str] | None:
    """The first four lines whose cells are the four symbols."""
    lines = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    fit = [line for line in lines if sorted(line) == sorted(example.items)][: latin.ORDER]
    return [cell for line in fit for cell in line] if len(fit) == latin.ORDER else None


def _read_square_strictly(text: str) -> Sequence[str] | None:
    """Four lines of four symbols and nothing else."""
    if not re.fullmatch(r"(?:[A-Z0-9](?:,[A-Z0-9]){3}\n){4}", text.strip() + "\n"):
        return None
    return re.findall(r"[A-Z0-9]", text)


def _ask_sudoku(example: Example) -> str:
    grid = _write_sudoku(["0" if cell == sudoku.BLANK else cell for cell in example.items])
    return (
        "Fill in this sudoku. Every row, every column and every 2 by 2 box has the digits 1 to 4 once; 0 is "
        f"a blank.\n{grid}\nAnswer with the filled grid only, four lines of four digits."
    )


def _write_sudoku(cells: Sequence[str]) -> str:
    return _rows(cells, "")


def _read_sudoku(example: Example, text: str) -> Sequence[str] | None:
    """The lines of four digits, spaces and commas left out; there must be four of them."""
    lines = [re.sub(r"[\s,]", "", line) for line in text.splitlines()]
    found = [line for line in lines if re.fullmatch(r"[0-9]{4}", line)]
    return list("".join(found)) if len(found) == latin.ORDER else None


def _read_sudoku_strictly(text: str) -> Sequence[str] | None:
    """Four lines of four digits and nothing else."""
    bare = re.fullmatch(r"(?:[0-9]{4}\n){4}", text.strip() + "\n")
    return list("".join(text.split())) if bare else None


PUZZLES = {
    latin.TASK: Puzzle(_ask_square, _write_square, _read_square, _read_square_strictly),
    sudoku.TASK: Puzzle(_ask_sudoku, _write_sudoku, _read_sudoku, _read_sudoku_strictly),
}


# words ------------------------------------------------------------------------------------------------------


def read_words(text: str) -> Sequence[str] | None:
    """The words up to the end of text; commas, quotes and brackets mean nothing.

    >>> read_words("Ann Ben [EOS] Cid")
    ['Ann', 'Ben']
    """
    return re.sub(r"[,:;\"'\[\]]", " ", text.partition(END)[0]).split()


def read_words_strictly(text: str) -> Sequence[str] | None:
    """The same, of words with a single space between them."""
    return text.split(" ")
