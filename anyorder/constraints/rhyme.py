"""Rhyme word first (Controllable rhyming, arXiv:2405.05176), the worked example of a constraint of one's own.

A line is written as `word: line`. The word must rhyme; so the model commits to the rhyme before it writes
towards it, from left to right. The line may be held to end with that word.

>>> rhyme = Rhyme("night", ["light", "kite", "bright"], tokenizer.encode, tokenizer.decode)
>>> model.generate(prompt, constraint=rhyme)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from anyorder.constraints.states import Banned, Vocabulary
from anyorder.errors import UserError

SEPARATOR = ":"
MOST = 256  # candidates found in a vocabulary
BEFORE = "Ġ▁"  # how vocabularies write the space before a word
BREAKS = ("\n", "Ċ", "<0x0A>")  # and a line break


def last_word(line: str) -> str:
    """The last word of a line, in small letters, without what stands around it."""
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", line)
    return words[-1].lower() if words else ""


def format_line(line: str) -> str:
    """A line as it is written with its rhyme word first.

    >>> format_line("The moon is bright.")
    'bright: The moon is bright.'
    """
    return f"{last_word(line)}{SEPARATOR} {line}"


def parse_line(text: str) -> tuple[str, str]:
    """Rhyme word and line of a text written so.

    >>> parse_line("bright: The moon is bright.")
    ('bright', 'The moon is bright.')
    """
    word, _, line = text.partition(SEPARATOR)
    return word.strip().lower(), line.strip()


def ending(word: str) -> str:
    """What must sound alike, by spelling: from the last vowels on, at least two letters.

    >>> ending("night"), ending("time"), ending("banana")
    ('ight', 'ime', 'na')
    """
    word = word.lower()
    found = re.search(r"[aeiouy]+[^aeiouy]+e$|[aeiouy]+[^aeiouy]*$", word)
    return word[min(found.start() if found else 0, max(len(word) - 2, 0)) :]


def rhyming(word: str, words: Iterable[str]) -> list[str]:
    """Of some words those that rhyme by spelling; the word itself does not."""
    same = {w.lower() for w in words if w.isalpha() and w.isascii() and len(w) > 2}
    return sorted(w for w in same if w != word.lower() and ending(w) == ending(word))


class Rhyme:
    """A function of the tokens so far. Before the separator only what spells a candidate may follow, a trie
    over the candidates' tokens; then anything, and with `hold` the line must end with the word."""

    def __init__(
        self,
        word: str,
        candidates: Iterable[str],
        encode: Callable[[str], Sequence[int]],
        spell: Callable[[Sequence[int]], str],
        ends: Collection[int] = (),
        hold: bool = False,
    ):
        """`candidates` may come from anywhere, such as `pronouncing.rhymes(word)`. `ends`: tokens that end a
        line. Raises UserError."""
        self.encode, self.spell, self.ends, self.hold = encode, spell, tuple(ends), hold
        self.next: dict[tuple[int, ...], set[int]] = {}  # beginning of a candidate -> tokens that go on
        self.whole: dict[tuple[int, ...], str] = {}
        for one in sorted({c.lower() for c in candidates} - {word.lower()}):
            tokens = tuple(encode(f"{one}{SEPARATOR}"))
            self.whole[tokens] = one
            for i, token in enumerate(tokens):
                self.next.setdefault(tokens[:i], set()).add(token)
        if not self.whole:
            raise UserError(f"no word is known that rhymes with {word!r}; choose another or give candidates")
        self.longest = max(map(len, self.whole))

    def promised(self, tokens: Sequence[int]) -> tuple[str, int]:
        """The rhyme word that the text begins with and its tokens; "", 0 while it is being written."""
        for n in range(1, min(self.longest, len(tokens)) + 1):
            if (word := self.whole.get(tuple(tokens[:n]))) is not None:
                return word, n
        return "", 0

    def __call__(self, tokens: list[int]) -> Collection[int] | Banned | None:
        word, n = self.promised(tokens)
        if not word:
            return self.next.get(tuple(tokens), set())
        done = last_word(self.spell(tokens[n:])) == word
        return Banned(self.ends) if self.hold and not done else None

    def finish(self, tokens: list[int]) -> list[int]:
        """Tokens after which the line may end."""
        word, n = self.promised(tokens)
        if word:
            done = not self.hold or last_word(self.spell(tokens[n:])) == word
            return [] if done else list(self.encode(f" {word}"))
        whole = min((w for w in self.whole if list(w[: len(tokens)]) == tokens), key=len)
        rest = list(whole[len(tokens) :])
        return rest + (list(self.encode(f" {self.whole[whole]}")) if self.hold else [])


def of_option(word: str, vocabulary: Vocabulary) -> Rhyme:
    """Option rhyme=WORD, with the words of the model's vocabulary as candidates. Raises UserError."""
    if not (word.isalpha() and word.isascii()):
        raise UserError(f"option rhyme is {word!r}; allowed is one word of letters; give one")
    whole = [t[1:] for t in vocabulary.tokenizer.get_vocab() if t[0] in BEFORE and t[1:].islower()]
    made = rhyming(word, whole)[:MOST]
    return Rhyme(word, made, vocabulary.encode, vocabulary.spell, line_ends(vocabulary), hold=True)


def line_ends(vocabulary: Vocabulary) -> tuple[int, ...]:
    """Tokens that end a line: of the text's end, and those with a line break, as vocabularies write it."""
    broken = [i for t, i in vocabulary.tokenizer.get_vocab().items() if any(b in t for b in BREAKS)]
    return tuple(sorted({*vocabulary.eos, *broken}))
