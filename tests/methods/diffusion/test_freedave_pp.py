"""FreeDave++: threshold decoding at one draft, and the paper's subset rule beyond."""

import pytest

from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import run, runs

OPTIONS = [{}, {"drafts": 6, "threshold": 0.3}, {"drafts": 1}]


def by_hand(net, prompt, budget, drafts, threshold):
    """The paper's loop over one block: text and forwards."""
    row = [*prompt, *[net.mask] * budget]

    def said(row):
        laws = net.plain(row).softmax(-1)
        holes = [i for i, t in enumerate(row) if t == net.mask]
        return sorted(
            ((i, int(laws[i].argmax()), float(laws[i].max())) for i in holes), key=lambda x: (-x[2], x[0])
        )

    def step(row, ranked):
        sure = [x for x in ranked if x[2] >= threshold] or ranked[:1]
        return filled(row, sure), ranked[len(sure) :]

    def filled(row, some):
        row = list(row)
        for i, token, _ in some:
            row[i] = token
        return row

    prediction, forwards = said(row), 1
    while True:
        first, rest = step(row, prediction)
        nested = [first] + [filled(first, rest[: j + 1]) for j in range(min(drafts - 1, len(rest)))]
        if net.mask not in first:
            return first, forwards
        forwards += 1
        replies = [said(draft) for draft in nested]
        targets = [step(d, r)[0] if r else d for d, r in zip(nested, replies)]
        best = 0
        while True:
            within = [
                j for j in range(best + 1, len(nested))
                if all(t in (net.mask, targets[best][i]) for i, t in enumerate(nested[j]))
            ]  # fmt: skip
            if not within:
                break
            best = within[-1]
        row, prediction = nested[best], replies[best]
        if net.mask not in row:
            return row, forwards


@pytest.mark.parametrize("drafts", [1, 2, 4, 6])
@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.95])
def test_against_the_paper(drafts, threshold):
    for seed in range(6):
        net, prompt = ToyTwoWay(seed), [seed, 2, 1]
        found = run("freedave_pp", net, prompt, 9, drafts=drafts, threshold=threshold)
        row, forwards = by_hand(net, prompt, 9, drafts, threshold)
        assert found.canvas.rows[0] == row
        assert runs(found) == forwards


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 1.1])
def test_one_draft_is_threshold_decoding(greedy, threshold):
    for seed in range(4):
        net = ToyTwoWay(seed)
        found = run("freedave_pp", net, [1, 2], 9, 4, drafts=1, threshold=threshold, greedy=greedy)
        plain = run("threshold", net, [1, 2], 9, 4, threshold=threshold, greedy=greedy)
        assert found.commits == plain.commits
        assert runs(found) == runs(plain)


def test_no_threshold_is_reached_by_none():
    """Above 1 it is FreeDave, a cell a step, drafts and all."""
    for drafts in (1, 3, 5):
        found = run("freedave_pp", ToyTwoWay(), [1, 2], 9, 4, drafts=drafts, threshold=1.1)
        assert found.texts == run("freedave", ToyTwoWay(), [1, 2], 9, 4, drafts=drafts).texts
