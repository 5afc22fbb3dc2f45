"""Two or more drafters merged into one tree (ours): every drafter guesses, equal paths are judged once."""

from collections.abc import Generator
from typing import Any
from weakref import WeakKeyDictionary

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import both, nothing
from anyorder.core.types import Ask, Reader, Tree
from anyorder.drafter import Draft, Drafter, Learn, Trees
from anyorder.trees import part

CARD = Card(
    name="merged",
    family="speculative",
    paper="ours",
    exact=True,
    kind="point",
    summary="several drafters' guesses in one tree",
    cost="1 target run per commit, the cells of all drafters' different guesses",
    options=(Option("drafters", "prompt_lookup,token_recycling", "names, separated by commas"),),
)


def merge(trees: list[Tree]) -> tuple[Tree, list[list[int]]]:
    """One tree that holds all paths, and where each node of each tree went."""
    token: list[int] = []
    parent: list[int] = []
    source: list[str] = []
    place: dict[tuple[int, int], int] = {}
    maps = []
    for tree in trees:
        went: list[int] = []
        for i, (t, p) in enumerate(zip(tree.token, tree.parent, strict=True)):
            key = (-1 if p < 0 else went[p], t)
            if key not in place:
                place[key] = len(token)
                token.append(t)
                parent.append(key[0])
                source.append(tree.source[i] if tree.source else "")
            went.append(place[key])
        maps.append(went)
    return Tree(tuple(token), tuple(parent), source=tuple(source)), maps


def team(setting: Setting, names: str) -> list[Drafter]:
    """The drafters of a comma list. Raises ValueError for unknown names and for drafts that carry a q."""
    made = [setting.make(name) for name in names.split(",") if name.strip()]
    if len(made) < 2 or any(drafter.kind != "point" for drafter in made):
        raise ValueError(
            f"drafters is {names!r}; allowed are two or more drafters of fixed guesses, by comma"
        )
    return made


def led(members: list[Drafter], draft: Draft, learn: Learn) -> Drafter:
    """A drafter that looks with all its members' eyes, a list in their order, and closes them all."""

    look: Reader = nothing
    for member in reversed(members):
        look = both(member.look, look)  # so that requests with equal members are read at once

    def learn_each(canvas: Canvas, trees: Trees, seen: Any, paths: Any) -> None:
        each = []
        for _ in members:
            mine, seen = seen or (None, None)
            each.append(mine)
        learn(canvas, trees, each, paths)

    def close() -> None:
        for member in members:
            member.close()

    return Drafter(draft, look=look, learn=learn_each, close=close)


def merged(setting: Setting, drafters: str) -> Drafter:
    members = team(setting, drafters)
    drafted: WeakKeyDictionary[Canvas, list[Trees]] = WeakKeyDictionary()  # by each member

    def draft(canvas: Canvas) -> Generator[Ask, Any, Trees]:
        each = []
        for member in members:
            each.append((yield from member.draft(canvas)))
        drafted[canvas] = each
        return tuple(merge([trees[i] for trees in each])[0] for i in range(len(canvas.live)))

    def learn(canvas, trees, seen, paths) -> None:
        line = [{tuple(tree.path(n)): n + 1 for n in range(len(tree))} for tree in trees]
        each = drafted.get(canvas, [(Tree(),) * len(trees)] * len(members))
        for k, member in enumerate(members):
            if seen[k] is not None:  # hand every member the lines of its own guesses, those that were judged
                own, mine = [], []
                for tree, at, said in zip(each[k], line, seen[k], strict=True):
                    found = [i for i in range(len(tree)) if tuple(tree.path(i)) in at]
                    own.append(part(tree, found))
                    mine.append(said[[0, *(at[tuple(tree.path(i))] for i in found)]])
                member.learn(canvas, tuple(own), mine, paths)

    return led(members, draft, learn)
