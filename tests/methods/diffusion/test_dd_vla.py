"""Discrete Diffusion VLA: the cosine's table, what is opened again, and the law of the noise."""

from math import cos, exp, floor, inf, log, pi

import pytest

from anyorder.methods.diffusion.dd_vla import kept
from anyorder.testing import ToyTwoWay, enumerate_outcomes
from tests.methods.diffusion.said import Said, run, runs
from tests.methods.diffusion.test_remdm import open_cells

OPTIONS = [{"steps": 5}, {"steps": 4, "second": False}, {"noise": 2.0}]
PROMPT = [2, 0, 1]


def table(cells, steps):
    """The paper's: floor(n cos(pi r / 2)), at least one and fewer than all; none after the last round."""
    counts = [floor(cells * cos(pi * (s + 1) / steps / 2) + 1e-9) for s in range(steps - 1)]
    return [min(max(m, 1), cells - 1) for m in counts] + [0]


def test_the_table_by_hand():
    assert table(8, 4) == [7, 5, 3, 0]
    assert table(8, 12) == [7, 7, 7, 6, 6, 5, 4, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("cells, steps", [(8, 4), (8, 12), (9, 3), (5, 5), (2, 6), (9, 1)])
def test_open_cells_follow_the_cosine(greedy, second, cells, steps):
    for noise in (0.0, 1.0):
        record = run(
            "dd_vla",
            ToyTwoWay(1),
            PROMPT,
            cells,
            greedy=greedy,
            seed=3,
            second=second,
            steps=steps,
            noise=noise,
        )
        assert open_cells(record) == table(cells, steps)
        assert runs(record) == steps
        assert open_cells(record)[-1] == 0


def test_blocks_and_a_block_of_one_cell():
    record = run("dd_vla", ToyTwoWay(1), PROMPT, 9, 4, steps=3)
    assert runs(record) == 3 + 3 + 1
    assert open_cells(record) == [9 - 4 + m for m in table(4, 3)] + [1 + m for m in table(4, 3)] + [0]


@pytest.mark.parametrize("cells", [4, 9])
def test_as_many_rounds_as_cells_without_opening(cells):
    record = run("dd_vla", ToyTwoWay(2), PROMPT, cells, steps=cells, second=False)
    assert ToyTwoWay(2).mask not in [t for commit in record.commits for t in commit.token[0]]
    assert sum(len(commit.at[0]) for commit in record.commits) == cells  # each is written once


def test_without_chance_every_seed_is_alike():
    one, two = (run("dd_vla", ToyTwoWay(1), PROMPT, 9, seed=seed, steps=6).commits for seed in (1, 2))
    assert one == two
    some = {str(run("dd_vla", ToyTwoWay(1), PROMPT, 9, seed=s, steps=6, noise=3.0).commits) for s in range(4)}
    assert len(some) > 1


def test_an_early_cell_is_opened_when_it_is_doubted():
    """Cell 0 is written first; then the net no longer believes it, and of the two cells that stay open
    one is cell 0."""

    def says(text):
        first = (5, 0.9) if text[0] == 19 else (6, 0.9)
        return [first, (7, 0.5), (8, 0.6), (9, 0.7)]

    record = run("dd_vla", Said(says), PROMPT, 4, steps=3)  # 3, 2, then 0 cells stay open
    found = [dict(zip(c.at[0], c.token[0], strict=True)) for c in record.commits]
    assert found == [{3: 5}, {3: 19, 5: 8, 6: 9}, {3: 5, 4: 7}]
    stays = run("dd_vla", Said(says), PROMPT, 4, steps=3, second=False)
    assert [c.at[0] for c in stays.commits] == [[3], [6], [4, 5]]
    assert [ask.why for ask, _ in record.answers] == ["", "", "last round: nothing is opened again"]


def test_a_believed_cell_still_loses_by_and_by():
    """Its score is its probability times 1 - r: 0.99 / 3 in the second of three rounds, less than 0.35."""

    def says(text):
        return [(5, 0.99), (7, 0.35), (8, 0.36), (9, 0.1)]

    record = run("dd_vla", Said(says), PROMPT, 4, steps=3)
    assert dict(zip(record.commits[1].at[0], record.commits[1].token[0]))[3] == 19


def test_the_noise_is_gumbel_s():
    """The set of the k highest ln(s) + T Gumbel is drawn one by one by s^(1/T), without replacement."""
    scores, noise = [0.5, 0.2, 0.3], 0.7
    law = [exp(log(s) / noise) for s in scores]
    total = sum(law)

    def both(a, b):
        return law[a] / total * law[b] / (total - law[a]) + law[b] / total * law[a] / (total - law[b])

    found = enumerate_outcomes(lambda chance: frozenset(kept(scores, 2, noise, chance, 0, 9)))
    assert found == pytest.approx({frozenset(p): both(*p) for p in ((0, 1), (0, 2), (1, 2))})
    one = enumerate_outcomes(lambda chance: kept([0.1, inf, 0.0], 1, noise, chance, 0, 9)[0])
    assert one == {1: 1.0}  # what is never opened
    assert kept([0.3, 0.5, 0.5], 2, 0.0, None, 0, 9) == [1, 2]
