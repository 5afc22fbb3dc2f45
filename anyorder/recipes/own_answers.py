"""What a model is trained on to fill blocks: its own greedy answers, and lists with right answers.

A model's own answers say nothing new, so training on them leaves what it writes from left to right as it was,
and their tokens depend on each other less than those of other people's (sequence-level distillation). Lists
are edited as told (`anyorder.tasks`), so whether an answer is right can be checked.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from anyorder import jsonl
from anyorder.api import Model
from anyorder.bench.suites import QUICK
from anyorder.errors import UserError
from anyorder.tasks import lists
from anyorder.tasks.vocabulary import NAMES

WORDS = {  # a task in words; {place} counts from 1
    "copy": "Write this list again",
    "reverse": "Write this list backwards",
    "sort": "Write this list in alphabetical order",
    "shuffle": "Write this list in another order",
    "insert_index": "Write this list with {word} added as item {place}",
    "insert_random": "Write this list with {word} added anywhere",
    "remove_index": "Write this list without item {place}",
    "remove_random": "Write this list without one of its items",
    "replace_index": "Write this list with {word} in place of item {place}",
    "replace_random": "Write this list with {word} in place of any one item",
}
FIELDS = ("prompt", "question", "instruction", "turns")  # of a line of prompts, in order
GRAM, OFTEN = 4, 3  # an answer with so many tokens in a row more often than this goes round in circles


class Row(NamedTuple):
    """Token ids. The answer has its end of text."""

    prompt: list[int]
    answer: list[int]
    own: bool = True  # the model wrote it

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


def asked(example: lists.Example) -> str:
    """A list task in words."""
    words = WORDS[example.task].format(word=example.word, place=(example.index or 0) + 1)
    return f"{words}: {', '.join(example.items)}"


def examples(count: int, seed: int) -> list[lists.Example]:
    """So many list tasks, of every kind and length as often."""
    rng = random.Random(seed)
    tasks, sizes = lists.TASKS, lists.LENGTHS
    return [
        lists.draw(tasks[i % len(tasks)], sizes[i // len(tasks) % len(sizes)], rng, NAMES)
        for i in range(count)
    ]


def edited(model: Model, some: Sequence[lists.Example]) -> list[Row]:
    """List tasks with right answers."""
    return [Row(model.encode(asked(e)), [*_ids(model, ", ".join(e.gold)), model.eos[0]], False) for e in some]


def _ids(model: Model, text: str) -> list[int]:
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def prompts(name: str) -> list[str]:
    """The prompts of a JSON lines file; "": the package's own. Raises UserError."""
    path = Path(name).expanduser() if name else QUICK
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"file {name} cannot be read ({error}); give a JSON lines file of prompts") from error
    return [_prompt(line, f"line {i} of {path.name}") for i, line in enumerate(lines, 1) if line.strip()]


def _prompt(line: str, where: str) -> str:
    entry = jsonl.entry(line, where)
    found = next((entry[f] for f in FIELDS if f in entry), None) if isinstance(entry, dict) else None
    if isinstance(found, list):
        found = found[0] if found else None
    if not isinstance(found, str) or not found.strip():
        raise UserError(f"{where} has no prompt; allowed are the fields {', '.join(FIELDS)}; rename one")
    return f"{found}\n{entry['input']}" if entry.get("input") else found


def good(answer: Sequence[int], eos: Sequence[int]) -> bool:
    """Whether an answer ended by itself, and does not go round in circles."""
    grams = Counter(tuple(answer[i : i + GRAM]) for i in range(len(answer) - GRAM + 1))
    return len(answer) > 1 and answer[-1] in eos and max(grams.values(), default=0) <= OFTEN


def answered(
    model: Model, texts: Sequence[str], longest: int, at_once: int, file: Path, say: Callable[[str], None]
) -> list[Row]:
    """The model's own answers to prompts, `at_once` side by side, those that are `good` and no longer than
    `longest` tokens with their prompts. The file keeps them, one line for each prompt, so that an interrupted
    run goes on."""
    known = list(_kept(file))[: len(texts)]
    encoded = [model.encode(text) for text in texts[len(known) :]]
    with file.open("a", encoding="utf-8") as out:
        for first in range(0, len(encoded), at_once):
            part = encoded[first : first + at_once]
            fits = [{"prompt": ids, "max_tokens": longest - len(ids)} for ids in part if len(ids) < longest]
            said = iter(model.batch(fits, "greedy") if fits else [])
            for ids in part:
                answer = next(said).token_ids if len(ids) < longest else []
                known.append(Row(ids, answer))
                out.write(json.dumps({"prompt": ids, "answer": answer}) + "\n")
            out.flush()
            say(f"{len(known)} of {len(texts)} prompts answered")
    return [row for row in known if good(row.answer, model.eos)]


def _kept(file: Path) -> Iterator[Row]:
    lines = file.read_text(encoding="utf-8").split("\n") if file.exists() else []
    for line in lines:
        try:
            entry: Any = json.loads(line)
        except json.JSONDecodeError:  # what was being written when it stopped, and the end of the file
            return
        yield Row(entry["prompt"], entry["answer"])
