"""With verify=match a seed's text is the same with and without speculation: noise belongs to positions."""

import pytest

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.testing import play, subject, toy_nets

POINT = [name for name, card in registry.cards().items() if card.kind == "point"]


@pytest.mark.parametrize("name", POINT)
def test_same_seed_same_text(name):
    for seed in range(6):
        for prompt in ([1], [0, 1, 2, 0, 1, 2, 0]):
            given = {"greedy": False, "chance": Chance(seed), "eos": [5]}
            plain = subject("sample").run(prompt, 16, **given)
            fast = subject(name, options={"verify": "match"}).run(prompt, 16, **given)
            assert fast.texts == plain.texts
            assert len(fast.commits) <= len(plain.commits)


@pytest.mark.parametrize("name", POINT)
def test_rows_of_one_canvas(name):
    """Three rows at once: greedy ones are all greedy's text, drawn ones are plain sampling's rows."""

    def texts(method, greedy, options):
        net = toy_nets(registry.card(name), 13)
        build = registry.build(method, options, Setting(greedy=greedy, vocab=13))
        canvas = Canvas([0, 1, 2, 0], 12, eos=[5], rows=3)
        play([Request(canvas, build, net, chance=Chance(4))])
        return [canvas.generated(h) for h in range(3)]

    assert texts(name, True, {}) == texts("greedy", True, {})
    drawn = texts(name, False, {"verify": "match"})
    assert drawn == texts("sample", False, {})
    assert drawn[0] != drawn[1] != drawn[2]


def test_another_seed_is_another_text():
    texts = {tuple(subject("sample").run([1], 16, greedy=False, chance=Chance(s)).texts[0]) for s in range(6)}
    assert len(texts) == 6
