"""Wrong rules, kept: each is a mistake somebody published or nearly made, and a law has to catch it."""

from __future__ import annotations

import random

import pytest
import torch

from anyorder.card import Card
from anyorder.core.canvas import Canvas
from anyorder.core.readers import argmax, log_probs, sample
from anyorder.core.types import Ask, Commit, chain
from anyorder.drafter import Drafter, by_row
from anyorder.drafters.draft_model import chained_drafts
from anyorder.methods.diffusion.static import static
from anyorder.methods.speculative import rules
from anyorder.methods.speculative.speculative import speculative, with_drafter
from anyorder.testing import LawBroken, ToyCausal, check_laws, distance, enumerate_outcomes
from anyorder.testing.laws import LAWS
from anyorder.trees import branches
from tests.drafts import SAMPLING, P, Q, first_commit, same_law


def card(**given) -> Card:
    facts = {
        "name": "wrong", "family": "speculative", "paper": "none", "exact": True, "summary": "a wrong rule",
        "cost": "1 target run per commit", "nets": ("target", "draft"),
    }  # fmt: skip
    return Card(**facts | given)


def caught_by(law: int, build, which: Card | None = None, **given) -> str:
    """This law is broken; what it says."""
    with pytest.raises(LawBroken) as broken:
        check_laws(build, which or card(), laws=[law], **given)
    assert broken.value.law == law
    return str(broken.value)


def read_for(setting):
    return argmax if setting.greedy else sample


# end of text ---------------------------------------------------------------------------------------------


def stops_before_eos(setting):
    """Off by one: the end-of-text token ends the text and is not written."""

    def method(canvas):
        while True:
            token = yield Ask(read_for(setting))
            if token[0] in canvas.eos:
                return
            yield Commit([[t] for t in token])

    return method


def test_end_of_text_that_is_not_written():
    assert "greedy is" in caught_by(2, stops_before_eos)
    caught_by(3, stops_before_eos)


@pytest.mark.parametrize("law", [2, 5])
def test_end_of_text_looked_for_one_token_late(monkeypatch, law):
    right = Canvas._cut

    def late(self, row, token):
        keep, why = right(self, row, token)
        return (min(keep + 1, len(token)), why) if why == "eos" else (keep, why)

    monkeypatch.setattr(Canvas, "_cut", late)
    with pytest.raises(LawBroken) as broken:
        check_laws("draft_model", laws=[law])
    assert broken.value.law == law


# laws of the text ----------------------------------------------------------------------------------------


def test_residual_by_softmax_of_the_difference(monkeypatch):
    given = {"options": {"draw": "sampled", "tokens": 1, "verify": "residual"}, "laws": [3]}
    check_laws("draft_model", **given)
    monkeypatch.setattr(rules, "rest", lambda owed, q: (owed - q).softmax(-1))
    with pytest.raises(LawBroken):
        check_laws("draft_model", **given)


def likeliest_with_q(setting):
    """Drafts the likeliest token and reports the law it was not drawn from."""

    def draft(canvas):
        def read(answer, chance):
            law = answer.logits.double().softmax(-1)
            return tuple(chain([int(line.argmax())], line[None]) for line in law)

        return (yield Ask(read, net="draft"))

    return with_drafter(Drafter(draft, kind="chain"), setting, "auto" if setting.greedy else "residual")


def test_likeliest_draft_that_claims_a_q():
    assert "total variation" in caught_by(3, likeliest_with_q)
    check_laws(likeliest_with_q, card(), laws=[1, 2, 4, 5, 6, 7, 8])  # all others are blind to it


def draws_for_each_path(setting):
    """One draw for each row of candidates: two paths that share a node get two chances at it."""

    def rule(answer, chance):
        out = []
        for lines in answer.rows:
            tree, best = lines.tree, []
            leaves = set(range(len(tree))) - set(tree.parent) or {-1}
            for turn, leaf in enumerate(sorted(leaves)):
                way, node = [-1], leaf
                while node >= 0:
                    way.insert(1, node)
                    node = tree.parent[node]
                path = []
                for i, at in enumerate(way):
                    logits = answer.logits[lines.start + 1 + at]
                    place = lines.position(at + 1)
                    path.append(chance.pick(logits, lines.row, place, turn))
                    if i + 1 == len(way) or tree.token[way[i + 1]] != path[-1]:
                        break
                if len(path) > len(best):
                    best = path
            out.append(best)
        return out

    return lambda canvas: speculative(canvas, TWO_PATHS, rules.greedy if setting.greedy else rule, setting)


TWO_PATHS = Drafter(
    by_row(lambda canvas, row: chain([]) if canvas.generated() else branches([[0, 0], [0, 1]]))
)


def test_one_draw_for_each_path():
    caught_by(3, draws_for_each_path)
    check_laws(lambda setting: with_drafter(TWO_PATHS, setting), card(), laws=[3])  # one for each node


def throws_away(setting):
    """A length controller that drafts a token, looks at it, and keeps it only if it is token 0."""

    def draft(canvas):
        (tree,) = yield from chained_drafts("draft", 1, not setting.greedy, "").draft(canvas)
        return (tree if tree.token == (0,) else chain([]),)

    kind = "point" if setting.greedy else "chain"
    return with_drafter(Drafter(draft, kind=kind), setting, "auto" if setting.greedy else "residual")


def test_draft_thrown_away_after_looking_at_it():
    caught_by(3, throws_away)
    nets = {"target": same_law(*P), "draft": same_law(*Q)}
    run = first_commit(throws_away(SAMPLING), nets)
    law: dict[int, float] = {}
    for path, weight in enumerate_outcomes(run).items():
        law[path[0]] = law.get(path[0], 0.0) + weight
    assert distance(law, {0: 0.42, 1: 0.12, 2: 0.46}) < 1e-6  # the card's numbers; p is .3 .3 .4


# state, company, limits, repetition, staleness, cost -----------------------------------------------------


class Follows(ToyCausal):
    """Takes the guesses for text without looking at what was committed."""

    def follow(self, canvas, commit):
        for row in self.held.get(canvas, ()):
            for path in sorted(row.guesses, key=len):
                row.tokens = [*row.tokens, path[-1]]
                row.states = torch.cat([row.states, row.guesses[path][None]])
            row.guesses = {}


class Forgets(ToyCausal):
    """Computes a cell after a cache that lost its first cell, which changes what is said."""

    def _run(self, row, text, tree, skip, at):
        if row.tokens:
            row.states = row.states.clone()
            row.states[0] = 0
        return super()._run(row, text, tree, skip, at)


@pytest.mark.parametrize("net", [Follows, Forgets])
def test_caches_that_do_not_follow_the_text(net):
    def nets(card, vocab):
        return {"target": net(0, vocab), "draft": ToyCausal(0, vocab, blur=0.5)}

    check_laws("draft_model", laws=[1])
    with pytest.raises(LawBroken):
        check_laws("draft_model", laws=[1], nets=nets)


def counts_its_steps(setting):
    """Truth in a local variable: every third token is the second likeliest."""

    def method(canvas):
        step = 0
        while True:
            step += 1
            logp = yield Ask(log_probs)
            yield Commit(logp.topk(2)[1][:, int(step % 3 == 0)][:, None].tolist())

    return method


def test_truth_in_a_local_variable():
    assert "restarted" in caught_by(1, counts_its_steps)


class Ticking:
    """A drafter's state shared by all requests of the process."""

    def __init__(self):
        self.ticks = 0

    def __call__(self, setting):
        def guess(canvas, row):
            self.ticks += 1
            return chain([self.ticks % 3])

        return with_drafter(Drafter(by_row(guess)), setting)


def test_state_shared_between_requests():
    caught_by(4, Ticking())
    caught_by(6, Ticking())


def draws_elsewhere(setting):
    """Randomness that is not the request's chance."""
    return with_drafter(Drafter(by_row(lambda canvas, row: chain([random.randrange(13)]))), setting)


def test_randomness_of_its_own():
    caught_by(6, draws_elsewhere)


def writes_itself(setting):
    """Writes to the canvas behind the loop's back, past the budget."""

    def method(canvas):
        token = yield Ask(argmax)
        canvas.rows[0] += token * 2 * canvas.budget

    return method


def test_text_that_no_commit_wrote():
    caught_by(5, writes_itself)


def never_ends(setting):
    def method(canvas):
        while True:
            yield Commit([[]])

    return method


def test_method_that_never_ends():
    assert "still not done" in caught_by(5, never_ends)


def reuses(setting):
    """Static unmasking that keeps the states of the cells written before, and calls itself exact."""

    def method(canvas):
        flow, reply = static(setting, 0, "confidence")(canvas), None
        while True:
            step = flow.send(reply)
            if isinstance(step, Commit):
                step = Commit(step.token, at=step.at, keep=[range(canvas.prompt)] * len(canvas.live))
            reply = yield step

    return method


def test_stale_states_and_an_exact_card():
    claim = card(family="diffusion", canvas="cells", nets=("target",), cost="1 run per cell")
    assert "keeps" in caught_by(7, reuses, claim)
    honest = card(family="diffusion", canvas="cells", nets=("target",), cost="1 run per cell", exact=False)
    assert "law 7" in check_laws(reuses, honest)[1]


def asks_twice(setting):
    def method(canvas):
        while True:
            yield Ask(argmax)
            token = yield Ask(read_for(setting))
            yield Commit([[t] for t in token])

    return method


def test_cost_that_is_not_the_card():
    assert "runs for" in caught_by(8, asks_twice)
    check_laws(asks_twice, card(cost="2 target runs per token"), laws=[8])
    assert "does not begin" in caught_by(8, asks_twice, card(cost="cheap"))
    assert "stated" in caught_by(8, stops_before_eos, card(cost="1 target run per commit, 2 cells"))
    assert "speaks of" in caught_by(
        8, stops_before_eos, card(cost="1 target run per commit, 1 + nodes cells")
    )


def test_there_are_eight_laws():
    assert list(LAWS) == [1, 2, 3, 4, 5, 6, 7, 8]
