"""Speculative decoding (Leviathan et al. 2023, arXiv:2211.17192; trees: SpecInfer, arXiv:2305.09781).

A drafter guesses a chain or a tree; one run of the target judges every branch; the accepted guesses and one
token of the target's own become text. Whatever the drafter says, the text (or its law) is the target's.
"""

from __future__ import annotations

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import both
from anyorder.core.types import Ask, Commit, Flow, Method, Reader
from anyorder.drafter import Drafter
from anyorder.methods.speculative.rules import LEGAL, RULES


def speculative(canvas: Canvas, drafter: Drafter, rule: Reader) -> Flow:
    try:
        while True:
            trees = yield from drafter.draft(canvas)
            paths, seen = yield Ask(both(rule, drafter.look), guess=trees)  # one run, every branch
            drafter.learn(canvas, trees, seen, paths)
            yield Commit(paths)  # accepted guesses and one token of the target's own
    finally:
        drafter.close()


def with_drafter(drafter: Drafter, setting: Setting, verify: str = "auto") -> Method:
    """A drafter as a method. Raises ValueError for a verifier that would not be exact for its guesses."""
    if verify == "auto":
        verify = "greedy" if setting.greedy else "match"
    legal = [v for k, v in LEGAL if k == drafter.kind and (setting.greedy or v != "greedy")]
    if verify not in legal:
        when = "at temperature 0" if setting.greedy else "above temperature 0"
        raise ValueError(
            f"verify={verify} is not exact for {drafter.kind} drafts {when}; "
            f"allowed is {', '.join(legal)}; choose one with --set verify=..."
        )
    rule = RULES[
        "greedy" if setting.greedy else verify
    ]  # at temperature 0 every rule accepts the argmax only
    return lambda canvas: speculative(canvas, drafter, rule)
