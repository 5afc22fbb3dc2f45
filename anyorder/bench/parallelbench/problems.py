"""ParallelBench (arXiv:2510.04767) re-created: tasks that are easy one token at a time, and hard at once.

Ten edits of a waiting line, Latin squares, small sudokus, and words to be put into a sentence, all drawn
from a seed. Prompts, names and word lists are ours and hold the same information as the paper's, so figures
are not to be set beside published ones. Paraphrasing and summarising are left out: their sources cannot be
shipped.

- "text": for language models. Items of a list are full names. A worked example with its answer stands before
  each list and puzzle, in the same turn.
- "words": for the shipped model, to which an item is one token, the answer a row of words, and the task's
  name the prompt. Sentences are beyond it.

>>> problem = suite("words", count=4)[0]
>>> problem.task, problem.judge(problem.answer)
('copy', True)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

from anyorder.bench.parallelbench import sentences, texts
from anyorder.bench.parallelbench.grammar import Likely
from anyorder.bench.parallelbench.people import PEOPLE
from anyorder.errors import UserError
from anyorder.tasks import latin, lists, rules, sudoku, vocabulary
from anyorder.tasks.lists import Example

FORMS = ("text", "words", "long")
LONG = 8  # times the canvas: the lists in words, nearly all of it padding
SEED = 42  # the paper's
COUNT, SUDOKUS = 100, 108  # problems of each task
LISTS = {"text": 32, "words": 8}  # cells of a list's canvas
PUZZLES = {"text": 64, "words": 16}

Judge = Callable[[str], bool]


@dataclass(frozen=True)
class Problem:
    """One thing to be answered. `judge` forgives what surrounds an answer, `strict` nothing."""

    prompt: str
    task: str
    judge: Judge
    strict: Judge
    answer: str  # one that is right
    cells: int  # of the canvas


def suite(
    form: str, seed: int = SEED, count: int | None = None, likely: Likely | None = None
) -> list[Problem]:
    """All tasks' problems, `count` of each; None: as many as the paper. `likely`: a language model's opinion
    for the grammar proxy. Raises UserError."""
    if form not in FORMS:
        raise UserError(f"parallelbench has no form {form!r}; allowed are {', '.join(FORMS)}; name one")
    if count is not None and count < 1:
        raise UserError(f"{count} problems of each task are asked for; allowed is 1 or more; ask for one")
    if form == "long":
        words = suite("words", seed, count)
        return [replace(one, cells=LONG * one.cells) for one in words if one.task in lists.TASKS]
    many = COUNT if count is None else count
    found: list[Problem] = []
    for task in lists.TASKS:
        found += [_list(form, example, rng) for example, rng in _lines(form, task, seed, many)]
    for task, most in ((latin.TASK, many), (sudoku.TASK, SUDOKUS if count is None else count)):
        rng = source(task, seed)
        found += [_puzzle(form, _drawn(task, rng), rng) for _ in range(most)]
    if form == "text":
        for level in sentences.LEVELS:
            rng = source(f"words_to_sentence/{level}", seed)
            found += [_sentence(level, rng, likely) for _ in range(many)]
    return found


def source(task: str, seed: int) -> random.Random:
    """A task's random numbers: seeded by the sum of its name's SHA-256 and the seed, modulo 65535."""
    return random.Random((int(sha256(task.encode()).hexdigest(), 16) + seed) % 65535)


def _lines(form: str, task: str, seed: int, count: int) -> list[tuple[Example, random.Random]]:
    """Examples of a list task, as many of each length, the shorter ones first (the paper: 25 of each)."""
    rng, held = source(task, seed), dict.fromkeys(lists.LENGTHS, 0)
    share, rest = divmod(count, len(held))
    wanted = {n: share + (i < rest) for i, n in enumerate(held)}
    found: list[Example] = []
    while len(found) < count:
        n = rng.choice(lists.LENGTHS)
        example = lists.draw(task, n, rng, _pool(form))
        if held[n] < wanted[n]:
            held[n] += 1
            found.append(example)
    return [(example, rng) for example in sorted(found, key=lambda e: len(e.items))]


def _pool(form: str) -> Sequence[str]:
    return vocabulary.NAMES if form == "words" else PEOPLE


def _drawn(task: str, rng: random.Random) -> Example:
    return latin.draw(rng) if task == latin.TASK else sudoku.draw(rng)


def _list(form: str, example: Example, rng: random.Random) -> Problem:
    if form == "words":
        return _in_words(example, LISTS[form])
    shown = lists.draw(example.task, rng.choice(lists.LENGTHS), rng, PEOPLE)  # of a length of its own
    prompt = texts.worked(texts.ask_list(shown), texts.write_list(shown.gold), texts.ask_list(example))
    return _read(example, prompt, texts.write_list, texts.read_list, texts.read_list_strictly, LISTS[form])


def _puzzle(form: str, example: Example, rng: random.Random) -> Problem:
    if form == "words":
        return _in_words(example, PUZZLES[form])
    shown, kind = _drawn(example.task, rng), texts.PUZZLES[example.task]
    prompt = texts.worked(kind.ask(shown), kind.write(shown.gold), kind.ask(example))
    read = partial(kind.read, example)
    return _read(example, prompt, kind.write, read, kind.read_strictly, PUZZLES[form])


def _read(
    example: Example,
    prompt: str,
    write: Callable[[Sequence[str]], str],
    read: texts.Read,
    strictly: texts.Read,
    cells: int,
) -> Problem:
    """A problem whose answers are read off a text before they are judged."""

    def judge(reads: texts.Read, text: str) -> bool:
        answer = reads(text)
        return answer is not None and rules.accepted(example, answer)

    answer = write(example.gold)
    return Problem(prompt, example.task, partial(judge, read), partial(judge, strictly), answer, cells)


def _in_words(example: Example, cells: int) -> Problem:
    read, strictly = texts.read_words, texts.read_words_strictly
    return _read(example, lists.said(example), " ".join, read, strictly, cells)


def _sentence(level: str, rng: random.Random, likely: Likely | None) -> Problem:
    words = sentences.draw(level, rng)
    judge = partial(sentences.accepted, words, likely=likely)
    strict = partial(sentences.alone, words, likely=likely)
    prompt, answer = sentences.ask(words), sentences.example(words)
    return Problem(prompt, f"words_to_sentence_{level}", judge, strict, answer, PUZZLES["text"])
