"""Word error rate of a correction, and of what stands around it.

`first`: the recogniser's best hypothesis. `result`: ours. `o_nb`: the best hypothesis of each list, which no
re-ranking can beat. `o_cp`: the compositional oracle, who may put together any words of the list in any order
and number, so that only reference words that are nowhere in the list are errors (our reading of "any tokens
from the list", arXiv:2309.15701). Each such word is a substitution or a deletion of every hypothesis too, so

    WER(o_cp) <= WER(o_nb) <= WER(first)

Both sides are normalised alike. All figures are over the lists that have a reference: errors of all of
them over words of all references.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from anyorder.errors import UserError
from anyorder.nbest.lists import NBest, said
from anyorder.nbest.numbers import spelled

if TYPE_CHECKING:
    from anyorder.nbest.ways import Corrected

Normal = Callable[[str], str]


def _none(text: str) -> str:
    return " ".join(text.split())


def _basic(text: str) -> str:
    """Lower case, no punctuation; apostrophes and hyphens inside words stay."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    words = re.sub(r"[^\w\s'-]", " ", plain).split()
    return _none(" ".join(word.strip("'-") for word in words))


@cache
def _english() -> Normal:
    """Whisper's normaliser, without its table of British spellings, then digits as words."""
    try:
        from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
    except ImportError:  # a transformers that keeps it elsewhere
        raise UserError(
            "normalize is 'english', and this version of transformers has no Whisper normaliser; allowed are "
            "none and basic; choose one"
        ) from None
    normal = EnglishTextNormalizer({})
    return lambda text: _none(spelled(normal(text)))


NORMAL: dict[str, Callable[[], Normal]] = {
    "none": lambda: _none,
    "basic": lambda: _basic,
    "english": _english,
}


def normaliser(name: str) -> Normal:
    """Raises UserError for an unknown name."""
    if name not in NORMAL:
        raise UserError(f"normalize is {name!r}; allowed is {' | '.join(NORMAL)}; choose one")
    return NORMAL[name]()


def word_errors(reference: str, hypothesis: str) -> int:
    """Words to substitute, delete and insert."""
    counted = _jiwer().process_words(reference, hypothesis)
    return counted.substitutions + counted.deletions + counted.insertions


def character_error_rate(reference: str, hypothesis: str) -> float:
    return _jiwer().cer(reference, hypothesis)


def _jiwer() -> Any:
    try:
        import jiwer
    except ImportError:
        raise UserError(
            "word error rates are counted by jiwer, which is not installed; lists without references need "
            "none; install it: pip install 'anyorder[nbest]'"
        ) from None
    return jiwer


def figures(lists: Sequence[NBest], made: Sequence[Corrected], normalize: str = "english") -> dict[str, Any]:
    """Word error rates of the lists with a reference, and how many of them became better or worse."""
    normal = normaliser(normalize)
    pairs = [(one, ours) for one, ours in zip(lists, made, strict=True) if one.reference is not None]
    errors = {"first": 0, "result": 0, "o_nb": 0, "o_cp": 0}
    words = better = worse = 0
    for one, ours in pairs:
        reference = normal(one.reference or "")
        texts = {text: normal(said(text)) for text in one.texts}
        counts = {text: word_errors(reference, plain) for text, plain in texts.items()}
        first, result = counts[one.texts[0]], word_errors(reference, normal(ours.text))
        known = {word for plain in texts.values() for word in plain.split()}
        words += len(reference.split())
        errors["first"] += first
        errors["result"] += result
        errors["o_nb"] += min(counts.values())
        errors["o_cp"] += sum(word not in known for word in reference.split())
        better, worse = better + (result < first), worse + (result > first)
    rates = {f"wer_{name}": round(count / words, 6) if words else None for name, count in errors.items()}
    return {
        "lists": len(lists), "references": len(pairs), "words": words, **rates, "better": better,
        "worse": worse, "changed": sum(ours.text != said(one.texts[0]) for one, ours in zip(lists, made)),
        "gated": sum(ours.refused is not None for ours in made), "normalize": normalize,
    }  # fmt: skip
