"""Speculative decoding (Leviathan et al. 2023, arXiv:2211.17192; trees: SpecInfer, arXiv:2305.09781).

A drafter guesses a chain or a tree; one run of the target judges every branch; the accepted guesses and one
token of the target's own become text. Whatever the drafter says, the text (or its law) is the target's.
"""

from __future__ import annotations

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import both, nothing
from anyorder.core.types import Ask, Commit, Flow, Method, Reader, Tree, chain
from anyorder.drafter import Drafter, Trees
from anyorder.errors import UserError
from anyorder.methods.speculative.rules import LEGAL, RULES
from anyorder.trees import branches, fit

SURE = "forced"  # source of guesses that a constraint leaves no choice about


def speculative(canvas: Canvas, drafter: Drafter, rule: Reader, setting: Setting) -> Flow:
    try:
        while True:
            sure = forced(canvas, setting)
            if any(sure) and drafter.kind != "point":
                paths = yield Ask(rule, fitted(canvas, tuple(map(chain, sure)), setting), why=SURE)
                yield Commit(paths)
                continue
            trees = yield from drafter.draft(canvas)
            trees = fitted(canvas, tuple(map(behind, sure, trees)), setting)
            look, layers = (nothing, ()) if drafter.quiet(canvas) else (drafter.look, drafter.layers)
            paths, seen = yield Ask(both(rule, look), trees, layers=layers, why=drafter.why(canvas))
            drafter.learn(canvas, trees, seen, paths)
            yield Commit(paths)  # accepted guesses and one token of the target's own
    finally:
        drafter.close()


def forced(canvas: Canvas, setting: Setting) -> list[list[int]]:
    """What a constraint leaves no choice about after each live row: guesses that cost no draft. A drafter
    with a q is not asked then, so that no node's law is unknown; fixed guesses go on behind them."""
    if setting.forced is None:
        return [[] for _ in canvas.live]
    return [list(setting.forced(canvas, row)) for row in canvas.live]


def behind(sure: list[int], tree: Tree) -> Tree:
    """The sure tokens, and behind them the guesses that agree with them."""
    if not sure:
        return tree
    paths = [tree.path(i) for i in range(len(tree))]
    return branches([sure, *(x for x in paths if x[: len(sure)] == sure and min(x) >= 0)], source=SURE)


def fitted(canvas: Canvas, trees: Trees, setting: Setting) -> Trees:
    """The trees without guesses beyond the target's context. Raises UserError for unknown tokens."""
    for tree in trees:
        if tree and max(tree.token) >= setting.vocab:
            node = max(range(len(tree)), key=tree.token.__getitem__)
            raise UserError(
                f"drafter {tree.source[node] if tree.source else 'without a name'} drafted token "
                f"{tree.token[node]}; allowed is 0 to {setting.vocab - 1}; "
                "its table or net is of another tokenizer"
            )
    rows = [canvas.rows[row] for row in canvas.live]
    return tuple(fit(tree, setting.context - len(row)) for row, tree in zip(rows, trees, strict=True))


def with_drafter(drafter: Drafter, setting: Setting, verify: str = "auto") -> Method:
    """A drafter as a method. Raises ValueError for a verifier that would not be exact for its guesses."""
    if verify == "auto":
        verify = "greedy" if setting.greedy else drafter.verify
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
    return lambda canvas: speculative(canvas, drafter, rule, setting)
