"""Trees and lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.core.types import Lines, Tree, chain
from anyorder.layouts import diagonals, raster
from anyorder.trees import branches

paths = st.lists(st.lists(st.integers(0, 2), max_size=4), max_size=5)


@given(paths)
def test_branches_hold_every_prefix_once(made):
    tree = branches(made)
    found = [tuple(tree.path(i)) for i in range(len(tree))]
    assert len(found) == len(set(found))
    assert set(found) == {tuple(p[:n]) for p in made for n in range(1, len(p) + 1)}
    assert list(tree.depth) == [len(p) for p in found]
    for parent, children in tree.children().items():
        assert all(tree.parent[c] == parent for c in children)
        assert children == sorted(children)


def test_chain():
    tree = chain([5, 6, 7], source="me")
    assert (tree.parent, tree.depth, tree.source) == ((-1, 0, 1), (1, 2, 3), ("me",) * 3)
    assert tree.path(-1) == []
    assert tree.path(2) == [5, 6, 7]
    assert not chain([])


@pytest.mark.parametrize("token, parent", [((1,), ()), ((1, 2), (1, -1)), ((1,), (0,)), ((1,), (-2,))])
def test_trees_that_are_none(token, parent):
    with pytest.raises(AssertionError):
        Tree(token, parent)


def test_positions_of_lines():
    lines = Lines(0, 10, 4, Tree((1, 2, 3), (-1, -1, 0)))
    assert lines.count == 4
    assert [lines.position(i) for i in range(4)] == [4, 5, 5, 6]
    cells = Lines(0, 0, 9, cells=(8, 3))
    assert cells.count == 2
    assert [cells.position(i) for i in range(2)] == [8, 3]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 3))
def test_layouts_hold_every_cell_once(height, width, first):
    for waves in (raster(height, width, first), diagonals(height, width, first)):
        assert sorted(i for wave in waves for i in wave) == list(range(first, first + height * width))
    for wave in diagonals(height, width, first):
        assert len({(i - first) // width + (i - first) % width for i in wave}) == 1
    assert len(diagonals(height, width)) == height + width - 1
