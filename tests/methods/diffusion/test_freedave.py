"""FreeDave: static unmasking's text for every draft size, wherever it ends, drawn or not; and its runs."""

import random
from itertools import pairwise

import pytest

from anyorder.core.types import Ask, Commit
from anyorder.shapers import Sampling
from anyorder.tasks import lists
from anyorder.tasks.vocabulary import NAMES
from anyorder.testing import ToyTwoWay, play, restarted
from anyorder.testing.behaviour import pair
from anyorder.testing.oracle import oracle, oracle_request, valid
from tests.methods.diffusion.said import Said, run, runs
from tests.nets.test_two_way import ADAPTERS
from tests.nets.test_two_way import net as real

OPTIONS = [{}, {"drafts": 1}, {"drafts": 6, "steps": 2}, {"drafts": 3, "order": "margin"}]


def asks(record):
    return [step for step in record.steps if not isinstance(step, Commit)]


@pytest.mark.parametrize("seed", range(10))
def test_always_the_text_of_static(seed):
    """Any net, prompt, block, schedule, template, temperature and end of text, for every draft size."""
    rng = random.Random(seed)
    net = ToyTwoWay(seed, rng.choice([4, 13]))
    for _ in range(3):
        prompt = [rng.randrange(net.vocab - 1) for _ in range(rng.randrange(1, 5))]
        budget = rng.randrange(1, 11)
        given = [rng.choice([net.mask, net.mask, 1]) for _ in range(budget - 1)] + [net.mask]
        case = {
            "prompt": prompt, "budget": budget, "block": rng.randrange(1, budget + 1), "seed": seed,
            "given": rng.choice([(), given]), "steps": rng.choice([0, 0, 1, 2, 3]),
            "order": rng.choice(["confidence", "margin", "entropy"]),
            "greedy": rng.random() < 0.5, "eos": rng.choice([(), [rng.randrange(net.vocab - 1)]]),
            "shape": Sampling(temperature=rng.choice([0.1, 0.5, 1.0, 2.0])),
        }  # fmt: skip
        plain = run("static", net, **case)
        for drafts in range(1, 7):
            found = run("freedave", net, drafts=drafts, **case)
            assert found.texts == plain.texts, (drafts, case)
            assert found.canvas.ended == plain.canvas.ended
            assert -(-runs(plain) // drafts) <= runs(found) <= runs(plain)
            assert drafts > 1 or runs(found) == runs(plain)


@pytest.mark.parametrize("greedy", [True, False])
def test_ends_where_static_ends(greedy):
    net = ToyTwoWay(3)
    text = run("static", net, [2, 0, 1], 9, 3, greedy=greedy).texts[0]
    for eos in set(text):
        found = run("freedave", net, [2, 0, 1], 9, 3, greedy=greedy, eos=[eos])
        assert found.texts[0] == text[: text.index(eos) + 1]
        assert found.canvas.ended == ["eos"]


@pytest.mark.parametrize("block", [3, 9])
def test_ends_where_a_stop_string_ends_static(block):
    net, stopped = ToyTwoWay(3), 0
    text = run("static", net, [2, 0, 1], 9, block).texts[0]
    for two in pairwise(text):
        plain, found = (
            run(name, net, [2, 0, 1], 9, block, stop=pair(*two)) for name in ("static", "freedave")
        )
        assert found.texts == plain.texts
        assert found.canvas.ended == plain.canvas.ended == ["stop"]
        stopped += len(found.texts[0]) < 9
    assert stopped > 3


def test_restarted_it_writes_the_same():
    net = ToyTwoWay(1)
    plain = run("static", net, [1, 2], 9, 4)
    assert run("freedave", net, [1, 2], 9, 4, wrap=restarted).texts == plain.texts


def by_hand(net, prompt, budget, drafts):
    """The card's loop over one block, a cell a step: text and forwards."""
    row, forwards = [*prompt, *[net.mask] * budget], 0

    def said(row):
        nonlocal forwards
        laws = net.plain(row).softmax(-1)
        holes = [i for i, t in enumerate(row) if t == net.mask]
        order = sorted(holes, key=lambda i: (-float(laws[i].max()), i))
        return [(i, int(laws[i].argmax())) for i in order]

    def filled(row, cells):
        row = list(row)
        for i, token in cells:
            row[i] = token
        return row

    forwards, prediction = 1, said(row)
    while net.mask in row:
        nested = [filled(row, prediction[: j + 1]) for j in range(min(drafts, len(prediction)))]
        if net.mask not in nested[0]:
            return nested[0], forwards
        forwards += 1
        said_of = [said(draft) for draft in nested]
        targets = [filled(draft, said[:1]) for draft, said in zip(nested, said_of)]
        best = 0
        while best + 1 < len(nested) and nested[best + 1] == targets[best]:
            best += 1
        row, prediction = nested[best], said_of[best]
    return row, forwards


@pytest.mark.parametrize("drafts", range(1, 7))
def test_runs_are_those_of_the_paper(drafts):
    """1 + rounds, as the paper's own loop counts them."""
    for seed in range(6):
        net, prompt = ToyTwoWay(seed), [seed, 2, 1]
        row, forwards = by_hand(net, prompt, 8, drafts)
        found = run("freedave", net, prompt, 8, drafts=drafts)
        assert found.canvas.rows[0] == row
        assert runs(found) == forwards


def steady():
    """One answer, the less sure the farther from the start, whatever is written: a path known before."""
    return Said(lambda cells: [(i % 18, 0.9 - i / 100) for i in range(len(cells))])


@pytest.mark.parametrize("drafts", range(1, 7))
@pytest.mark.parametrize("rounds", [1, 3])
def test_a_steady_net_gives_all_drafts_every_round(drafts, rounds):
    """The first run has nothing to go by; then every run writes as many steps as it has drafts."""
    cells = drafts * rounds + 1
    found = run("freedave", steady(), [0], cells, drafts=drafts)
    assert runs(found) == 1 + rounds
    assert found.texts[0] == [i % 18 for i in range(cells)]


@pytest.mark.parametrize("drafts", [2, 4])
def test_drafts_go_through_the_end_of_a_block(drafts):
    """The draft that fills a block is asked for the next one's holes, so no run is only a look at them."""
    found = run("freedave", steady(), [0], 4 * drafts, drafts, drafts=drafts)
    assert runs(found) == 1 + 4 - (drafts == 1)
    for step in asks(found):
        for ask in step:
            block = [b for b in found.canvas.blocks() if ask.at[0][0] in b]
            assert all(i in block[0] for i in ask.at[0])


def test_nested_drafts_in_one_run():
    """Each run has the text itself and at most so many drafts less one, each holding the one before it."""
    found = run("freedave", ToyTwoWay(2), [1, 2], 9, 5, drafts=3)
    for step in asks(found):
        assert isinstance(step, tuple)
        assert 1 <= len(step) <= 3
        assert not step[0].fill, "the first is the text"
        fills = [ask.fill[0] for ask in step[1:]]
        for small, large in pairwise(fills):
            assert small.items() < large.items()
        assert all(isinstance(ask, Ask) and not set(ask.at[0]) & set(ask.fill[0]) for ask in step[1:])


@pytest.mark.parametrize("task", lists.TASKS)
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_perfect_marginals(task, noise):
    """The enumerated oracle: the text of static on every list, in no more runs."""
    for n in (3, 5):
        example = lists.draw(task, n, random.Random(n), NAMES)
        for block in (8, 4):
            net = oracle([example], noise=noise)
            (plain,) = play([oracle_request(example, "static", block=block, net=net)])
            for drafts in (1, 2, 4, 6):
                (found,) = play([oracle_request(example, "freedave", block=block, net=net, drafts=drafts)])
                assert found.texts == plain.texts
                assert -(-runs(plain) // drafts) <= runs(found) <= runs(plain)
                assert noise or valid(found.request)


def test_drafts_of_draws_come_true():
    """Drafts hold the draws of their own step: with laws that do not move, all of them are right."""
    found = run("freedave", steady(), [0], 13, drafts=4, greedy=False, shape=Sampling(temperature=3.0))
    assert runs(found) == 1 + 3
    plain = run("static", steady(), [0], 13, greedy=False, shape=Sampling(temperature=3.0))
    assert found.texts == plain.texts
    assert len(set(found.texts[0])) > 3


@pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
@pytest.mark.parametrize("greedy", [True, False])
def test_any_kind_of_attention(adapter, greedy):
    """A transformer's body, in float64; drafts that came true leave their states to the row."""
    net, origin = real(adapter), 0 if adapter.attention == "block" else None
    plain, found = (
        run(name, net, [1, 2, 3, 4, 5], 9, 4, greedy=greedy, origin=origin) for name in ("static", "freedave")
    )
    assert found.texts == plain.texts
    assert runs(found) <= runs(plain)
