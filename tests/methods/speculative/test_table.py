"""The exactness table: what is legal is exact, what is refused is off, and the text is cut where it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from anyorder.card import KINDS
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, decode
from anyorder.core.types import chain
from anyorder.drafter import Drafter, by_row
from anyorder.methods.speculative.rules import LEGAL, RULES
from anyorder.testing import ToyCausal, distance, enumerate_outcomes, greedy_text, law_of_text
from anyorder.testing.table import CLOSE, DRAFTS, LIES, LOSSY, acceptance, cell, judged
from tests.drafts import fixed, mixed_law, text_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # laws of three tokens are no work to share
    yield
    torch.set_num_threads(before)


def test_the_table_has_every_kind():
    assert set(DRAFTS) == set(KINDS)
    assert {kind for kind, _ in LEGAL} == set(KINDS)
    assert {verify for _, verify in LEGAL} == set(RULES)


@pytest.mark.parametrize("verify", RULES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_legal_is_exact_and_what_is_refused_is_not(kind, verify):
    found = cell(kind, verify)
    if (kind, verify) in LEGAL:
        assert found.verdict == LEGAL[kind, verify]
    else:
        assert found.warm > 1e-3
        assert found.verdict.startswith("off by")
    if verify == "greedy":
        assert found.warm > 0.1  # why it is refused above temperature 0


@pytest.mark.parametrize("kind", ["point", "chain"])
@pytest.mark.parametrize("verify", LOSSY)
def test_lossy_rules_are_off(kind, verify):
    found = cell(kind, verify)
    assert found.verdict.startswith("off by")
    assert 1e-3 < found.warm < 1
    assert found.cold is not None
    assert found.cold > 1e-3


@pytest.mark.parametrize("kind", LIES)
def test_drafts_that_are_not_what_they_say(kind):
    """Rules that trust q are off; greedy and match look at the tokens only."""
    assert all(cell(kind, verify).warm > 0.05 for verify in ("residual", "ratio", "k_seq"))
    assert cell(kind, "match").verdict == "text and law"
    assert cell(kind, "greedy").verdict == "text"


@pytest.mark.parametrize(
    "kind, verify, siblings, expected",
    [("chain", "ratio", 1, 0.7), ("iid", "residual", 3, 0.757), ("iid", "k_seq", 2, 0.75),
     ("distinct", "residual", 2, 0.775), ("point", "match", 2, 0.6)],
)  # fmt: skip
def test_acceptance_of_the_worked_example(kind, verify, siblings, expected):
    assert acceptance(kind, verify, siblings) == pytest.approx(expected, abs=1e-6)


def test_the_page_tells_legal_from_refused():
    """As a whole the page is compared by tools/docs.py --check."""
    page = (ROOT / "docs" / "exactness.md").read_text().partition("##")[0]
    rows = {row[0]: row[1:] for line in page.splitlines() if (row := line.strip("| ").split(" | "))[1:]}
    for kind in KINDS:
        said = dict(zip(rows["guesses"], rows[kind], strict=False))
        assert {v for v in RULES if said[f"`{v}`"].startswith("**")} == {v for k, v in LEGAL if k == kind}


# where the text ends, and trees that are not as usual ------------------------------------------------------


def sure_of(tokens) -> Drafter:
    """Drafts these tokens behind whatever is there of them."""
    return Drafter(by_row(lambda canvas, row: chain(tokens[len(canvas.generated(row)) :])))


@pytest.mark.parametrize("verify", ["greedy", *LOSSY])
def test_accepted_drafts_past_the_end_of_text(verify):
    """The greedy text is drafted whole, but it ends in the middle: what is behind the end is not written."""
    net = ToyCausal(0, 13)
    true = greedy_text(net, [0], 8)
    end = next(t for t in true if t != true[0])
    canvas = Canvas([0], 8, eos=[end])
    (event,) = decode([Request(canvas, judged(sure_of(true), verify, True), {"target": net})])
    assert len(event.commit.token[0]) > true.index(end) + 1
    assert canvas.generated() == true[: true.index(end) + 1]
    assert canvas.ended == ["eos"]


def test_a_stop_rule_in_the_middle_of_a_path():
    net = ToyCausal(0, 13)
    true = greedy_text(net, [0], 8)
    canvas = Canvas([0], 8, stop=lambda tokens, new: 3 if len(tokens) > 3 else None)
    (event,) = decode([Request(canvas, judged(sure_of(true), "greedy", True), {"target": net})])
    assert len(event.commit.token[0]) > 3
    assert canvas.generated() == true[:3]
    assert canvas.ended == ["stop"]


@pytest.mark.parametrize("verify", [*RULES, *LOSSY])
def test_an_empty_tree_is_the_plain_loop(verify):
    net = mixed_law(3)
    empty = fixed((), ())
    if verify != "greedy":
        found = enumerate_outcomes(text_of(judged(empty, verify, False), {"target": net}, 2))
        assert distance(found, law_of_text(net, [0], 2)) < CLOSE
    cold = "greedy" if verify in RULES else verify
    assert text_of(judged(empty, cold, True), {"target": net}, 4)(Chance()) == tuple(greedy_text(net, [0], 4))


@pytest.mark.parametrize("verify", ["greedy", "match", "residual"])
def test_duplicates_in_a_tree(verify):
    """One path spelled three times, each copy with another child."""
    net, copies = mixed_law(4), fixed((-1, -1, -1, 0, 1, 2), (1, 1, 1, 0, 1, 2))
    if verify == "greedy":
        found = text_of(judged(copies, verify, True), {"target": net}, 3)(Chance())
        assert found == tuple(greedy_text(net, [0], 3))
    else:
        found = enumerate_outcomes(text_of(judged(copies, verify, False), {"target": net}, 2))
        assert distance(found, law_of_text(net, [0], 2)) < CLOSE
