"""Superposed Decoding: k drafts from one run for each position, on nets that can be checked by hand."""

import math
from itertools import pairwise

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.types import Answer, Ask, Commit, Lines
from anyorder.errors import UserError
from anyorder.registry import build
from anyorder.superposition import (
    LAMBDA,
    UNSEEN,
    Draft,
    Grams,
    Superposition,
    extended,
    following,
    gammas,
    newest,
    smoothed,
    weighed,
)
from anyorder.tables import GAP, of_tokens
from anyorder.testing import ByText, ToyCausal, greedy_text, play, restarted
from anyorder.testing.toy import attend

OPTIONS = [{"tokens": 4}, {}, {"tokens": 3, "drafts": 5, "alpha": 0.5}, {"tokens": 2, "drafts": 1}]

PROMPT = [1, 4, 2]


def run(net, budget, eos=(), wrap=lambda method: method, setting=None, **options):
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = wrap(build("superposed", options, setting or Setting(vocab=net.vocab)))
    (record,) = play([Request(canvas, method, {"target": net})])
    return record


# the card's checks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sharpness", [0.06, 1.0])
def test_one_draft_is_greedy(seed, sharpness):
    """Wherever spans end, and wherever the text does."""
    net = ToyCausal(seed, 13)
    for eos in [(), *((t,) for t in set(greedy_text(net, PROMPT, 9)))]:
        plain = greedy_text(net, PROMPT, 9, eos=eos)
        for tokens in (1, 3, 10):
            record = run(net, 9, eos, drafts=1, tokens=tokens, sharpness=sharpness)
            assert record.texts == [plain]
            assert all(not tree.soft for answer in record.answers for tree in answer[0].guess)


def test_gammas_sum_to_one_and_follow_joint_probability():
    drafts = [Draft((1, 5), math.log(0.3)), Draft((2, 6), math.log(0.1)), Draft((3, 5), math.log(0.1))]
    assert gammas(drafts) == pytest.approx({5: 0.8, 6: 0.2})
    assert gammas([Draft((7,), -900.0), Draft((8,), -900.0)]) == {7: 0.5, 8: 0.5}  # nothing underflows
    many = [Draft((i,), -0.37 * i) for i in range(20)]
    assert sum(gammas(many).values()) == pytest.approx(1, abs=1e-7)


def test_interpolation_flips_the_order():
    said = [(0, math.log(0.5)), (1, math.log(0.3))]
    rated = smoothed(said, [0.2, 0.4], 0.54)
    assert [math.exp(s) for _, s in rated] == pytest.approx([0.3048, 0.3504], abs=1e-4)
    assert extended([Draft()], lambda draft: rated, 1, ())[0].token == (1,)
    assert extended([Draft()], lambda draft: said, 1, ())[0].token == (0,)


def test_candidates_without_n_grams():
    """Those that have none go; where none has any, all stay in their order, far behind."""
    said = [(0, -0.5), (1, -1.0), (2, -2.0)]
    assert smoothed(said, [0.0, 0.0, 0.5], 0.5) == [(2, pytest.approx(-1 + 0.5 * math.log(0.5)))]
    assert smoothed(said, [0.0, 0.0, 0.0], 0.5) == [(t, 0.5 * p + UNSEEN) for t, p in said]


@pytest.mark.parametrize("drafts", [1, 3, 8])
def test_one_run_and_one_cell_for_each_position(drafts):
    record = run(ToyCausal(0, 13), 7, drafts=drafts, tokens=7)
    assert record.request.runs == {"target": 7}
    assert record.request.cells == {"target": len(PROMPT) + 6}
    assert len(record.texts) == drafts


# the algorithm against a sum written out ------------------------------------------------------------------


def test_two_positions_by_hand():
    """The second position's logits come from the mixed cell; drafts are the best sums."""
    net, k, sharpness = ToyCausal(3, 13), 3, 0.5
    record = run(net, 2, drafts=k, tokens=2, candidates=4, sharpness=sharpness)
    first = net.plain(PROMPT).log_softmax(-1).topk(k)
    gamma = first.values.softmax(-1)
    w, mixed = net.weights, -1
    soft = {mixed: dict(zip(first.indices.tolist(), gamma.tolist(), strict=True))}
    sees = torch.ones(4, 4, dtype=torch.bool).tril()
    blank = w.blank.new_zeros((4, *w.blank.shape[1:]))
    second = attend(w, [*PROMPT, mixed], [0, 1, 2, 3], [0, 1, 2, 3], sees, blank, soft)[0][-1]
    law = (second / sharpness).log_softmax(-1)
    pairs = [
        ((int(a), int(b)), float(s + law[b]))
        for a, s in zip(first.indices, first.values, strict=True)
        for b in law.topk(4)[1]
    ]
    best = sorted(pairs, key=lambda pair: -pair[1])[:k]
    assert [tuple(text) for text in record.texts] == [text for text, _ in best]
    assert record.canvas.score == pytest.approx([score for _, score in best], abs=1e-6)
    own = {a: net.plain([*PROMPT, a]).argmax() for a in first.indices.tolist()}
    assert len(set(map(int, own.values()))) > 1, "drafts of their own would go on differently"


def test_where_laws_are_all_alike_it_is_the_list_of_likeliest_texts():
    """A net whose law hangs on the length only: superposition loses nothing."""
    laws = [torch.tensor(p, dtype=torch.float64).log() for p in ((0.5, 0.4, 0.1), (0.6, 0.3, 0.1))]
    net = ByText(lambda text: laws[len(text) % 2])
    record = run(net, 2, drafts=4, tokens=2, candidates=3, sharpness=1.0)
    assert record.texts == [[0, 0], [1, 0], [0, 1], [1, 1]] or record.texts == [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
    ]
    exact = sorted((a * b for a in (0.4, 0.5, 0.1) for b in (0.6, 0.3, 0.1)), reverse=True)[:4]
    assert [math.exp(s) for s in record.canvas.score] == pytest.approx(exact)


# spans ----------------------------------------------------------------------------------------------------


def test_spans_go_on_behind_the_best_draft():
    record = run(ToyCausal(2, 13), 9, drafts=3, tokens=4)
    forks = [commit for commit in record.commits if len(commit.token) > 1]
    assert [[len(token) for token in commit.token] for commit in forks] == [[4] * 3, [4] * 3, [1] * 3]
    best = [token for commit in forks[:-1] for token in commit.token[0]]
    assert [text[:8] for text in record.texts] == [best] * 3
    assert len({text[-1] for text in record.texts}) == 3
    for before, after in pairwise(forks):
        assert after.score[0] <= before.score[0]  # scores are of the whole text
    assert record.canvas.score == sorted(record.canvas.score, reverse=True)


def test_what_a_span_computed_is_computed_again_for_its_draft():
    """Cells behind a mixture are wrong for each single draft: the next span's first law is the text's own."""
    net = ToyCausal(2, 13)
    record = run(net, 8, drafts=3, tokens=4)
    (ask, answer) = record.answers[4]  # the second span's first run
    text = record.canvas.rows[0][: len(PROMPT) + 4]
    torch.testing.assert_close(answer.logits[0], net.plain(text))
    assert answer.cells == 4
    assert not len(ask.guess[0])


def test_restarted_at_every_commit():
    net = ToyCausal(1, 13)
    for eos in ((), (greedy_text(net, PROMPT, 6)[3],)):
        one, two = (run(net, 8, eos, wrap, tokens=3) for wrap in (lambda m: m, restarted))
        assert one.texts == two.texts
        assert one.canvas.score == two.canvas.score


def test_a_draft_that_ended_keeps_its_place_and_leaves_the_mixture():
    law = {1: (0.6, 0.3, 0.1), 2: (0.2, 0.1, 0.7)}
    net = ByText(lambda text: torch.tensor(law[1 if len(text) <= 3 else 2], dtype=torch.float64).log())
    record = run(net, 3, (0,), drafts=2, tokens=3, sharpness=1.0, candidates=3)
    assert record.texts == [[0], [1, 2, 2]]
    assert [math.exp(s) for s in record.canvas.score] == pytest.approx([0.6, 0.3 * 0.7 * 0.7])
    asks = [step for step in record.steps if isinstance(step, Ask)]
    assert [ask.guess[0].token for ask in asks] == [(), (1,), (1, 2)]
    assert isinstance(record.steps[-1], Commit)


def test_a_forbidden_token_is_in_no_draft():
    logits = torch.tensor([[0.0, -torch.inf, 1.0]], dtype=torch.float64)
    (said,) = newest(3, 0.06)(Answer(logits, (Lines(0, 0, 1),)), Chance())
    assert [t for t, _ in said] == [2, 0]


# n-grams --------------------------------------------------------------------------------------------------

TEXTS = [[1, 2, 3, 1, 2, 4, 1, 2, 3], [2, 3, 2, 3, 5], [7]]


@pytest.mark.parametrize("phrase", [[1], [1, 2], [2, 3], [2, 3, 2], [7], [9], [1, 2, 3, 1, 2]])
def test_following_is_every_place(phrase):
    texts = [[*text, GAP] for text in TEXTS]
    n = len(phrase)
    true = [text[i + n] for text in texts for i in range(len(text) - n) if text[i : i + n] == phrase]
    assert sorted(following(of_tokens(TEXTS), phrase).tolist()) == sorted(true)


def test_n_grams_of_two_tables_are_counted_together():
    grams = Grams([of_tokens(TEXTS[:1]), of_tokens(TEXTS[1:])])
    texts = [[*text, GAP] for text in TEXTS]
    before, tokens = [9, 1, 2], [3, 4, 5]
    true = [0.0] * 3
    for n, weight in LAMBDA.items():
        phrase = before[len(before) - n + 1 :] if n - 1 <= len(before) else None
        places = [
            text[i + n - 1]
            for text in texts
            for i in range(len(text) - n + 1)
            if text[i : i + n - 1] == phrase
        ]
        if places:
            true = [t + weight * places.count(x) / len(places) for t, x in zip(true, tokens, strict=True)]
    assert grams(before, tokens) == pytest.approx(true)
    assert true[0] > true[1] > true[2] == 0


def test_n_grams_pull_each_draft_its_own_way():
    """One law for both drafts; what stands before in each tells them apart."""
    grams, said = Grams([of_tokens([[1, 5], [2, 6]])]), [(5, -1.0), (6, -1.1)]
    how = Superposition(2, 2, alpha=0.5)
    best = {a: weighed(said, how, grams, [0], Draft((a,), -1.0))[0][0] for a in (1, 2)}
    assert best == {1: 5, 2: 6}
    assert weighed(said, how, None, [0], Draft((2,), -1.0)) == said  # without n-grams they cannot differ


def test_alpha_reads_the_prompt():
    """The prompt says what follows its phrases; without alpha the net alone decides."""
    net = ByText(lambda text: torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64))
    plain = run(net, 4, drafts=1)
    read = run(net, 4, drafts=1, alpha=0.9, sharpness=1.0)
    assert plain.texts == [[4, 4, 4, 4]]
    assert read.texts == [[4, 2, 4, 2]]  # after the prompt's 1 4 2: step 1 is the net's, then 4 -> 2, 2 -> 4


def test_corpus_that_is_not_there():
    with pytest.raises(UserError, match=r"corpus nowhere.txt is not there .*; give the path"):
        build("superposed", {"alpha": 0.5, "corpus": "nowhere.txt"}, Setting(vocab=13))


def test_corpus(tmp_path):
    """Its n-grams count like the prompt's."""
    file = tmp_path / "corpus.txt"
    file.write_text("4 0 4 0 4 0")
    setting = Setting(vocab=5, encode=lambda text: [int(t) for t in text.split()], spelling="digits")
    net = ByText(lambda text: torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64))
    given = {"drafts": 1, "alpha": 0.9, "sharpness": 1.0, "corpus": str(file)}
    assert run(net, 4, setting=setting, **given).texts == [[4, 0, 4, 0]]
