"""Trees grown by a policy over another drafter: every shape and length with every net and verifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, decode
from anyorder.core.types import Tree
from anyorder.drafter import Drafter, by_row
from anyorder.growth import Growing, InOrder, Urn, filled, inner_of, judged, share_of, wrapper
from anyorder.testing import ToyCausal, enumerate_outcomes, play, subject
from tests.drafts import P, Q, first_commit, same_law
from tests.drafts import judged as judged_by

SHAPES = {
    "dyspec": {"nodes": 5},
    "dyspec by levels": {"nodes": 5, "grow": "threshold"},
    "sequoia": {"nodes": 6},
    "template": {"tree": "2;1,2;1"},
    "confidence": {"threshold": 0.2},
    "specdec_pp": {"threshold": 0.5, "least": 1},
    "smartspec": {"every": 2},
}
INNER = [
    "early_exit/layer=2",
    "draft_model/tokens=3",
    "confidence/most=4",
    "(dyspec/drafter=(early_exit)/nodes=3)",
]
NOTHING = {
    "dyspec": "nodes",
    "sequoia": "nodes",
    "confidence": "most",
    "specdec_pp": "most",
    "smartspec": "most",
}


def nets(blur: float = 0.3, **given: Any) -> dict[str, ToyCausal]:
    return {"target": ToyCausal(0, **given)} | {
        name: ToyCausal(0, blur=blur, **given) for name in ("draft", "exit")
    }


def run(name: str, prompt=(1, 2, 0), budget: int = 14, greedy: bool = True, made=None, **options: Any) -> Any:
    tested = subject(name.split()[0], options=options)
    return tested.run(prompt, budget, greedy=greedy, nets=made or nets(), chance=Chance(3))


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("shape", SHAPES)
def test_text_is_the_plain_loops(shape, inner):
    """At temperature 0, and with verify=match at 1 for the same seed, whatever draws the guesses."""
    for greedy, plain in ((True, "greedy"), (False, "sample")):
        true = run(plain, greedy=greedy).texts
        draws = ["sampled", "likeliest"] if shape != "smartspec" else [None]
        for draw in draws:
            options = SHAPES[shape] | {"drafter": inner} | ({"draw": draw} if draw else {})
            for verify in ("auto", "greedy") if greedy else ("match",):
                record = run(shape, greedy=greedy, verify=verify, **options)
                assert record.texts == true
                if verify == "match" or greedy:
                    assert len(record.commits) < 14  # some guesses held


@pytest.mark.parametrize("shape", SHAPES)
def test_two_rows(shape):
    """Rows of one canvas are at different places of their trees; each has the plain loop's text."""
    found = []
    for name, options in (("sample", {}), (shape.split()[0], SHAPES[shape] | {"verify": "match"})):
        if name != "sample":
            options["drafter"] = "early_exit"
        setting = Setting(greedy=False, vocab=13, context=256)
        canvas = Canvas([1, 2, 0], 12, rows=2, eos=[4])
        request = Request(canvas, registry.build(name, options, setting), nets(), chance=Chance(8))
        for _ in decode([request]):
            pass
        found.append([canvas.generated(row) for row in (0, 1)])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


@pytest.mark.parametrize("name", NOTHING)
def test_no_budget_is_plain_decoding(name):
    record = run(name, **{NOTHING[name]: 0})
    assert record.transcript == run("greedy").transcript
    assert set(record.request.runs) == {"target"}


def test_no_tree_is_plain_decoding():
    assert run("template", tree="0").transcript == run("greedy").transcript


@pytest.mark.parametrize("shape", SHAPES)
def test_no_guess_is_deeper_than_what_could_become_text(shape):
    """The net's context and the budget end the tree, so the draft net is never asked beyond them."""
    small = nets(blur=0.0, context=12)
    record = run(shape, [1] * 6, 6, made=small, drafter="early_exit/tokens=20", **SHAPES[shape])
    asks = [(ask, answer) for ask, answer in record.answers if ask.net != "target"]
    assert all(answer.rows[0].length + max((0, *ask.guess[0].depth)) < 12 for ask, answer in asks)
    if shape != "smartspec":  # which leaves the inner drafter's chain to itself
        left = [12 - answer.rows[0].length - 1 for ask, answer in record.answers if ask.net == "target"]
        trees = [ask.guess[0] for ask, _ in record.answers if ask.net == "target" and ask.guess]
        assert all(max((0, *tree.depth)) <= room for tree, room in zip(trees, left, strict=True))


@dataclass
class Watched:
    """A chance that writes down where it was asked for draft tokens."""

    chance: Chance
    places: list[tuple[int, ...]] = field(default_factory=list)

    def of(self, purpose: str) -> Watched:
        return Watched(self.chance.of(purpose), self.places)

    def pick(self, logits: torch.Tensor, *place: int) -> int:
        if self.chance.purpose != "target":
            self.places.append(place)
        return self.chance.pick(logits, *place)

    def flip(self, *given: Any) -> bool:
        return self.chance.flip(*given)


@pytest.mark.parametrize("name", ["dyspec", "sequoia", "template", "confidence", "specdec_pp", "draft_model"])
def test_every_draw_has_noise_of_its_own(name):
    """Also where a place is drafted again after a rejection: else what policies remember of the first draft
    would tell the second one's tokens before they are drawn."""
    chance = Watched(Chance(1))
    tested = subject(name, options={"draw": "sampled", "verify": "residual"})
    play([tested.request([1, 2, 0], 30, greedy=False, nets=nets(blur=2.0), chance=chance)])
    positions = [place[:2] for place in chance.places]
    assert len(set(positions)) < len(positions)  # places are drafted again
    assert len(set(chance.places)) == len(chance.places)


def ranked(canvas: Canvas, row: int) -> Any:
    return lambda path: [(3, 0.5), (4 + len(path), 0.3), (9, 0.1)]


def table(learnt: list[Any] | None = None, **given: Any) -> Drafter:
    def learn(canvas, trees, seen, paths):
        learnt.append(trees)

    more = {} if learnt is None else {"learn": learn}
    return Drafter(by_row(lambda canvas, row: Tree()), rank=ranked, **more, **given)


def test_ranks_fill_a_tree_without_any_run():
    learnt: list[Any] = []
    setting = Setting(greedy=False, make=lambda spec: table(learnt))
    drafter = wrapper(
        setting, inner_of(setting, "x", ranks=True), lambda: filled([-1, -1, 0, 0, 2]), most=5,
        draw="sampled", kind="distinct", source="x",
    )  # fmt: skip
    assert drafter.kind == "point"  # a table has no law to draw from
    flow = drafter.draft(Canvas([0], 9))
    with pytest.raises(StopIteration) as done:
        next(flow)
    (tree,) = done.value.value
    assert (tree.token, tree.parent) == ((3, 4, 3, 5, 3), (-1, -1, 0, 0, 2))
    drafter.learn(Canvas([0], 9), (tree,), None, [[3]])
    assert learnt == [(tree,)]


def test_what_offers_whole_guesses_only_is_refused():
    setting = Setting(vocab=13)
    for name in ("dyspec", "confidence", "specdec_pp"):
        with pytest.raises(
            ValueError, match="drafter is 'jacobi', which only offers whole guesses; allowed are"
        ):
            registry.build(name, {"drafter": "jacobi"}, setting)
    for name in ("sequoia", "template"):
        with pytest.raises(ValueError, match=r"'jacobi'.* or of ranked tokens, like token_recycling"):
            registry.build(name, {"drafter": "jacobi"}, setting)
    with pytest.raises(ValueError, match="'greedy' is not a drafter"):
        registry.build("dyspec", {"drafter": "greedy"}, setting)


def test_nested_specs():
    spec = "(dyspec/drafter=(early_exit/layer=6/draw=sampled)/nodes=8)"
    assert registry.parsed(spec) == ("dyspec", {"drafter": "(early_exit/layer=6/draw=sampled)", "nodes": "8"})
    given = {"draft": "/a/b (1)", "c": "d", "tokens": "2"}
    assert registry.parsed("draft_model/draft=/a/b (1)/c=d/tokens=2") == ("draft_model", given)
    for wrong in ("dyspec/drafter=(early_exit", "dyspec/drafter=early_exit)/nodes=2"):
        with pytest.raises(ValueError, match="parentheses come in pairs"):
            registry.parsed(wrong)


def test_urn_and_order():
    """Both give the chance among what is left; an urn also the law that the token was drawn from."""
    law = torch.tensor(Q, dtype=torch.float64)
    order, urn = InOrder([(0, 0.6), (1, 0.3), (2, 0.1)]), Urn(law)
    assert [order.take(None)[:3] for _ in range(3)] == [
        pytest.approx(taken) for taken in ((0, 0.6, 0.4), (1, 0.75, 0.25), (2, 1.0, 0.0))
    ]
    assert not order
    left = law.clone()
    for turn in range(3):
        token, share, rest, drawn = urn.take(Chance(0), 0, 0, turn)
        assert torch.allclose(drawn, left)
        assert share == pytest.approx(float(left[token]))
        assert rest == pytest.approx(1 - share)
        left[token] = 0.0
        left /= max(1e-300, float(left.sum()))
    assert not urn


def test_asking_feeds_the_draft_net_no_leaf_that_nobody_wants():
    tree = Growing(0, 5, 9, token=[1, 2, 3, 4], parent=[-1, -1, 0, 2], depth=[1, 1, 2, 3])
    asked, skip = tree.asked([3])
    assert (asked.token, asked.parent, skip) == ((1, 3, 4), (-1, 0, 1), 3)
    asked, skip = tree.asked([2, 1])
    assert (asked.token, asked.parent, skip) == ((1, 2, 3), (-1, -1, 0), 2)
    assert tree.asked([-1]) == (Tree(), 0)


def test_judged():
    tree = Tree((5, 6, 7, 8), (-1, -1, 1, 1))
    assert judged(tree, [6, 8, 1]) == [(2, 1), (2, 1)]
    assert judged(tree, [5, 1]) == [(2, 0)]  # accepted to its end: nothing was rejected
    assert judged(tree, [9]) == [(2, -1)]
    assert judged(Tree(), [9]) == []


def test_share_of_an_exit_is_its_layers():
    setting = Setting(layers=30)
    made = Drafter(by_row(lambda canvas, row: Tree()), net="exit")
    setting.nets.append(("exit", {"layer": 6}))
    assert share_of(setting, made) == 0.2
    assert share_of(Setting(), made) == 0.04
    assert share_of(setting, table()) == 0.0


def test_a_token_that_is_looked_at_and_thrown_away_bends_the_law():
    """The card's wrong length policy: keep y if y = 0, else draft nothing. Law (.42, .12, .46), not p."""
    setting = Setting(
        greedy=False, vocab=3, make=lambda spec: Drafter(by_row(lambda c, r: Tree()), net="draft")
    )

    def peeking(tree):
        yield [-1]
        tree.child(-1)
        if tree.token[0] != 0:
            for kept in (tree.token, tree.parent, tree.depth, tree.law):
                kept.clear()

    drafter = wrapper(
        setting, inner_of(setting, "x"), lambda: peeking, most=1, draw="sampled", kind="chain", source=""
    )
    run = first_commit(judged_by(drafter, "ratio"), {"target": same_law(*P), "draft": same_law(*Q)}, budget=2)
    law = dict.fromkeys(range(3), 0.0)
    for path, weight in enumerate_outcomes(run).items():
        law[path[0]] += weight
    assert list(law.values()) == pytest.approx([0.42, 0.12, 0.46], abs=1e-6)
