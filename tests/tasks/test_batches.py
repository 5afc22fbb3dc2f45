"""Training rows against the rules of the tasks."""

from collections import Counter
from math import log

import numpy as np
import pytest

from anyorder.tasks import latin, lists, sudoku
from anyorder.tasks.batches import CANVAS, HARD, UNIFORM, Mix, batch, lines
from anyorder.tasks.lists import Example
from anyorder.tasks.rules import accepted, answers
from anyorder.tasks.vocabulary import END, IDS, STOP, WORDS


def read(prompt, answer):
    """The example of a row's tokens, with what was answered as its gold."""
    task, *rest = (WORDS[i] for i in prompt)
    assert rest.pop() == STOP
    word = rest.pop(0) if task in lists.TASKS and lists.words(task) else None
    index = int(rest.pop(0)) if task in lists.TASKS and lists.indices(task) else None
    said = [WORDS[i] for i in answer]
    size = said.index(END) if END in said else len(said)
    assert set(said[size:]) <= {END}
    one = Example(task, tuple(rest), word, index, tuple(said[:size]))
    return Example(task, one.items, word, index, answers(one)[0]) if task == sudoku.TASK else one, said[:size]


@pytest.mark.parametrize("mix", [Mix(UNIFORM, 0.2, 0.2), Mix(HARD, 0.0, 0.0)])
def test_rows_are_right_answers(mix):
    source, tasks = np.random.default_rng(0), Counter()
    for _ in range(20):
        groups = batch(128, mix, source)
        assert abs(sum(len(group.floor) for group in groups) - 128) < 8
        for group in groups:
            for row in zip(group.prompt, group.answer):
                one, said = read(*row)
                assert accepted(one, said)
                assert len(set(one.items)) == len(one.items) or one.task == sudoku.TASK
                assert one.word not in one.items
                tasks[one.task] += 1
    assert set(tasks) == {*mix.tasks, *((latin.TASK, sudoku.TASK) if mix.puzzles else ())}


def test_floor_is_the_entropy_of_the_answers():
    for group in batch(512, Mix(UNIFORM), np.random.default_rng(1)):
        for prompt, answer, floor in zip(*group):
            assert floor == pytest.approx(log(len(answers(read(prompt, answer)[0]))))


@pytest.mark.parametrize("task", ["shuffle", "insert_random", "remove_random", "replace_random"])
def test_every_answer_comes_as_often(task):
    rows = np.tile(np.arange(IDS["Ann"], IDS["Ann"] + 7), (4000, 1))
    group = lines(task, 3, rows, CANVAS, np.random.default_rng(0))
    count = Counter(map(tuple, group.answer.tolist()))
    mean = 4000 / np.exp(group.floor[0])
    assert len(count) == round(np.exp(group.floor[0]))
    assert all(abs(seen - mean) < 5 * mean**0.5 for seen in count.values())


def test_shapes_return():
    source = np.random.default_rng(0)
    narrow = [[g.prompt.shape for g in batch(256, Mix(UNIFORM, wide=0), source)] for _ in range(3)]
    assert narrow[0] == narrow[1] == narrow[2]
    assert {g.answer.shape[1] for g in batch(256, Mix(UNIFORM, 0, 0), source)} == {CANVAS}
