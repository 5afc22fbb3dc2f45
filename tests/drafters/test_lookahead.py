"""Lookahead: the window as a tree, the pool's bounds, and tokens per run."""

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.drafters.lookahead import State, lookahead
from anyorder.testing import ByText, subject

OPTIONS = [{}, {"window": 5, "ngram": 2, "guesses": 1}, {"window": 1, "ngram": 5, "guesses": 4}]

EYE = torch.eye(9, dtype=torch.float64)
CYCLE = ByText(lambda text: EYE[(text[-1] + 1) % 9])


def run(net, budget=30, **options):
    return subject("lookahead", options=options).run([0, 1, 2], budget, nets={"target": net}, vocab=9)


@pytest.mark.parametrize("window, ngram", [(3, 4), (1, 2), (5, 3)])
def test_window_positions(window, ngram):
    """The token in iterate r of column c stands r + c + 1 past the end, after iterate 0 and its column."""
    drafter = lookahead(Setting(vocab=9), window, ngram, 2, 0)
    flow = drafter.draft(Canvas([0, 5, 7], 4))
    with pytest.raises(StopIteration) as made:
        next(flow)
    (tree,) = made.value.value
    for r in range(ngram - 1):
        for c in range(window):
            node = r * window + c
            assert tree.depth[node] == r + c + 1
            column = [tree.token[i * window + c] for i in range(1, r + 1)]
            assert tree.path(node) == [*tree.token[: c + 1], *column]


def test_pool_bounds():
    state = State(window=None)
    for i in range(10):
        state.put((1, i, i + 1), most=3)
    assert list(state.pool[1]) == [(7, 8), (8, 9), (9, 10)]
    state.put((1, 8, 9), most=3)
    assert list(state.pool[1])[-1] == (8, 9)
    assert len(state.pool[1]) == 3


@pytest.mark.parametrize("ngram", [2, 3, 5])
def test_tokens_per_run(ngram):
    """Where the text is a cycle, runs come to write a whole n-gram: ngram - 1 guesses and one token."""
    record = run(CYCLE, window=4, ngram=ngram, guesses=3)
    sizes = [len(commit.token[0]) for commit in record.commits]
    assert record.texts[0] == [i % 9 for i in range(3, 33)]
    assert max(sizes[:-1]) >= ngram
    assert min(sizes) >= 1


def test_bigrams_draft_one_token():
    """With ngram = 2 and a window of one column no path is deeper than one guess."""
    record = run(CYCLE, window=1, ngram=2)
    trees = [ask.guess[0] for ask, _ in record.answers]
    assert max(max(tree.depth) for tree in trees) == 1
    assert {len(commit.token[0]) for commit in record.commits} == {1, 2}


def test_guess_that_begins_like_the_window_is_followed():
    """The window may spell the beginning of an n-gram; the n-gram is accepted to its end all the same."""
    record = run(CYCLE, window=1, ngram=4, guesses=2)
    for (ask, _), commit in zip(record.answers, record.commits, strict=True):
        tree, text = ask.guess[0], commit.token[0]
        best = max(
            (len(path) for n in range(len(tree)) if (path := tree.path(n)) == [*_after(text[0], len(path))]),
            default=0,
        )
        assert len(text) == best + 1


def _after(first, count):
    return [(first + i) % 9 for i in range(count)]
