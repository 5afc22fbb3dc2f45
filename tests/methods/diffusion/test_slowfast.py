"""SlowFast sampling: where slow steps end, what fast ones write, and what the cache spares."""

import pytest

from anyorder.core.types import Commit
from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [
    {"idea": 0.15, "sure": 0.3, "still": 4.0},
    {"idea": 0.2, "sure": 0.2, "cache": False, "rounds": 2, "tokens": 2},
]


def by_hand(net, row, first, tokens, idea, sure, still, places, rounds):
    """One block, no cache: what each step writes, and the spans."""
    steps, spans, span, path = [], [], None, []
    while net.mask in row:
        laws = net.plain(row).softmax(-1)
        holes = [i for i, t in enumerate(row) if t == net.mask]
        chance = {i: float(laws[i].max()) for i in holes}
        inside = [i for i in holes if span and span[0] <= i <= span[1]]
        ranked = sorted(inside or holes, key=lambda i: (-chance[i], i))
        write = ranked[:tokens]
        if inside:
            write = [i for i in inside if chance[i] > sure] or write
        else:
            path.append(max((i for i in holes if chance[i] > idea), default=holes[0]))
            last = path[-places:]
            mean = sum(last) / len(last)
            variance = sum((x - mean) ** 2 for x in last) / len(last)
            if len(path) == rounds or (len(last) == places and variance < still):
                span, path = (holes[0], path[-1]), []
                spans.append(span)
        steps.append(sorted(write))
        row = [int(laws[i].argmax()) if i in write else t for i, t in enumerate(row)]
    return row, steps, spans


@pytest.mark.parametrize("tokens", [1, 2])
@pytest.mark.parametrize("idea, sure, still", [(0.1, 0.3, 1.0), (0.25, 0.25, 4.0), (0.3, 0.2, 0.0)])
@pytest.mark.parametrize("places, rounds", [(2, 8), (1, 8), (3, 2)])
def test_step_by_step(tokens, idea, sure, still, places, rounds):
    given = {"tokens": tokens, "idea": idea, "sure": sure, "still": still, "places": places, "rounds": rounds}
    for seed in range(3):
        net = ToyTwoWay(seed)
        found = run("slowfast", net, [1, 2], 12, cache=False, **given)
        row, steps, _ = by_hand(net, [1, 2, *[net.mask] * 12], 2, **given)
        assert [list(commit.at[0]) for commit in found.commits] == steps
        assert found.canvas.rows[0] == row


def known(far, cells=12, sure=0.9):
    """A net with an idea of the first cells, one more of them with each cell that is written."""

    def says(text):
        end = far(len(text) - text.count(19))
        return [(5, sure - i / 1000 if i < end else 0.06) for i in range(len(text))]

    return Said(says)


def test_a_horizon_that_stands_still_ends_the_slow_steps():
    """Six known cells: two slow steps, the other four at once; then the other six, of which none is known."""
    found = run("slowfast", known(lambda n: 6), [1], 12, 6)
    assert [len(commit.at[0]) for commit in found.commits][:3] == [1, 1, 4]
    assert runs(found) == len(found.commits)


def test_a_horizon_that_moves_is_waited_for():
    """It moves by two cells a step: never still, so that the eighth slow step ends the wait."""
    found = run("slowfast", known(lambda n: 3 + 2 * n, 32), [1], 24)
    sizes = [len(commit.at[0]) for commit in found.commits]
    assert sizes[:9] == [1] * 8 + [9]  # the horizon of the eighth step, 3 + 2 * 7 cells, less those written
    still = run("slowfast", known(lambda n: 3 + 2 * n, 32), [1], 24, still=1.5)  # its variance is 1
    assert [len(commit.at[0]) for commit in still.commits][:3] == [1, 1, 3]


def test_with_nothing_sure_it_writes_like_static_within_spans():
    found = run("slowfast", ToyTwoWay(), [1, 2], 9, sure=1.0, idea=0.0, cache=False)
    plain = run("static", ToyTwoWay(), [1, 2], 9)
    assert found.commits == plain.commits  # a span of all cells


def test_fast_steps_are_fed_their_span():
    """Prompt, earlier and later cells keep their states while a span is filled; slow steps are fed all."""
    net = ToyTwoWay(1)
    found = run("slowfast", net, [1, 2], 12, idea=0.2, sure=0.3, still=4.0)
    fed = [answer.cells for _, answer in found.answers]
    asks = [step for step in found.steps if not isinstance(step, Commit)]
    keeps = [commit.keep[0] if commit.keep else () for commit in found.commits]
    assert fed == [14, *(14 - len(keep) for keep in keeps[:-1])]
    assert not any(set(keep) & set(ask.at[0]) for keep, ask in zip(keeps, asks[1:], strict=False))
    spared = [keep for keep in keeps if keep]
    assert spared
    for keep in spared:
        span = sorted(set(range(14)) - set(keep))
        assert span == list(range(span[0], span[-1] + 1)), "a span is a run of cells"


def test_blocks_are_filled_one_after_the_other():
    for cache in (True, False):
        found = run("slowfast", ToyTwoWay(), [1, 2], 12, 4, cache=cache, idea=0.0, sure=0.2)
        places = [(max(commit.at[0]) - 2) // 4 for commit in found.commits]
        assert places == sorted(places)
