"""Toy nets, brute-force oracles and the eight laws; shipped, so that outside methods can use them.

>>> from anyorder.testing import check_laws
>>> check_laws("my_method")
"""

from anyorder.testing.by_text import ByText
from anyorder.testing.causal import ToyCausal
from anyorder.testing.laws import LAWS, LawBroken, check_laws
from anyorder.testing.oracles import (
    distance,
    greedy_text,
    law_of_text,
    likeliest_of_length,
    log_probability,
    plain_line,
)
from anyorder.testing.outcomes import Enumerate, TooMany, enumerate_outcomes
from anyorder.testing.record import Record, golden, play, restarted, spell
from anyorder.testing.subject import Subject, subject, toy_nets
from anyorder.testing.two_way import ToyTwoWay

__all__ = [
    "LAWS", "ByText", "Enumerate", "LawBroken", "Record", "Subject", "TooMany", "ToyCausal", "ToyTwoWay",
    "check_laws", "distance", "enumerate_outcomes", "golden", "greedy_text", "law_of_text",
    "likeliest_of_length", "log_probability", "plain_line", "play", "restarted", "spell", "subject",
    "toy_nets",
]  # fmt: skip
