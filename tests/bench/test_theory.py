"""What writing dependent cells together must cost: closed forms against enumeration and the card."""

from __future__ import annotations

import random
from math import e, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.bench import theory
from anyorder.tasks import latin, lists, sudoku
from anyorder.tasks.rules import answers
from anyorder.tasks.vocabulary import NAMES

ANCHORS = {  # n = 3, 4, 5, 6: C in nats, chance of a valid answer drawn at once
    "remove_random": ((0.174, 0.432, 0.737, 1.076), (0.889, 0.750, 0.614, 0.494)),
    "insert_random": ((1.818, 2.347, 2.867, 3.383), (0.188, 0.123, 0.082, 0.056)),
    "replace_random": ((0.811, 0.863, 0.893, 0.912), (0.444, 0.422, 0.410, 0.402)),
    "shuffle": ((1.555, 2.398, 3.267, 4.173), (0.224, 0.092, 0.038, 0.015)),
}


def of(task: str, n: int, seed: int = 0) -> list[tuple[str, ...]]:
    return answers(lists.draw(task, n, random.Random(seed), NAMES))


@pytest.mark.parametrize("task", ANCHORS)
def test_anchors(task):
    for n, dependence, sampled in zip(lists.LENGTHS, *ANCHORS[task]):
        found = theory.CLOSED[task](n)
        assert (round(found.dependence, 3), round(found.sampled, 3)) == (dependence, sampled)


@pytest.mark.parametrize("task", lists.TASKS)
def test_closed_forms_are_what_enumeration_finds(task):
    for n in lists.LENGTHS:
        assert theory.figures(of(task, n, n)) == pytest.approx(theory.CLOSED[task](n), abs=1e-9)


def test_puzzles():
    squares = answers(latin.draw(random.Random(0)))
    assert theory.figures(squares) == pytest.approx(theory.latin(), abs=1e-9)
    assert theory.latin().dependence == pytest.approx(15.82, abs=5e-3)
    assert theory.latin().sampled == pytest.approx(1.3e-7, rel=0.04)
    assert theory.figures(answers(sudoku.draw(random.Random(0)))) == (0, 1, 1)


def test_replacing_goes_to_one_nat_and_one_in_e():
    assert theory.replaced(10**6)[:2] == pytest.approx((1, 1 / e), abs=1e-5)


def test_shuffling_comes_near_n_ln_n_less_ln_n_factorial():
    found = theory.shuffled(9)
    assert found.dependence == pytest.approx(9 * log(9) - log(362880), abs=1e-3)
    assert found.sampled == pytest.approx(362880 / 9**9, rel=1e-3)


@st.composite
def some_answers(draw):
    cells = draw(st.integers(1, 4))
    tokens = st.tuples(*[st.integers(0, 2)] * cells)
    return draw(st.lists(tokens, min_size=1, max_size=8, unique=True))


@given(some_answers(), st.randoms(use_true_random=False))
def test_floors(rows, rng):
    """One cell a step costs nothing, splitting a step never costs more, the floor bounds what is valid."""
    cells = list(range(len(rows[0])))
    rng.shuffle(cells)
    assert theory.floor(rows, [[i] for i in cells]) == pytest.approx(0, abs=1e-9)
    assert theory.sampled(rows, [[i] for i in cells]) == pytest.approx(1)
    cut = rng.randrange(len(cells) + 1)
    sets = [part for part in (cells[:cut], cells[cut:]) if part]
    whole, split = theory.dependence(rows), theory.floor(rows, sets)
    assert -1e-9 <= split <= whole + 1e-9
    assert theory.sampled(rows, sets) >= 2.718281828**-split - 1e-9  # Jensen: P(valid) >= exp(-KL)
    assert theory.greedy(rows, [[i] for i in cells]) in rows


def test_the_floor_is_the_expected_distance_of_the_draw_from_the_truth():
    """Definition: sum over answers of p ln(p / q), q being what cells drawn set by set make of it."""
    rows = of("insert_random", 3)
    sets = [[0, 2], [1, 3]]
    by_hand = 0.0
    for y in rows:
        q = 1.0
        for t, cells in enumerate(sets):
            fit = [z for z in rows if all(z[i] == y[i] for before in sets[:t] for i in before)]
            for i in cells:
                q *= sum(z[i] == y[i] for z in fit) / len(fit)
        by_hand += log(1 / len(rows) / q) / len(rows)
    assert theory.floor(rows, sets) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(
    "task, chance", [("shuffle", 0.32), ("remove_random", 0.88), ("insert_random", 0.72)]
)
def test_two_cells_at_a_time_in_random_order(task, chance):
    assert theory.in_random_order(of(task, 6), 2) == pytest.approx(chance, abs=0.011)


def test_orders():
    assert len(list(theory.orders(range(6), 2))) == 90
    assert next(theory.orders([1, 2, 3], 2)) == [(1, 2), (3,)]


def test_greedy_stops_where_nothing_fits():
    assert theory.greedy([(1, 2), (2, 1)], [[0, 1]]) == (1, 1)
    assert theory.greedy([(1, 2, 3), (2, 1, 3)], [[0, 1], [2]]) == (1, 1, None)
