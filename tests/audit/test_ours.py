"""Our own methods before the judge: rounding is a tie, a rule is a bug, and who is exact is not accused."""

from __future__ import annotations

import json

import pytest

from anyorder import audit
from anyorder.audit import rows
from anyorder.audit.ours import Audit
from anyorder.audit.verdict import AS_SAID, EXACT, NOT_EXACT, UNCHECKED, UP_TO_TIES
from anyorder.bench.entries import Plan
from anyorder.card import Card
from anyorder.core.readers import log_probs
from anyorder.core.types import Ask, Commit
from anyorder.errors import UserError

LONG = 10
EXACT_ONES = "greedy,sample,prompt_lookup,token_recycling,lookahead,jacobi,merged,early_exit:layer=1"
ASKED = {"max_tokens": LONG, "law": False}


def card(**given) -> Card:
    facts = {
        "name": "outside", "family": "search", "paper": "none", "exact": True, "summary": "an outside method",
        "cost": "1 target run per token",
    }  # fmt: skip
    return Card(**facts | given)


def choosing(choose):
    """A builder whose method writes choose(log-probabilities [V], generated tokens so far)."""

    def build(setting):
        def method(canvas):
            while True:
                (line,) = yield Ask(log_probs)
                yield Commit([[choose(line, canvas.generated())]])

        return method

    return build


def likeliest(line, text):
    return int(line.argmax())


def second_now_and_then(line, text):
    return int(line.topk(2).indices[int(len(text) % 4 == 3)])


def nudged(size):
    """The runner-up, if it is nearer than `size`."""

    def choose(line, text):
        top = line.topk(2)
        return int(top.indices[int(top.values[0] - top.values[1] < size)])

    return choose


def work(tiny, prompts, *choose, temperature=0.0, **facts):
    made = [rows.Row(str(i), card(**facts), build=choosing(one)) for i, one in enumerate(choose)]
    return Audit(tiny, made, prompts, Plan(max_tokens=LONG, temperature=temperature))


def test_no_false_alarm(tiny, prompts):
    plan = Plan(max_tokens=LONG, temperature=0.9)
    done = Audit(tiny, rows.rows_of(EXACT_ONES, plan), prompts, plan)
    heard = []
    for verdict in done.run(heard.append, law=False):
        assert verdict.verdict in (EXACT, UP_TO_TIES), (verdict.method, verdict.why)
        assert verdict.greedy.prompts == len(prompts)
        if verdict.method != "greedy":
            assert verdict.sampling.texts.bugs == 0
            assert verdict.sampling.same_seed
            assert verdict.sampling.p_value > 1e-4
            assert verdict.sampling.draws > len(prompts)
    assert len(heard) == done.total - len(done.rows)


@pytest.mark.slow
def test_no_false_alarm_in_bf16(tiny_model_folder, prompts):
    from anyorder import api

    plan = Plan(max_tokens=LONG, temperature=0.9)
    model = api.load(str(tiny_model_folder), precision="bf16")
    done = Audit(model, rows.rows_of(EXACT_ONES, plan), prompts, plan)
    assert [v.verdict for v in done.run(law=False) if v.verdict not in (EXACT, UP_TO_TIES)] == []


def test_a_planted_rule_is_a_bug_with_its_place(tiny, prompts):
    (verdict,) = work(tiny, prompts, second_now_and_then).run(law=False)
    assert verdict.verdict == NOT_EXACT
    assert verdict.alarm
    assert verdict.greedy.equal < len(prompts)
    places = [found for found in verdict.greedy.divergences if found.verdict == "bug"]
    assert {found.position % 4 for found in places} == {3}
    assert all(found.margin > found.noise >= 0 for found in places)
    assert all(found.expected.id != found.emitted.id for found in places)
    assert places[0].expected.text == tiny.tokenizer.decode([places[0].expected.id])


def test_a_change_of_roundings_size_is_a_tie_and_a_larger_one_a_bug(tiny, prompts):
    for size, noise, said in ((0.5, 0.5, UP_TO_TIES), (0.5, 0.001, NOT_EXACT)):
        done = work(tiny, prompts, nudged(size))
        vars(done)["noise"] = noise
        (verdict,) = done.run(law=False)
        assert verdict.verdict == said
        assert verdict.greedy.ties + verdict.greedy.bugs == len(verdict.greedy.divergences) > 0
        assert all(found.margin < size for found in verdict.greedy.divergences)


def ends_early(setting):
    def method(canvas):
        for _ in range(3):
            (line,) = yield Ask(log_probs)
            yield Commit([[likeliest(line, [])]])

    return method


def test_a_text_that_ends_early_is_a_bug(tiny, prompts):
    verdict = audit.of(ends_early, card(), model=tiny, prompts=prompts, **ASKED)
    assert verdict.verdict == NOT_EXACT
    assert {(found.position, found.emitted.id) for found in verdict.greedy.divergences} == {(3, None)}
    assert all(found.margin is None for found in verdict.greedy.divergences)


def test_draws_that_follow_another_law_are_found_on_the_model(tiny, prompts):
    """Always the likeliest token: exact at temperature 0 and at no other."""
    many = [*prompts, *prompts, *prompts]
    verdict = audit.of(choosing(likeliest), card(), model=tiny, prompts=many, temperature=1.0, **ASKED)
    assert verdict.greedy.bugs == 0
    assert verdict.sampling.p_value < 1e-4
    assert verdict.verdict == NOT_EXACT
    assert verdict.why == "draws do not follow the target"


def test_a_residual_rule_is_judged_by_its_law(tiny, prompts):
    given = {"layer": 1, "draw": "sampled", "verify": "residual"}
    verdict = audit.of("early_exit", options=given, model=tiny, prompts=prompts, **ASKED)
    assert verdict.verdict == EXACT
    assert verdict.sampling.texts is None  # other texts than plain sampling's, by the same law
    assert verdict.sampling.p_value > 1e-4
    assert verdict.sampling.same_seed


def test_one_seed_and_two_texts(tiny, prompts):
    calls = []

    def restless(line, text):
        calls.append(None)
        return int(line.topk(2).indices[int(len(calls) % 7 == 0)])

    done = work(tiny, prompts, restless, temperature=0.9)
    (verdict,) = done.run(law=False)
    assert verdict.sampling.same_seed is False
    assert verdict.verdict == NOT_EXACT


def test_what_claims_nothing_raises_no_alarm(tiny, prompts):
    claims, silent = (
        work(tiny, prompts, second_now_and_then, exact=exact).run(law=False)[0] for exact in (True, False)
    )
    assert (claims.verdict, silent.verdict) == (NOT_EXACT, AS_SAID)
    assert silent.greedy.bugs == claims.greedy.bugs > 0
    assert not silent.alarm


def test_a_method_that_cannot_run_is_no_alarm_and_the_others_go_on(tiny, prompts):
    def broken(line, text):
        raise RuntimeError("no such thing")

    first, second = work(tiny, prompts, broken, likeliest).run(law=False)
    assert (first.verdict, second.verdict) == (UNCHECKED, EXACT)
    assert "RuntimeError: no such thing" in first.why


def test_ctrl_c_keeps_what_was_found(tiny, prompts):
    done, heard = work(tiny, prompts, likeliest, second_now_and_then), []

    def tell(label):
        heard.append(label)
        if len(heard) == 5:  # in the second prompt
            raise KeyboardInterrupt

    right, wrong = done.run(tell, law=False)
    assert done.stopped
    assert right.greedy.prompts == wrong.greedy.prompts == 1
    assert (right.verdict, wrong.verdict) == (EXACT, NOT_EXACT)


def test_what_a_method_remembers_stays_with_it(tiny, prompts):
    before = dict(tiny.memory)
    plan = Plan(max_tokens=LONG)
    Audit(tiny, rows.rows_of("token_recycling", plan), prompts[:1], plan).run(law=False)
    assert tiny.memory == before


def test_rows_and_what_is_refused(tiny_model_folder):
    plan = Plan(model=str(tiny_model_folder))
    default = {row.label for row in rows.rows_of(None, plan)}
    assert {"greedy", "sample", "prompt_lookup", "auto"} <= default
    assert not default & {"beam", "freedave", "draft_model"}
    assert "beam" in {row.label for row in rows.rows_of("all", plan)}
    assert [row.label for row in rows.rows_of("greedy,jacobi", plan)] == ["greedy", "jacobi"]
    assert [row.label for row in rows.rows_of("jacobi", plan)] == ["jacobi"]
    for wrong, says in (("transformers", "another library"), ("gredy", "did you mean"), (",", "empty")):
        with pytest.raises(UserError, match=says):
            rows.rows_of(wrong, plan)
    with pytest.raises(UserError, match="did you mean"):
        audit.of("gredy")


def test_a_verdict_is_plain_data(tiny, prompts):
    verdict = audit.of(
        choosing(second_now_and_then), card(), model=tiny, prompts=prompts[:2], max_tokens=LONG, law=False
    )
    row = json.loads(json.dumps(verdict.figures()))
    assert {"method", "greedy", "sampling", "verdict"} <= row.keys()
    assert {"prompts", "equal", "ties", "bugs", "divergences"} <= row["greedy"].keys()
    assert {"tv", "p_value"} <= row["sampling"].keys()
    assert {"prompt", "position", "expected", "emitted", "margin", "noise"} <= row["greedy"]["divergences"][
        0
    ].keys()
