"""What no text of the budget satisfies is said before anything is decoded."""

import pytest

import anyorder
from anyorder.errors import UserError


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return anyorder.load(str(tiny_model_folder), precision="fp32")


@pytest.mark.parametrize(
    "given, least",
    [
        ({"keywords": "lighthouse"}, 10),
        ({"keywords": "a,lighthouse"}, 10),
        ({"choices": "certainly|absolutely not"}, 9),
        ({"min_tokens": 6}, 6),
        ({"json_schema": {"type": "string", "minLength": 20}}, 22),
    ],
)
def test_refused_with_the_shortest_text(model, given, least):
    with pytest.raises(UserError, match=rf"within 5 tokens \(the shortest found has {least} tokens\)"):
        model.request("ab", "greedy", max_tokens=5, **given)
    model.request("ab", "greedy", max_tokens=least, **given)


def test_one_of_several_is_enough(model):
    model.request("ab", "greedy", max_tokens=5, keywords="lighthouse,a", any_keyword=True)
    model.request("ab", "greedy", max_tokens=5, choices="certainly|no")
