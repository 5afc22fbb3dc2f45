"""With verify=match, a seed's text is the same with and without speculation: all noise belongs to positions."""

import pytest

from anyorder import registry
from anyorder.core.chance import Chance
from anyorder.testing import subject

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


def test_another_seed_is_another_text():
    texts = {tuple(subject("sample").run([1], 16, greedy=False, chance=Chance(s)).texts[0]) for s in range(6)}
    assert len(texts) == 6
