"""Jacobi iteration converges in as many runs as the block has tokens."""

import torch

from anyorder.testing import ByText, ToyCausal, greedy_text, subject

OPTIONS = [{}, {"nodes": 1}, {"nodes": 12}]

EYE = torch.eye(9, dtype=torch.float64)
CYCLE = ByText(lambda text: EYE[(text[-1] + 1) % 9])  # the next token is one more


def run(net, nodes, budget):
    return subject("jacobi", options={"nodes": nodes}).run([0], budget, nets={"target": net}, vocab=9)


def test_block_converges():
    """On next(t) = t + 1 every guess depends on the one before only, and r runs fix at least r tokens."""
    record = run(CYCLE, 4, 12)
    assert record.texts[0] == [(i + 1) % 9 for i in range(12)]
    done = 0
    for r, commit in enumerate(record.commits, 1):
        done += len(commit.token[0])
        assert done >= r


def test_iterates_are_the_next_guesses():
    net = ToyCausal(0, 13)
    record = run(net, 3, 10)
    trees = [ask.guess[0] for ask, _ in record.answers]
    best = [answer.logits.argmax(-1).tolist() for _, answer in record.answers]
    assert trees[0].token == (0, 0, 0)  # the text's last token, repeated
    for before, after, said, written in zip(trees, trees[1:], best, record.commits):
        carried = said[len(written.token[0]) :]
        assert list(after.token[: len(carried)]) == carried
        assert len(before) == len(after) == 3
    assert record.texts[0] == greedy_text(net, [0], 10)
