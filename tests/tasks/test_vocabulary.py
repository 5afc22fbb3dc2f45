"""The tokenizer: every example survives it, and what it does not know it says."""

import random

import pytest
from transformers import AutoTokenizer

from anyorder.tasks import latin, lists, sudoku
from anyorder.tasks.vocabulary import IDS, NAMES, UNKNOWN, WORDS, tokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def examples():
    rng = random.Random(0)
    lines = [lists.draw(task, n, rng, NAMES) for task in lists.TASKS for n in lists.LENGTHS]
    return [*lines, latin.draw(rng), sudoku.draw(rng)]


def test_words_and_names_are_distinct_and_sorted():
    assert len(IDS) == len(WORDS)
    assert list(NAMES) == sorted(NAMES)
    assert len(NAMES) == 60


@pytest.mark.parametrize("one", examples(), ids=lambda one: f"{one.task}-{len(one.items)}")
def test_questions_are_a_token_a_word_and_end_with_the_stop(made, one):
    words = [str(x) for x in (one.task, one.word, one.index) if x is not None] + [*one.items, "="]
    turns = [{"role": "user", "content": lists.said(one)}]
    ids = made.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    assert list(ids) == [IDS[word] for word in words]


@pytest.mark.parametrize("one", examples(), ids=lambda one: f"{one.task}-{len(one.items)}")
def test_answers_come_back(made, one):
    ids = made(" ".join(one.gold), add_special_tokens=False)["input_ids"]
    assert made.decode([*ids, made.eos_token_id], skip_special_tokens=True).split() == list(one.gold)


def test_marks_of_lists_mean_nothing(made):
    plain = made("copy Ann Ben =")["input_ids"]
    assert made('copy: ["Ann", "Ben"] =')["input_ids"] == plain
    assert made("copy Ann,Ben=")["input_ids"] == plain


def test_the_mask_is_a_word(made):
    assert made.mask_token_id == IDS["[MASK]"]
    assert made("Ann [MASK] Ben")["input_ids"] == [IDS["Ann"], IDS["[MASK]"], IDS["Ben"]]


def test_unknown_words_are_unknown(made):
    assert made.unk_token_id == IDS[UNKNOWN]
    assert made("copy Ann Balthasar")["input_ids"][-1] == made.unk_token_id
    assert made("ann")["input_ids"] == [made.unk_token_id]
