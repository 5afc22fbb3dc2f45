"""ParallelBench's problems: drawn from a seed, judged by their own rules, leniently and strictly."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from anyorder.bench.parallelbench import problems, sentences, suite, texts
from anyorder.bench.parallelbench.people import FIRST, LAST, PEOPLE
from anyorder.bench.parallelbench.scenes import RARE, SCENES
from anyorder.errors import UserError
from anyorder.tasks import latin, lists, sudoku

PEERLESS = ("shuffle", "replace_index", "replace_random", "insert_index", "insert_random", "remove_random")


@pytest.fixture(scope="module", params=("text", "words"))
def form(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def some(form):
    return suite(form, count=8)


def test_the_papers_counts(form):
    found = Counter(problem.task for problem in suite(form))
    assert [found[task] for task in lists.TASKS] == [100] * 10
    assert (found["latin"], found["sudoku"]) == (100, 108)
    assert sum(found.values()) == (1508 if form == "text" else 1208)


def test_as_many_of_each_length(form):
    drawn = problems._lines(form, "shuffle", 42, 100)
    assert [len(example.items) for example, _ in drawn] == [3] * 25 + [4] * 25 + [5] * 25 + [6] * 25
    for example, _ in drawn:
        assert len(set(example.gold)) == len(example.items)
    assert [len(e.items) for e, _ in problems._lines(form, "copy", 42, 2)] == [3, 4]


def test_the_same_seed_the_same_problems(form, some):
    def asked(seed: int) -> list[tuple[str, str]]:
        return [(problem.prompt, problem.answer) for problem in suite(form, seed, 8)]

    assert asked(42) == [(problem.prompt, problem.answer) for problem in some]
    assert asked(43) != asked(42)


def test_seeds_follow_names():
    assert problems.source("copy", 42).random() != problems.source("sort", 42).random()
    import hashlib

    number = (int(hashlib.sha256(b"copy").hexdigest(), 16) + 42) % 65535
    assert problems.source("copy", 42).random() == random.Random(number).random()


def test_every_answer_is_accepted(some):
    for problem in some:
        assert problem.judge(problem.answer), problem
        assert problem.strict(problem.answer), problem
        assert not problem.judge("")
        assert not problem.strict("")


def test_what_is_asked_is_no_answer(form, some):
    """Input-copy is refused, and so is the worked example."""
    for problem in some:
        if problem.task in PEERLESS:
            assert not problem.judge(
                problem.prompt.split(": ")[-1] if form == "words" else problem.prompt.split("\n")[-2]
            )
        if form == "text" and problem.task in (*lists.TASKS, "latin", "sudoku"):
            example = problem.prompt.partition("\n\nNow answer this.")[0].rpartition("\n\n")[2]
            shown = problem.prompt.rpartition("\n\n")[2]
            assert example
            assert not problem.judge(example), (problem.task, example, shown)


def test_canvases(form, some):
    cells = {"text": (32, 64), "words": (8, 16)}[form]
    for problem in some:
        assert problem.cells == cells[problem.task not in lists.TASKS]


def test_questions_do_not_give_blanks_away(some):
    for problem in some:
        assert "None" not in problem.prompt
        assert "{" not in problem.prompt


@pytest.mark.parametrize(
    "form, count, said",
    [("token", 4, "has no form 'token'; allowed are text, words, long"), ("text", 0, "allowed is 1 or more")],
)
def test_refusals(form, count, said):
    with pytest.raises(UserError, match=said):
        suite(form, count=count)


def test_tables():
    assert (len(set(FIRST)), len(set(LAST)), len(set(PEOPLE))) == (64, 64, 4096)
    assert len(SCENES) == 24
    assert all(len(set(scene)) == 8 for scene in SCENES)
    assert [len(set(words)) for words in RARE.values()] == [30] * 4


# reading ----------------------------------------------------------------------------------------------------

ITEMS = ["Ann Bell", "Ben Cox"]


@pytest.mark.parametrize(
    "text, lenient, strict",
    [
        ('["Ann Bell", "Ben Cox"]', ITEMS, ITEMS),
        ('The list: ["Ann Bell", "Ben Cox"].', ITEMS, ITEMS),
        ('["Cid Fox"] no, ["Ann Bell", "Ben Cox"]', ITEMS, ITEMS),
        ("[Ann Bell, Ben Cox]", ITEMS, None),
        ('["Ann Bell","Ben Cox"]', ITEMS, None),
        ("['Ann Bell', 'Ben Cox']", ITEMS, None),
        ("Ann Bell, Ben Cox", ITEMS, None),
        ('["Ann Bell", "Ben Cox"', ITEMS, None),
        ('["Ann Bell", , "Ben Cox"]', ITEMS, None),
        ('["Ann "Bell", "Ben Cox"]', ['Ann "Bell', "Ben Cox"], None),
        ("[]", [], None),
    ],
)
def test_lists(text, lenient, strict):
    assert texts.read_list(text) == lenient
    assert texts.read_list_strictly(text) == strict


def judge(module, text: str, seed: int = 0) -> tuple[bool, bool]:
    """(lenient, strict) of a text that has GOLD where the answer's lines are to be."""
    example = module.draw(random.Random(seed))
    problem = problems._puzzle("text", example, random.Random(seed))
    text = text.replace("GOLD", problem.answer)
    return problem.judge(text), problem.strict(text)


@pytest.mark.parametrize("module", [latin, sudoku])
def test_puzzles_in_text(module):
    assert judge(module, "GOLD") == (True, True)
    assert judge(module, "GOLD\n") == (True, True)
    assert judge(module, "Here it is:\nGOLD\nDone.") == (True, False)
    assert judge(module, "") == (False, False)


def test_a_latin_square_is_read_off_its_first_four_lines():
    assert judge(latin, "GOLD\nA,B,C,D") == (True, False)
    example = latin.draw(random.Random(0))
    rows = [",".join(example.items)] * 4
    problem = problems._puzzle("text", example, random.Random(0))
    assert not problem.judge("\n".join(rows)), "columns must be permutations too"
    spaced = problem.answer.replace(",", " , ")
    assert (problem.judge(spaced), problem.strict(spaced)) == (True, False)
    assert not problem.judge("\n".join(problem.answer.splitlines()[:3]))


def test_a_sudoku_has_four_lines():
    example = sudoku.draw(random.Random(0))
    problem = problems._puzzle("text", example, random.Random(0))
    spaced = "\n".join(", ".join(line) for line in problem.answer.splitlines())
    assert (problem.judge(spaced), problem.strict(spaced)) == (True, False)
    assert not problem.judge(problem.answer + "\n1234")
    assert not problem.judge(problem.answer.replace("1", "2"))
    assert "_" not in problem.prompt


def test_words():
    assert texts.read_words('["Ann", "Ben"] [EOS] Cid') == ["Ann", "Ben"]
    assert texts.read_words_strictly("Ann, Ben") == ["Ann,", "Ben"]


# sentences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", sentences.LEVELS)
def test_words_of_a_level(level):
    rng, fields = random.Random(0), {word: name for name, words in RARE.items() for word in words}
    for _ in range(50):
        words = sentences.draw(level, rng)
        assert len(set(words)) == 4
        scenes = [set(words) <= set(scene) for scene in SCENES]
        assert any(scenes) is (level == "easy") or level == "medium"
        if level == "hard":
            assert len({fields[word] for word in words}) == 4


def test_sentences_are_judged_by_words_and_grammar():
    words = ("dog", "park", "ball", "throw")
    good = "I throw the ball for my dog in the park."
    assert sentences.accepted(words, good)
    assert sentences.accepted(words, f" {good}\n")
    assert not sentences.accepted(words, good.replace("ball", "Ball"))
    assert not sentences.accepted(words, good.replace("for", "for for"))
    assert sentences.accepted(("eat", "field"), "The wheat grows in the fields."), "as in the paper"
    assert not sentences.alone(("eat", "field"), "The wheat grows in the fields.")
    assert sentences.alone(words, good)
    assert not sentences.alone(words, f"{good} We like it.")


def test_long_canvases_ask_the_same_lists() -> None:
    words = {one.prompt: one for one in suite("words", count=4)}
    long = suite("long", count=4)
    assert {one.task for one in long} == set(lists.TASKS)
    assert all(one.cells == 8 * words[one.prompt].cells == 64 for one in long)
    assert all(one.judge(one.answer) for one in long)
