"""The ways to make one text of a list, on a random model and on one that only repeats."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import anyorder
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.errors import UserError
from anyorder.nbest import NBest, built, correct, corrected, prompts
from anyorder.nbest.likelihood import judged, log_likelihoods
from anyorder.nbest.lists import Hypothesis
from anyorder.nbest.parts import compositions
from anyorder.nbest.ways import CONTEXT, OPTIONS, WAYS, WRITES, cleaned
from anyorder.testing import ToyCausal

TEXTS = [["the see is blew", "the sea is blew", "the see is blue"], ["hi", "high"], ["a b c d", "a b d", "b"]]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> anyorder.Model:
    return anyorder.load(str(tiny_model_folder), precision="fp32")


class Repeats:
    """A model that writes what `says` makes of the best hypothesis in its prompt."""

    name, target = "repeats", SimpleNamespace(can=frozenset())

    def __init__(self, says=lambda best: best):
        self.says, self.prompts, self.options = says, [], {}

    def tokenizer(self, text: str) -> dict:
        return {"input_ids": text.split()}

    def batch(self, asked: list, method: str, **options) -> list:
        self.prompts += [one["prompt"] for one in asked]
        self.options = {"method": method, **options}
        best = [
            re.findall(r"### Best hypothesis:\n(.*)", prompt)[-1] for prompt in self.prompts[-len(asked) :]
        ]
        return [SimpleNamespace(text=self.says(text)) for text in best]


def lists(texts: list[list[str]] = TEXTS, n: int = 3) -> list[NBest]:
    return [built(NBest.of(some, some[-1], i), n) for i, some in enumerate(texts)]


def scored(*pairs: tuple[str, float]) -> NBest:
    return NBest(1, tuple(Hypothesis(text, score, i) for i, (text, score) in enumerate(pairs)))


# judging ----------------------------------------------------------------------------------------------


def test_the_tree_s_scores_are_those_of_each_path_alone() -> None:
    paths = [[3, 5, 7], [3, 5, 2, 2], [3], [4, 4], [3, 5, 7]]
    canvas, net = Canvas([1, 2], 4), ToyCausal()
    request = Request(canvas, judged(paths), {"target": net})
    for _ in decode([request]):
        pass
    assert [canvas.generated(h) for h in range(len(paths))] == paths
    assert request.runs == {"target": 1}
    for h, path in enumerate(paths):
        alone, total = [1, 2], 0.0
        for token in path:
            total += float(net.plain(alone).log_softmax(-1)[token])
            alone.append(token)
        assert canvas.score[h] == pytest.approx(total, abs=1e-9)


def test_likelihoods_are_the_stock_model_s(model: anyorder.Model) -> None:
    found = list(log_likelihoods(model, TEXTS, CONTEXT))
    before = model.encode(CONTEXT)
    stock = anyorder.load(model.name, precision="fp32", packed=False).module
    for texts, said in zip(TEXTS, found, strict=True):
        for text, (logp, count) in zip(texts, said, strict=True):
            ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                laws = stock(torch.tensor([[*before, *ids]])).logits[0].log_softmax(-1)
            want = sum(float(laws[len(before) + i - 1, t]) for i, t in enumerate(ids))
            assert count == len(ids)
            assert logp == pytest.approx(want, abs=1e-3)


def test_company_changes_no_choice(model: anyorder.Model) -> None:
    together = correct(model, lists(), "choose", batch=3)
    alone = correct(model, lists(), "choose", batch=1)
    assert [one.text for one in together] == [one.text for one in alone]
    for a, b in zip(together, alone, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=1e-4)


def test_choose_takes_the_likeliest(model: anyorder.Model) -> None:
    for texts, said, ours in zip(
        TEXTS, log_likelihoods(model, TEXTS, CONTEXT), correct(model, lists(), "choose"), strict=True
    ):
        assert ours.text == max(zip(said, texts))[1]
    for texts, said, ours in zip(
        TEXTS,
        log_likelihoods(model, TEXTS, CONTEXT),
        correct(model, lists(), "choose", per_token=True),
        strict=True,
    ):
        assert ours.text == max((logp / count, text) for (logp, count), text in zip(said, texts))[1]


def test_the_recogniser_s_score_has_its_share(model: anyorder.Model) -> None:
    one = scored(("aaaa", -1.0), ("bb", -90.0), ("c", -2.0))
    (alone,) = correct(model, [one], "choose", weight=0.0)
    (theirs,) = correct(model, [one], "choose", weight=1.0)
    (half,) = correct(model, [one], "choose")
    assert theirs.scores == (-1.0, -90.0, -2.0)
    assert theirs.text == "aaaa"
    assert half.scores == pytest.approx([(a + b) / 2 for a, b in zip(alone.scores, theirs.scores)])
    (bare,) = correct(model, [NBest.of(one.texts)], "choose")
    assert bare.scores == pytest.approx(alone.scores)


def test_equal_hypotheses_leave_the_first_chosen(model: anyorder.Model) -> None:
    (made,) = correct(model, [built(NBest.of(["same"]), 4)], "choose")
    assert (made.text, made.chosen) == ("same", 0)


def test_channel_takes_the_best_sum_over_compositions(model: anyorder.Model) -> None:
    from anyorder.nbest.noise import channel

    (one,) = lists(TEXTS[:1])
    texts = compositions(one.texts, 32)
    assert "the sea is blue" in texts
    (said,) = log_likelihoods(model, [texts], CONTEXT)
    for beta in (0.0, 1.0, 50.0):
        (made,) = correct(model, [one], "channel", beta=beta, rate=0.1)
        scores = [
            logp + beta * math.fsum(channel(h, text, 0.1) for h in one.texts) / 3
            for text, (logp, _) in zip(texts, said, strict=True)
        ]
        assert made.text == texts[scores.index(max(scores))]
    assert made.text == "the see is blew"  # a strong channel keeps to what most hypotheses are near


# writing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WRITES)
def test_one_hypothesis_and_a_model_that_repeats_change_nothing(way: str) -> None:
    one = built(NBest.of(["we saw the hole thing"]), 1)
    (made,) = correct(Repeats(), [one], way)
    assert (made.text, made.chosen, made.refused) == ("we saw the hole thing", 0, None)


def test_the_prompt_shows_the_list_in_order() -> None:
    assert prompts.task(["a b", "c"]) == (
        "### Best hypothesis:\na b\n\n### Other hypotheses:\nc\n\n### Response:\n"
    )
    assert prompts.task(["a b"]) == "### Best hypothesis:\na b\n\n### Response:\n"
    echo = Repeats()
    correct(echo, lists(), "tuned")
    assert echo.prompts == [prompts.task(one.texts) for one in lists()]
    assert echo.options["chat"] is False
    correct(echo, lists(), "zero_shot", method="beam", width=4)
    assert echo.prompts[3].startswith(prompts.INSTRUCTION)
    assert echo.options == {"method": "beam", "width": 4, "stop": ("\n",), "chat": True, "seed": 0}


def test_examples_are_solved_and_never_the_list_itself() -> None:
    echo = Repeats()
    correct(echo, lists(), "few_shot", examples=lists(), shots=2)
    for one, prompt in zip(lists(), echo.prompts, strict=True):
        others = [other for other in lists() if other.id != one.id]
        shown = "\n\n".join(f"{prompts.task(o.texts)}{o.reference}" for o in others)
        assert prompt == f"{prompts.INSTRUCTION}\n\n{shown}\n\n{prompts.task(one.texts)}"
        assert not prompt.endswith(one.reference or "")
    correct(echo, lists(), "few_shot")
    assert all(one.reference in echo.prompts[-1] for one in prompts.built_in(3))
    with pytest.raises(UserError, match="no example has a reference"):
        correct(echo, lists(), "few_shot", examples=[built(NBest.of(["a"]))])


def test_what_is_far_from_every_hypothesis_is_refused(model: anyorder.Model) -> None:
    far = Repeats(lambda best: "as a language model I cannot")
    made = correct(far, lists(), "zero_shot")
    assert [one.text for one in made] == [one.texts[0] for one in lists()]  # it cannot judge either
    assert all(one.refused == "as a language model I cannot" for one in made)
    assert all(one.refused is None for one in correct(far, lists(), "zero_shot", gate=0))
    far.target = model.target  # now it can
    for name in ("encode", "cache"):
        setattr(far, name, getattr(model, name))
    far.tokenizer = model.tokenizer
    assert [one.text for one in correct(far, lists(), "zero_shot")] == [
        one.text for one in correct(model, lists(), "choose")
    ]


def test_the_gate_measures_edits_per_character() -> None:
    wrong = Repeats(lambda best: "XY" + best[2:])
    one = built(NBest.of(["abcdefgh"]), 1)
    assert correct(wrong, [one], "tuned", gate=0.25)[0].refused is None
    assert correct(wrong, [one], "tuned", gate=0.24)[0].refused == "XYcdefgh"


def test_only_some_lists_are_refused() -> None:
    some = Repeats(lambda best: "nothing like it at all" if best == "hi" else best.upper())
    made = correct(some, lists(), "tuned")
    assert [one.text for one in made] == ["THE SEE IS BLEW", "hi", "A B C D"]
    assert [one.refused is None for one in made] == [True, False, True]


@pytest.mark.parametrize("text, clean", [(' "a b" ', "a b"), ("“a”", "a"), ('"a', '"a'), ("''", "''")])
def test_quotation_marks_around_a_text_go(text: str, clean: str) -> None:
    assert cleaned(text) == clean


@pytest.mark.parametrize("way, method", [("few_shot", "greedy"), ("zero_shot", "sample"), ("tuned", "beam")])
def test_ways_that_write_run_in_company_as_alone(model: anyorder.Model, way: str, method: str) -> None:
    some, given = lists(TEXTS[1:]), {"method": method, **({"shots": 1} if way == "few_shot" else {})}
    alone = correct(model, some, way, batch=1, **given)
    made = correct(model, some, way, **given)
    assert [(one.text, one.refused) for one in made] == [(one.text, one.refused) for one in alone]
    for one, ours in zip(some, made, strict=True):
        assert ours.chosen is None or one.texts[ours.chosen] == ours.text
        assert "\n" not in ours.text


# refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way, options, says",
    [
        ("chose", {}, "unknown way 'chose'; allowed is first, choose"),
        ("choose", {"beta": 1}, "way choose has no option 'beta'; its options: batch, seed, context"),
        ("first", {"top_k": 1}, "way first has no option 'top_k'"),
        ("zero_shot", {"gate": -1}, "option gate is -1; allowed is float from 0"),
        ("choose", {"method": "beam"}, "way choose takes no method"),
        ("choose", {"weight": 2}, "option weight is 2; allowed is float from 0 to 1"),
        ("choose", {"weight": 0.5}, "list 0 has a hypothesis without score"),
        ("channel", {"weight": 0.5}, "way channel takes no weight"),
        ("zero_shot", {"examples": []}, "way zero_shot takes no examples"),
        ("choose", {}, "way choose needs a model"),
    ],
)  # fmt: skip
def test_wrong_wishes_are_refused_at_once(way: str, options: dict, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        corrected(None, lists(), way, **options)


def test_what_does_not_fit_or_cannot_be_judged_is_refused(model: anyorder.Model) -> None:
    with pytest.raises(UserError, match=r"tiny-model.* holds 1024"):
        correct(model, [NBest.of(["word " * 300])], "choose")
    with pytest.raises(UserError, match="misreads texts that stand side by side"):
        correct(Repeats(), lists(), "choose")


def test_every_way_says_what_it_is() -> None:
    assert WAYS.keys() == OPTIONS.keys()
