"""Self-consistency: the vote, and what it votes about."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.types import Commit
from anyorder.methods.search.self_consistency import line, matching, number, search
from anyorder.registry import build
from anyorder.testing import ToyCausal, check_laws, greedy_text, log_probability, play

OPTIONS = [{"texts": 3}, {}, {"texts": 2, "answer": "line"}, {"texts": 1}]
PROMPT = [0, 1]


def run(net, budget, seed=0, eos=(), greedy=False, **options):
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = build("self_consistency", options, Setting(greedy=greedy, vocab=net.vocab))
    return play([Request(canvas, method, {"target": net}, chance=Chance(seed))])[0]


def voted(texts, likely=None, answer=number):
    """The order of given texts (one token each) and their shares."""
    names = list(texts)

    def draw(canvas):
        score = tuple(likely or [0.0] * len(names))
        yield Commit([[i] for i in range(len(names))], score=score)

    canvas = Canvas(PROMPT, 1)

    def method(canvas):
        yield from search(canvas, len(names), lambda tokens: answer(names[tokens[0]]), draw)

    play([Request(canvas, method, {"target": ToyCausal(0, 13)})])
    return [names[canvas.generated(h)[0]] for h in range(len(names))], canvas.score


def test_the_majority_wins():
    order, share = voted(["it is 7", "so 12.", "12", "17", "= 12.0"])
    assert order[:3] == ["so 12.", "12", "= 12.0"]
    assert share == [0.6, 0.6, 0.6, 0.2, 0.2]


def test_the_likeliest_of_the_winners_comes_first():
    order, _ = voted(["a 5", "b 5", "c 6", "d 5"], [-3.0, -1.0, -0.1, -2.0])
    assert order == ["b 5", "d 5", "a 5", "c 6"]


def test_a_tie_goes_to_the_likeliest_text():
    order, share = voted(["a 5", "b 6", "c 6", "d 5"], [-3.0, -1.0, -9.0, -2.0])
    assert order == ["b 6", "c 6", "d 5", "a 5"]
    assert share == [0.5] * 4


def test_a_text_without_answer_has_no_vote():
    order, share = voted(["none", "nor here", "3"], [-1.0, -2.0, -9.0])
    assert (order[0], share) == ("3", [1 / 3, 0.0, 0.0])
    order, share = voted(["none", "nor here"], [-2.0, -1.0])
    assert (order, share) == (["nor here", "none"], [0.0, 0.0])


@pytest.mark.parametrize(
    "text, answer",
    [("18", "18"), ("$1,200.50.", "1200.5"), ("-3", "-3"), ("2 then 100", "100"), ("x", None), ("7.", "7")],
)
def test_numbers(text, answer):
    assert number(text) == answer


def test_lines_and_patterns():
    assert line("a\n b \n\n") == "b"
    assert line(" \n") is None
    assert matching(r"\(([A-E])\)")("(A) no, (B)") == "B"
    assert matching("yes|no")("yes, no, yes!") == "yes"
    assert matching("yes|no")("perhaps") is None
    with pytest.raises(ValueError, match="no regular expression"):
        build("self_consistency", {"answer": "(["}, Setting(vocab=13))


@pytest.mark.parametrize("seed", range(3))
def test_votes_about_sampled_texts(seed):
    net = ToyCausal(seed, 13)
    record = run(net, 6, seed, eos=(4,), texts=9)
    last = [text[-1] for text in record.texts]
    assert record.canvas.score == [last.count(token) / 9 for token in last]
    assert last.count(last[0]) == max(map(last.count, last))
    mean = [log_probability(net, PROMPT, text) / len(text) for text in record.texts]
    first = [m for m, token in zip(mean, last, strict=True) if token == last[0]]
    assert first == sorted(first, reverse=True)


def test_greedy_writes_one_text():
    net = ToyCausal(1, 13)
    assert run(net, 8, greedy=True).texts == [greedy_text(net, PROMPT, 8)]


def test_with_cautious_prediction():
    """Rows drawn by another method, each for itself; with one trial they are plain samples."""
    net, cntp = ToyCausal(1, 13), "cntp/trials=4/cap=4/marks=1,2"
    record = run(net, 9, 3, texts=4, draw=cntp)
    assert len({tuple(text) for text in record.texts}) > 1
    assert any(ask.guess for ask, _ in record.answers)
    mean = [log_probability(net, PROMPT, text) / len(text) for text in record.texts]
    last = [text[-1] for text in record.texts]
    assert mean[0] == max(m for m, token in zip(mean, last, strict=True) if token == last[0])
    plain, same = (run(net, 9, 3, texts=4, draw=draw).texts for draw in ("", "cntp/trials=1"))
    assert plain == same
    check_laws("self_consistency", options={"texts": 3, "draw": f"({cntp})"}, laws=(1, 4, 5, 6, 7))
