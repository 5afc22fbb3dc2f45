"""Drafts by the target's own weights in 4 bits. On toys the quicker net is another toy."""

import pytest

from anyorder.core.chance import Chance
from anyorder.quick import Chain
from anyorder.sizes import Counts
from anyorder.testing import ToyCausal, subject

OPTIONS = [{"tokens": 4}, {"tokens": 2, "drafters": "prompt_lookup,token_recycling"}]
PROMPT = [0, 1, 2, 0, 1, 2, 0]


def run(quant, greedy=True, prompt=PROMPT, budget=25, eos=(), **options):
    nets = {"target": ToyCausal(0), "quant": quant}
    given = {"greedy": greedy, "chance": Chance(2), "eos": eos}
    return subject("quantized", options=options).run(prompt, budget, nets=nets, **given)


def test_the_same_net_is_right_at_every_place():
    record = run(ToyCausal(0), tokens=4)
    assert [len(commit.token[0]) for commit in record.commits] == [5] * 5


@pytest.mark.parametrize("blur", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("greedy", [True, False])
def test_any_net_leaves_the_text_as_it_is(blur, greedy):
    plain = subject("greedy" if greedy else "sample")
    true = plain.run(PROMPT, 25, nets={"target": ToyCausal(0)}, greedy=greedy, chance=Chance(2)).texts
    for drafters in ("", "prompt_lookup,token_recycling"):
        assert run(ToyCausal(0, blur=blur), greedy, drafters=drafters).texts == true


def test_guesses_inside_its_runs_save_runs_of_the_quick_net():
    """A text that repeats itself: the drafters inside know how it goes on."""
    alone, inside = (
        run(ToyCausal(0), prompt=PROMPT * 3, tokens=12, drafters=drafters).request.runs["quant"]
        for drafters in ("", "prompt_lookup,token_recycling")
    )
    assert inside < alone


def test_it_stops_where_the_text_ends():
    """No guesses behind an end-of-text token, none beyond the budget."""
    true = run(ToyCausal(0)).texts[0]
    record = run(ToyCausal(0), eos=[true[6]], tokens=12)
    assert record.texts[0] == true[: true.index(true[6]) + 1]
    for budget in (1, 2, 3):
        for ask, _ in run(ToyCausal(0), budget=budget, tokens=12).answers:
            assert all(max(tree.depth, default=0) < budget for tree in ask.guess if ask.net == "target")


def test_it_stops_when_it_is_no_longer_sure():
    """A net that is often unsure writes less if it must be surer."""
    wrong = run(ToyCausal(0, blur=9.0), tokens=32, least=0.99)
    right = run(ToyCausal(0, blur=9.0), tokens=32, least=0.0)
    assert wrong.request.runs["quant"] < right.request.runs["quant"]


def test_the_next_likeliest_stands_beside_unsure_tokens():
    chain = Chain(token=[5, 6, 7], next=[1, 2, 3], bucket=[11, 0, 11])
    tree = chain.tree(Counts(), "quantized")
    assert tree.token == (5, 6, 7, 2)
    assert tree.parent == (-1, 0, 1, 0)
