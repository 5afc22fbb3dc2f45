"""Merged and chained drafters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyorder.card import Setting
from anyorder.core.types import Tree
from anyorder.drafters.merged import merge
from anyorder.registry import build
from anyorder.testing import subject

OPTIONS = [{}, {"drafters": "lookahead,jacobi,prompt_lookup"}]


@st.composite
def trees(draw):
    parents = [draw(st.integers(-1, i - 1)) for i in range(draw(st.integers(0, 8)))]
    return Tree(tuple(draw(st.integers(0, 2)) for _ in parents), tuple(parents))


@settings(deadline=None)
@given(st.lists(trees(), min_size=1, max_size=3))
def test_merge_holds_every_path_once(made):
    tree, maps = merge(made)
    paths = [tuple(tree.path(i)) for i in range(len(tree))]
    assert len(paths) == len(set(paths))
    assert set(paths) == {tuple(t.path(i)) for t in made for i in range(len(t))}
    for t, went in zip(made, maps, strict=True):
        assert [tree.path(n) for n in went] == [t.path(i) for i in range(len(t))]


def test_merged_text_needs_no_more_runs_than_its_members():
    prompt = [0, 1, 2, 0, 1, 2, 0]
    runs = {
        name: len(subject(name, options=o).run(prompt, 20).commits)
        for name, o in [
            ("prompt_lookup", {}),
            ("jacobi", {}),
            ("merged", {"drafters": "prompt_lookup,jacobi"}),
        ]
    }
    assert runs["merged"] <= min(runs.values())


@pytest.mark.parametrize("name", ["merged", "chained"])
@pytest.mark.parametrize("drafters", ["", "jacobi", "greedy,jacobi"])
def test_teams_that_are_none(name, drafters):
    with pytest.raises(ValueError, match=r"two or more drafters|not a drafter"):
        build(name, {"drafters": drafters}, Setting(vocab=9))
