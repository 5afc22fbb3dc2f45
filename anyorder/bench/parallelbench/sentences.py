"""Words to be put into one sentence: easy ones of one scene, medium of four, hard of four fields."""

from __future__ import annotations

import random
from collections.abc import Sequence

from anyorder.bench.parallelbench.grammar import Likely, complaints
from anyorder.bench.parallelbench.scenes import RARE, SCENES

LEVELS = ("easy", "medium", "hard")
WORDS = 4


def draw(level: str, rng: random.Random) -> tuple[str, ...]:
    """Four different words."""
    assert level in LEVELS, "a level is easy, medium or hard"
    if level == "easy":
        return tuple(rng.sample(rng.choice(SCENES), WORDS))
    if level == "hard":
        return tuple(rng.choice(RARE[field]) for field in rng.sample(sorted(RARE), WORDS))
    while True:
        words = tuple(rng.choice(scene) for scene in rng.sample(SCENES, WORDS))
        if len(set(words)) == WORDS:  # some belong to several scenes
            return words


def ask(words: Sequence[str]) -> str:
    """The task, without an example."""
    *first, last = words
    return f"Write one coherent sentence with these words: {', '.join(first)}, and {last}."


def accepted(words: Sequence[str], text: str, likely: Likely | None = None) -> bool:
    """Whether each word stands somewhere in the text, also within another (in the paper too), and the grammar
    proxy finds no fault."""
    return all(word in text for word in words) and not complaints(text.strip(), likely)


def alone(words: Sequence[str], text: str, likely: Likely | None = None) -> bool:
    """The same of a single sentence in which each word stands by itself or with an ending (ours)."""
    written = text.strip()
    sentences = sum(written.count(mark) for mark in ".?!")
    begun = [part.strip(".,;:?!\"'()") for part in written.split()]
    apart = all(any(part.startswith(word) for part in begun) for word in words)
    return sentences == 1 and apart and accepted(words, text, likely)


def example(words: Sequence[str]) -> str:
    """A sentence that is accepted, whatever the words mean."""
    *first, last = words
    return f"The teacher wrote these words on the wall: {', '.join(first)} and {last}."
