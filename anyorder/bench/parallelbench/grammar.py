"""A proxy for a grammar checker, offline: ParallelBench asks LanguageTool, which needs Java.

It knows spelling (a lexicon of base forms, our scenes' words, and English endings), punctuation, and some
fifty function words: what cannot stand after an article, a preposition or at the end, and everyday nouns
that cannot stand alone. It finds words written twice and garbled words, which is what writing cells at once
makes, but only some missing articles and words that changed places. Given a language model's opinion it
also asks whether a small repair would make the sentence much likelier, and then it finds most of those too.
Figures made with it are never to be set beside published ones.

>>> complaints("The dog dog runs across the park.")
('dog is written twice',)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain, pairwise
from pathlib import Path

from anyorder.bench.parallelbench.people import FIRST, LAST
from anyorder.bench.parallelbench.scenes import RARE, SCENES

LEXICON = Path(__file__).with_name("lexicon.txt")
Likely = Callable[[Sequence[str]], Sequence[float]]  # texts -> log-likelihood of each, nats, all tokens
GAIN = 2.5  # nats; with SmolLM2-135M 96 % of clean sentences pass, 4 % of swapped, 33 % without an article


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*|\d[\d.,]*\d|\d")
ARTICLES = _set("a an the")
DETERMINERS = ARTICLES | _set(
    "my your his her its our their this that these those each every any some no another one either "
    "neither which what whose much many more most few several all both two three four five six seven "
    "eight nine ten enough such half"
)
PREPOSITIONS = _set(
    "of in on at by for from with into onto over under through across behind beside beneath between "
    "during without near towards toward along around against among above below inside outside until "
    "beyond to"
)
SUBJECTS = _set("i he she we they")
PRONOUNS = SUBJECTS | _set("it you me him us them")
LINKS = _set("and or but because although while whereas nor if unless")
HELPERS = _set("is are was were am has have had does do did will would can could shall should may might must")
CLOSED = DETERMINERS | PREPOSITIONS | PRONOUNS | LINKS | HELPERS
TWICE = _set("that had")  # may be written twice
SILENT = ("hour", "honest", "honor", "honour", "heir")  # an hour
SOUNDED = ("uni", "use", "usu", "eu", "one", "once", "uk", "us ")  # a unit
UNARTICLED = frozenset(  # an article cannot stand before these
    ARTICLES
    | PREPOSITIONS
    | PRONOUNS
    | LINKS
    | HELPERS
    | {"my", "your", "his", "our", "their", "these", "this"}
) - {"will", "can", "might", "must", "may", "over", "under", "inside", "outside", "above", "do", "near"}
COUNTED = _set(  # cannot stand alone: "she opened door"
    "dog park ball stick leash kitchen pot spoon stove bowl beach wave towel umbrella teacher pupil "
    "book desk lesson pencil garden flower seed train station ticket seat window suitcase platform "
    "pillow blanket lamp market apple basket farmer doctor nurse patient hospital bandage player coach "
    "cake candle friend gift party balloon computer letter meeting boss phone cow barn horse tractor "
    "fence tree bird nest branch leaf path squirrel coat glove scarf sled car road wheel engine garage "
    "driver house door key roof wall room restaurant waiter table menu plate library shelf story page "
    "novel river boat bridge fisherman net concert guitar song stage crowd singer mountain rock rope "
    "tent trail baby mother cradle toy bakery oven cookie baker child man woman boy girl street shop "
    "cat hill box chair bench bag city town"
)


@cache
def lexicon() -> frozenset[str]:
    """Base forms, and the words of our tables."""
    ours = chain(*SCENES, *RARE.values())
    return frozenset((*LEXICON.read_text(encoding="utf-8").split(), *ours, *CLOSED))


def known(word: str) -> bool:
    """Whether a word in small letters is in the lexicon, or is such a word with an English ending.

    >>> known("glaciers"), known("stopped"), known("symphphony")
    (True, True, False)
    """
    word = re.sub(r"(?:n't|'(?:s|ll|re|ve|d|m))$|'$", "", word.replace("’", "'"))
    if len(word) < 2:
        return word in ("a", "i", "")
    return any(form in lexicon() for form in (word, *_bases(word)))


def _bases(word: str) -> Iterator[str]:
    """What a word may be an inflection of."""
    for ending, instead in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ly", ""), ("ily", "y")):
        if word.endswith(ending):
            yield word[: -len(ending)] + instead
    for ending in ("ed", "ing", "er", "est"):
        if word.endswith(ending):
            stem = word[: -len(ending)]
            yield from (stem, stem + "e")
            if stem.endswith("i"):
                yield stem[:-1] + "y"
            if len(stem) > 2 and stem[-1] == stem[-2]:
                yield stem[:-1]


def complaints(text: str, likely: Likely | None = None) -> tuple[str, ...]:
    """What is wrong with a text; () if nothing is found."""
    found = [*_marks(text), *_spelling(text), *_order(text)]
    if likely is not None and not found:
        found += _repair(text, likely)
    return tuple(found)


def _marks(text: str) -> Iterator[str]:
    """Punctuation, spaces, capitals."""
    letters = [c for c in text if c.isalpha()]
    if not letters:
        yield "there are no words"
        return
    if not letters[0].isupper():
        yield "it begins with a small letter"
    if not re.search(r"[.?!][\"'”’)]*$", text):
        yield "it does not end with a full stop"
    if re.search(r"\S\s{2,}\S", text):
        yield "two spaces follow each other"
    if re.search(r"\s[,.;:?!](?!\.)", text):
        yield "a space stands before a mark"
    if re.search(r"[,;:]{2}|,\.|[^.]\.\.(?!\.)|[.?!][A-Za-z]", text):
        yield "marks follow each other"
    pairs = (text.count(a) != text.count(b) for a, b in ("()", "[]", "“”"))
    if any(pairs) or text.count('"') % 2:
        yield "a quote or bracket stands alone"


def _spelling(text: str) -> Iterator[str]:
    """Words nobody knows; those with a capital are taken for names."""
    for word in WORD.findall(text):
        if word[0].islower() and not known(word):
            yield f"{word} is not known"


def _order(text: str) -> Iterator[str]:
    """Words that cannot follow each other, clause by clause."""
    for clause in re.split(r"[.?!;:,()\"“”]+", text):
        words = [word if word in NAMES else word.lower() for word in WORD.findall(clause)]
        for a, b in pairwise(words):
            if a == b and a not in TWICE:
                yield f"{a} is written twice"
            elif fault := _pair(a, b):
                yield fault
        if words and words[-1] in ARTICLES | {"of", "and", "or", "my", "your", "our", "their", "every"}:
            yield f"nothing follows {words[-1]}"
        yield from _bare(words)


NAMES = frozenset((*FIRST, *LAST))


UNSURE = _set("will can might must may do have")  # nouns too
APART = (  # what never stands side by side: before, behind
    (ARTICLES, UNARTICLED),
    (PREPOSITIONS - {"over", "to"}, SUBJECTS),
    (_set("of into from with at"), HELPERS - UNSURE),
    (HELPERS - {"do", "did", "does", "can", "will"}, HELPERS - {"have", "do"}),
    (SUBJECTS, SUBJECTS | ARTICLES),
)


def _pair(a: str, b: str) -> str | None:
    """Why two different words cannot stand side by side."""
    if a in ("a", "an") and b[0].isalpha():
        vowel = (b[0] in "aeiou" and not b.startswith(SOUNDED)) or b.startswith(SILENT)
        if vowel != (a == "an"):
            return f"{a} stands before {b}"
    if a != b and any(a in before and b in behind for before, behind in APART):
        return f"{a} stands before {b}"
    return None


def _bare(words: Sequence[str]) -> Iterator[str]:
    """Nouns that want a determiner: going back from each, over words that may describe it, one must come."""
    for i, word in enumerate(words):
        then = words[i + 1] if i + 1 < len(words) else ""
        told = then in ("told", "said", "came", "went", "gave", "took") or (i == 0 and then.endswith("ed"))
        if word not in COUNTED or (then and then not in CLOSED and not told):
            continue  # it may describe what follows
        before = i - 1
        while before >= 0 and words[before] not in CLOSED and not words[before].endswith(("'s", "s'")):
            before -= 1
        if i == 0:
            bare = bool(then) and then not in LINKS
        elif before < 0 or (before < i - 1 and words[before] in VERBAL):
            bare = False
        else:
            bare = words[before] in WANTING and (words[before], word) not in HABITS
        if bare:
            yield f"{word} has no article"


WANTING = (PREPOSITIONS | PRONOUNS | LINKS) - {"and", "or"}  # a noun behind these wants a determiner
VERBAL = _set("by to at in her")  # of these, what stands between may be all of a phrase
_HABITS = """
    by:train by:car by:boat by:phone by:letter in:hospital on:stage in:town like:home to:book to:table to:park
    to:seat to:coach to:ticket to:seed to:wave to:phone you:book you:park we:book we:park they:book they:park
    i:book i:park i:wave we:wave they:wave
"""
HABITS = frozenset(tuple(pair.split(":")) for pair in _HABITS.split())


# a language model's opinion ---------------------------------------------------------------------------------


def repairs(text: str) -> list[str]:
    """The text with an article more, and with neighbouring words changed."""
    words = text.split(" ")
    made = []
    for i in range(1, len(words)):
        made += [" ".join([*words[:i], article, *words[i:]]) for article in ("the", "a")]
    for i in range(len(words) - 1):
        a, b = words[i], words[i + 1]
        if a.isalpha() and b[:1].isalpha():
            mark = b[len(b.rstrip(".,?!;:")) :]  # stays where it is
            first = b.rstrip(".,?!;:")
            first, second = (first.capitalize(), a.lower()) if i == 0 else (first, a)
            made.append(" ".join([*words[:i], first, second + mark, *words[i + 2 :]]))
    return made


def _repair(text: str, likely: Likely) -> Iterator[str]:
    """A repair that makes the text likelier by more than `GAIN` nats."""
    made = repairs(text)
    now, *then = likely([text, *made])
    best = max(range(len(then)), key=lambda i: then[i], default=None)
    if best is not None and then[best] - now > GAIN:
        yield f"likelier would be: {made[best]}"
