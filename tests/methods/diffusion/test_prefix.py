"""Left to right: the longest sure beginning, and plain decoding where a net sees only to the left."""

import pytest
import torch

from anyorder.testing import ToyCausal, ToyTwoWay, greedy_text, plain_line
from anyorder.testing.oracle import Oracle
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [{"threshold": 0.3}, {}, {"threshold": 0.0}]

PROMPT = [2, 0, 1]


class Leftward(Oracle):
    """A net whose cells are what a causal net makes of the text before them; it knows no holes."""

    def __init__(self, causal):
        super().__init__({}, causal.vocab + 1, causal.vocab, 0)
        self.causal = causal

    def plain(self, row, prompt):
        lines = []
        for i in range(prompt, len(row)):
            text = [0 if t == self.mask else t for t in row[:i]]
            lines.append(torch.cat([plain_line(self.causal, text, ()), torch.tensor([-torch.inf])]))
        return torch.stack(lines)


@pytest.mark.parametrize("seed", range(3))
def test_on_a_causal_net_it_is_greedy(seed):
    causal = ToyCausal(seed)
    record = run("prefix", Leftward(causal), PROMPT, 6, 2, threshold=1.1)
    assert record.texts == [greedy_text(causal, PROMPT, 6)]
    assert runs(record) == 6


def test_one_slot_is_greedy_at_any_threshold():
    causal = ToyCausal(1)
    record = run("prefix", Leftward(causal), PROMPT, 6, 1, threshold=0)
    assert record.texts == [greedy_text(causal, PROMPT, 6)]


@pytest.mark.parametrize("threshold", [0, 0.2, 0.3, 0.5, 1.1])
@pytest.mark.parametrize("block", [8, 3])
def test_the_text_grows_at_its_end(threshold, block):
    record = run("prefix", ToyTwoWay(1), PROMPT, 8, block, threshold=threshold)
    assert [i for c in record.commits for i in c.at[0]] == list(range(3, 11))


def test_stops_before_the_first_unsure_cell():
    net = Said(lambda cells: list(enumerate([0.95, 0.91, 0.5, 0.99, 0.95, 0.1, 0.99])))
    record = run("prefix", net, PROMPT, 7)
    assert [[i - 3 for i in c.at[0]] for c in record.commits] == [[0, 1], [2, 3, 4], [5, 6]]
