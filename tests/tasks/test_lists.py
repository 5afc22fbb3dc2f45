"""The ten edits: rules against enumeration, and what a wrong answer looks like."""

import random
from collections import Counter
from itertools import product

import pytest

from anyorder.tasks.lists import LENGTHS, TASKS, Example, accepted, answers, draw, said

POOL = [f"p{i:02}" for i in range(30)]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("task", TASKS)
def test_examples_are_right_and_of_the_task(task, n):
    rng = random.Random(0)
    for _ in range(20):
        one = draw(task, n, rng, POOL)
        assert len(set(one.items)) == n
        assert one.word not in one.items
        assert accepted(one, one.gold)
        assert one.gold in answers(one)
        assert (one.word is not None) == task.startswith(("insert", "replace"))
        assert (one.index is not None) == task.endswith("index")
        assert len(one.gold) == n + task.startswith("insert") - task.startswith("remove")
        assert len(set(one.gold)) == len(one.gold)


@pytest.mark.parametrize("task", TASKS)
def test_rules_accept_the_enumerated_answers_and_no_others(task):
    one = draw(task, 3, random.Random(3), POOL)
    words = [*one.items, *([one.word] if one.word else ["other"])]
    every = [answer for size in range(5) for answer in product(words, repeat=size)]
    assert {answer for answer in every if accepted(one, answer)} == set(answers(one))


@pytest.mark.parametrize("task", ["shuffle", "insert_random", "remove_random", "replace_random"])
def test_the_list_itself_is_no_answer(task):
    one = draw(task, 4, random.Random(1), POOL)
    assert not accepted(one, one.items)


def test_numbers_of_answers():
    rng = random.Random(0)
    for n in LENGTHS:
        count = {task: len(answers(draw(task, n, rng, POOL))) for task in TASKS}
        orders = {3: 5, 4: 23, 5: 119, 6: 719}[n]
        assert count == dict.fromkeys(TASKS, 1) | {
            "shuffle": orders, "insert_random": n + 1, "remove_random": n, "replace_random": n,
        }  # fmt: skip


@pytest.mark.parametrize("task", ["shuffle", "insert_random", "remove_random", "replace_random"])
def test_all_answers_are_drawn_as_often(task):
    rng, count = random.Random(5), Counter()
    for _ in range(3000):
        one = draw(task, 3, rng, POOL)
        count[answers(one).index(one.gold)] += 1
    mean = 3000 / len(answers(one))
    assert len(count) == len(answers(one))
    assert all(abs(seen - mean) < 5 * mean**0.5 for seen in count.values())


def test_golden_edits():
    items = ("b", "c", "a")

    def only(task, word=None, index=None):
        (answer,) = answers(Example(task, items, word, index, ()))
        return "".join(answer)

    assert [only("copy"), only("reverse"), only("sort")] == ["bca", "acb", "abc"]
    assert [only("insert_index", "x", k) for k in range(4)] == ["xbca", "bxca", "bcxa", "bcax"]
    assert [only("remove_index", None, k) for k in range(3)] == ["ca", "ba", "bc"]
    assert [only("replace_index", "x", k) for k in range(3)] == ["xca", "bxa", "bcx"]


def test_same_seed_same_examples():
    first, second = ([draw(t, 5, random.Random(7), POOL) for t in TASKS] for _ in range(2))
    assert first == second


def test_what_is_said():
    assert said(Example("insert_index", ("Ann", "Ben"), "Zoe", 0, ())) == "insert_index Zoe 0: Ann, Ben"
    assert said(Example("copy", ("Ann",), None, None, ())) == "copy: Ann"


def test_unknown_task():
    with pytest.raises(ValueError, match="unknown task 'rotate'; allowed are copy"):
        draw("rotate", 3, random.Random(0), POOL)
