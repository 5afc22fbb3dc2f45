"""Cards and options: what is refused, and how it is said."""

import pytest

from anyorder.card import Card, Option

CARD = Card(
    name="mine", family="search", paper="none", exact=False, summary="", cost="1 target run per step",
    options=(
        Option("width", 4, "", low=1, high=9), Option("share", 0.5, "", low=0), Option("whole", False, ""),
        Option("tie", "first", "", choices=("first", "last")),
    ),
)  # fmt: skip


def test_settle():
    assert CARD.settle({}) == {"width": 4, "share": 0.5, "whole": False, "tie": "first"}
    given = {"width": "7", "share": "1.5", "whole": "true", "tie": "last"}  # as a command line gives them
    assert CARD.settle(given) == {"width": 7, "share": 1.5, "whole": True, "tie": "last"}


@pytest.mark.parametrize(
    "given", [{"width": 0}, {"width": "10"}, {"width": "x"}, {"whole": "maybe"}, {"tie": "no"}]
)
def test_bad_values_say_what_is_allowed(given):
    (name,) = given
    with pytest.raises(ValueError, match=f"option {name} is .*; allowed is "):
        CARD.settle(given)


def test_unknown_option_names_the_known():
    with pytest.raises(
        ValueError, match="method mine has no option 'wide'; its options: width, share, whole, tie"
    ):
        CARD.settle({"wide": 1})


def test_unknown_family():
    with pytest.raises(ValueError, match="family is 'poetry'; allowed is autoregressive"):
        Card(name="x", family="poetry", paper="", exact=True, summary="", cost="")


def test_a_size_that_the_cost_tells_is_a_number_where_there_is_none():
    option = Option("nodes", 0, "", low=0, high=9, unmeasured=4)
    card = Card(name="x", family="search", paper="", exact=True, summary="", cost="", options=(option,))
    assert card.settle({}) == card.settle({"nodes": "0"}) == {"nodes": 4}
    assert card.settle({}, measured=True) == card.settle({"nodes": 0}, measured=True) == {"nodes": 0}
    assert card.settle({"nodes": 2}) == card.settle({"nodes": 2}, measured=True) == {"nodes": 2}
