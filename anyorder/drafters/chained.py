"""Two or more drafters in order of trust (ours): the first that has a guess is the draft of this run."""

from collections.abc import Generator
from typing import Any
from weakref import WeakKeyDictionary

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Tree
from anyorder.drafter import Drafter, Trees
from anyorder.drafters.merged import led, team

CARD = Card(
    name="chained",
    family="speculative",
    paper="ours",
    exact=True,
    kind="point",
    summary="the first of several drafters that has a guess",
    cost="1 target run per commit, the cells of one drafter's guesses",
    options=(Option("drafters", "prompt_lookup,token_recycling", "names in order of trust, by comma"),),
)


def chained(setting: Setting, drafters: str) -> Drafter:
    members = team(setting, drafters)
    chosen: WeakKeyDictionary[Canvas, list[int]] = WeakKeyDictionary()  # whose guess each live row got

    def draft(canvas: Canvas) -> Generator[Ask, Any, Trees]:
        trees, by = [Tree()] * len(canvas.live), [0] * len(canvas.live)
        for k, member in enumerate(members):
            if all(trees):
                break
            made = yield from member.draft(canvas)
            for i, tree in enumerate(made):
                if not trees[i] and tree:
                    trees[i], by[i] = tree, k
        chosen[canvas] = by
        return tuple(trees)

    def learn(canvas, trees, seen, paths) -> None:
        for k, member in enumerate(members):
            if seen[k] is not None:  # who did not guess still sees what followed the text
                whose = chosen.get(canvas, [0] * len(trees))
                own = [tree if k == by else Tree() for tree, by in zip(trees, whose, strict=True)]
                mine = [s[: len(tree) + 1] for s, tree in zip(seen[k], own, strict=True)]
                member.learn(canvas, tuple(own), mine, paths)

    return led(members, draft, learn)
