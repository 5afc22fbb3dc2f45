"""Any-order texts: commits against static unmasking's steps, on the shipped model."""

from __future__ import annotations

import pytest

from anyorder import api, audit
from anyorder.audit.filled import Static, refill
from anyorder.audit.verdict import AS_SAID, EXACT, NOT_EXACT
from anyorder.bench.suites import Prompt
from anyorder.card import Card
from anyorder.core.types import Commit, Written
from anyorder.filling import look, surest, unmask
from anyorder.testing import play

PROMPTS = [
    Prompt(str(i), "words", text) for i, text in enumerate(("reverse: Ann, Ben, Cid", "sort: Cid, Ann"))
]
CARD = Card(
    name="outside", family="diffusion", paper="none", exact=True, summary="an outside method",
    cost="1 run per cell", canvas="cells",
)  # fmt: skip
CELLS = 8
ASKED = {"prompts": PROMPTS, "max_tokens": CELLS, "law": False}


@pytest.fixture(scope="module")
def words() -> api.Model:
    return api.load("list-diffusion", precision="fp32")


def ordered(score):
    """A builder: the cell with the highest score first, one a run."""
    return lambda setting: (
        lambda canvas: unmask(canvas, look(setting.greedy), lambda seen: surest(score(seen))[:1])
    )


@pytest.mark.parametrize("method, options", [("static", {}), ("freedave", {}), ("freedave", {"steps": 4})])
def test_no_false_alarm(words, method, options):
    verdict = audit.of(method, model=words, options=options, **ASKED)
    assert verdict.verdict == EXACT, verdict.why
    assert verdict.greedy.equal == verdict.sampling.texts.equal == len(PROMPTS)
    assert verdict.sampling.same_seed


def test_a_right_builder_is_exact_and_another_order_is_not(words):
    assert audit.of(ordered(lambda seen: seen.sure), CARD, model=words, **ASKED).verdict == EXACT
    verdict = audit.of(ordered(lambda seen: -seen.sure), CARD, model=words, **ASKED)
    assert verdict.verdict == NOT_EXACT
    found = verdict.greedy.divergences[0]
    assert "at cell" in found.emitted.text
    assert found.margin > found.noise


def steps(words, prompt=0):
    """The request of static unmasking, and what it wrote, commit by commit."""
    asked = {"max_tokens": CELLS, "temperature": 0.0}
    (record,) = play([words.request(PROMPTS[prompt].text, "static", **asked)])
    return words.request(PROMPTS[prompt].text, "static", **asked), record.written, record.texts[0]


def test_commits_of_several_steps_are_one_after_the_other(words):
    request, written, text = steps(words)
    plain = Static(words.filler, request)
    assert plain.text() == text
    together = Written(
        [[t for one in written for t in one.token[0]]], [[c for one in written for c in one.at[0]]]
    )
    for commits in (written, [together], [*written[:2], together]):
        assert refill(plain, commits, text).parted == []


def test_a_wrong_token_and_a_text_that_ends_early_are_found(words):
    request, written, text = steps(words)
    plain = Static(words.filler, request)
    cell, token = written[0].at[0][0], written[0].token[0][0]
    wrong = [Written([[token + 1]], [[cell]]), *written[1:]]
    found = refill(plain, wrong, text).parted[0]
    assert (found.position, found.expected, found.emitted) == (cell - plain.prompt, token, token + 1)
    assert found.margin > 0
    early = refill(plain, written[:1], text[:1]).parted[-1]
    assert early.emitted is None


def test_a_method_that_claims_nothing_is_compared_with_the_whole_text(words):
    verdict = audit.of("random_order", model=words, options={}, **ASKED)
    assert verdict.verdict == AS_SAID
    assert not verdict.alarm


def test_a_rewritten_cell_is_found(words):
    def build(setting):
        def method(canvas):
            flow, reply = unmask(canvas, look(True), lambda seen: surest(seen.sure)[:1]), None
            first = None
            while True:
                try:
                    step = flow.send(reply)
                except StopIteration:
                    return
                if isinstance(step, Commit):
                    (at,), (token,) = step.at, step.token
                    first = first or at[0]
                    if len(canvas.holes(range(len(canvas.rows[0])))[0]) == 3:
                        step = Commit([[*token, canvas.rows[0][first]]], at=[[*at, first]])
                reply = yield step

        return method

    verdict = audit.of(build, CARD, model=words, temperature=0.0, **ASKED)
    assert verdict.greedy.bugs
