"""N-best lists: a model chooses among a recogniser's hypotheses, or writes a better one.

A recogniser (of speech, handwriting, print, keys) writes several hypotheses of one sentence, best first. A
language model knows which of them somebody would say. It may re-rank them, put them together anew, or
write the sentence itself from a prompt that shows them all (HyPoradise, arXiv:2309.15701).

>>> lists = anyorder.nbest.read("lists.jsonl")
>>> made = anyorder.nbest.correct(anyorder.load(), lists, way="choose")
>>> anyorder.nbest.figures(lists, made)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyorder.nbest.lists import EXAMPLE, Hypothesis, NBest, built, read

if TYPE_CHECKING:
    from anyorder.nbest.ways import Corrected, correct, corrected
    from anyorder.nbest.wer import figures

__all__ = [
    "EXAMPLE",
    "Corrected",
    "Hypothesis",
    "NBest",
    "built",
    "correct",
    "corrected",
    "figures",
    "read",
]


def __getattr__(name: str) -> Any:
    """Import on first use: reading lists needs no torch."""
    if name in ("Corrected", "correct", "corrected"):
        from anyorder.nbest import ways

        return getattr(ways, name)
    if name == "figures":
        from anyorder.nbest.wer import figures

        return figures
    raise AttributeError(f"module 'anyorder.nbest' has no attribute {name!r}")
