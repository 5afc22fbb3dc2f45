"""Latin squares and sudokus against counting and a solver of another kind."""

import random

from anyorder.tasks import latin, sudoku
from anyorder.tasks.lists import Example


def test_576_latin_squares_and_no_broken_one():
    assert len(set(latin.SQUARES)) == 576
    one = latin.draw(random.Random(0))
    assert all(latin.accepted(one, square) for square in latin.answers(one))
    for cell in range(16):  # one wrong cell breaks a row
        broken = list(one.gold)
        broken[cell] = next(symbol for symbol in one.items if symbol != broken[cell])
        assert not latin.accepted(one, broken)


def test_rows_alone_are_no_latin_square():
    one = Example(latin.TASK, tuple("abcd"), None, None, ())
    assert not latin.accepted(one, "abcd" * 4)  # rows are right, columns are not
    assert not latin.accepted(one, "abcdbadccdab")  # three rows
    assert not latin.accepted(one, "abcdbadccdabdcbe")
    assert latin.accepted(one, "abcdbadccdabdcba")


def test_latin_examples_are_right():
    rng = random.Random(1)
    for _ in range(50):
        one = latin.draw(rng)
        assert len(set(one.items)) == 4
        assert latin.accepted(one, one.gold)


def solved(cells):
    """All solutions, cell by cell."""
    if "_" not in cells:
        return [tuple(cells)]
    i, found = cells.index("_"), []
    row, column = divmod(i, 4)
    for digit in "1234":
        met = {cells[j] for j in range(16) if j // 4 == row or j % 4 == column
               or (j // 8 == i // 8 and j % 4 // 2 == column // 2)}  # fmt: skip
        if digit not in met:
            found += solved([*cells[:i], digit, *cells[i + 1 :]])
    return found


def test_288_sudokus_as_the_solver_finds_them():
    assert set(sudoku.GRIDS) == set(solved(["_"] * 16))
    assert len(sudoku.GRIDS) == 288


def test_puzzles_have_twelve_givens_and_one_solution():
    rng = random.Random(2)
    for _ in range(30):
        one = sudoku.draw(rng)
        assert one.items.count("_") == 4
        assert solved(list(one.items)) == [one.gold] == sudoku.answers(one)
        assert sudoku.accepted(one, one.gold)
        assert not sudoku.accepted(one, one.items)


def test_solutions_of_a_puzzle_with_several():
    cells = ["_"] * 16
    cells[0] = "1"
    assert len(sudoku.solutions(cells)) == 72  # a quarter, by symmetry of the digits
