"""The oracle: perfect marginals by enumeration, and what they make of policies (card R0)."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from anyorder.bench import theory
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask
from anyorder.tasks import latin, lists, sudoku
from anyorder.tasks.rules import accepted, answers
from anyorder.tasks.vocabulary import IDS, NAMES, WORDS, tokenizer
from anyorder.testing import play
from anyorder.testing.oracle import NOWHERE, Oracle, oracle, oracle_request, prompt_of, valid

LOOSE = ("copy", "remove_random", "insert_random", "replace_random", "shuffle")
SWAP = Oracle({(9,): [(1, 2), (2, 1), (2, 3)]}, vocab=5, mask=0, eos=4)  # three answers of two cells


def draw(task: str, n: int, seed: int = 0) -> lists.Example:
    return lists.draw(task, n, random.Random(seed), NAMES)


def asked(net: Oracle, row: list[int], cells: list[int], **given):
    """Laws of cells of a canvas that says `row` behind the prompt 9."""
    canvas = Canvas([9], len(row), mask=0, given=row)
    (answer,) = net([(Ask(lambda a, c: None, at=[cells], **given), canvas)])
    assert answer.logits[:, 0].max() == -torch.inf, "the mask is never predicted"
    return answer


def test_laws_are_counted():
    answer = asked(SWAP, [0, 0], [1, 2])
    assert answer.logits.softmax(-1)[:, 1:].numpy() == pytest.approx(
        np.array([[1, 2, 0, 0], [1, 1, 1, 0]]) / 3, abs=1e-8
    )
    assert answer.logits[0, 3] == pytest.approx(np.log(NOWHERE))
    assert (answer.rows[0].cells, answer.cells) == ((1, 2), 3)
    assert asked(SWAP, [0, 1], [1]).logits.softmax(-1)[0, 2] == pytest.approx(1)
    assert asked(SWAP, [2, 0], [2]).logits.softmax(-1)[0].tolist() == pytest.approx(
        [0, 0.5, 0, 0.5, 0], abs=1e-8
    )


def test_a_dead_state_is_uniform_and_counted():
    net = Oracle(SWAP.answers, 5, 0, 4)
    assert asked(net, [0, 0], [1]).logits is not None
    assert net.dead == 0
    law = asked(net, [3, 0], [2]).logits.softmax(-1)[0]
    assert law.tolist() == pytest.approx([0, 0.25, 0.25, 0.25, 0.25])
    assert net.dead == 1


def test_a_longer_canvas_ends_with_eos():
    assert asked(SWAP, [0, 0, 0, 0], [3, 4]).logits.argmax(-1).tolist() == [4, 4]


def test_assumed_cells_are_as_if_written():
    assumed = asked(SWAP, [0, 0], [2], fill=({1: 2},))
    assert torch.equal(assumed.logits, asked(SWAP, [2, 0], [2]).logits)
    with pytest.raises(AssertionError, match="one prompt"):
        asked(SWAP, [0, 0], [2], fill=({0: 0},))


def test_a_blind_cell_is_answered_as_a_hole():
    answer = asked(SWAP, [1, 2], [1, 2], blind=((1,),))
    assert torch.equal(answer.logits[0], asked(SWAP, [0, 2], [1]).logits[0])
    assert answer.logits[1].argmax() == 2
    assert answer.cells == 4
    lying = asked(SWAP, [3, 2], [1], blind=((1,),))  # seeing itself, it would find no answer
    assert lying.logits[0].argmax() == 1


def test_noise_is_a_function_of_seed_text_and_cell():
    noisy = Oracle(SWAP.answers, 5, 0, 4, noise=1.0, seed=3)
    both, one = asked(noisy, [0, 0], [1, 2]).logits, asked(noisy, [0, 0], [2]).logits
    assert torch.equal(both[1], one[0])
    assert not torch.equal(both, asked(SWAP, [0, 0], [1, 2]).logits)
    for other in ({"seed": 4}, {"seed": 3, "temperature": 2.0}):
        net = Oracle(SWAP.answers, 5, 0, 4, noise=1.0, **other)
        assert not torch.equal(asked(net, [0, 0], [2]).logits, one)


def test_temperature_divides_logits():
    warm = Oracle(SWAP.answers, 5, 0, 4, temperature=2.0)
    assert torch.equal(asked(warm, [0, 0], [1]).logits * 2, asked(SWAP, [0, 0], [1]).logits)


def test_prompts_are_what_the_shipped_tokenizer_reads():
    told = tokenizer()
    for example in (draw("insert_index", 4), latin.draw(random.Random(1)), sudoku.draw(random.Random(1))):
        text = told.apply_chat_template(
            [{"role": "user", "content": lists.said(example)}], tokenize=False, add_generation_prompt=True
        )
        assert told(text)["input_ids"] == list(prompt_of(example))


# policies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", LOOSE)
@pytest.mark.parametrize("block", [None, 3])
def test_one_cell_a_step_is_always_valid(task, block):
    for n in lists.LENGTHS:
        for seed in range(4):
            example = draw(task, n, seed)
            request = oracle_request(example, "static", block=block)
            (record,) = play([request])
            assert valid(request)
            assert request.nets["target"].dead == 0
            words = [WORDS[token] for token in record.texts[0]]
            assert accepted(example, words[: words.index("[EOS]")])


@pytest.mark.parametrize("task", LOOSE)
def test_sampling_one_cell_a_step_is_always_valid(task):
    for seed in range(5):
        request = oracle_request(draw(task, 5), "static", greedy=False, seed=seed)
        play([request])
        assert valid(request)


@pytest.mark.parametrize("n", lists.LENGTHS)
@pytest.mark.parametrize("task", LOOSE)
def test_all_cells_at_once_are_as_valid_as_theory_says(task, n):
    request = oracle_request(draw(task, n), "static", steps=1)
    play([request])
    assert request.runs == {"target": 1}
    assert valid(request) is bool(theory.CLOSED[task](n).greedy)


def test_drawn_at_once_every_answer_comes_as_often_as_theory_says():
    example, found = draw("remove_random", 4), 0
    net = oracle([example])
    for seed in range(400):
        request = oracle_request(example, "static", steps=1, greedy=False, seed=seed, net=net)
        play([request])
        found += valid(request)
    assert found / 400 == pytest.approx(theory.removed(4).sampled, abs=0.065)  # 3 standard errors


def test_two_at_a_time_are_seldom_valid():
    """What makes a policy the one to blame."""
    request = oracle_request(draw("shuffle", 6), "static", steps=2)
    play([request])
    assert not valid(request)


def test_puzzles():
    for module in (latin, sudoku):
        request = oracle_request(module.draw(random.Random(0)), "static")
        play([request])
        assert valid(request)
    request = oracle_request(latin.draw(random.Random(0)), "static", steps=1)
    play([request])
    assert not valid(request)


def test_one_net_knows_many_questions():
    examples = [draw(task, 4, seed) for seed, task in enumerate(lists.TASKS)]
    net = oracle(examples)
    requests = [oracle_request(example, "static", net=net, cells=12) for example in examples]
    play(requests)
    assert all(map(valid, requests))
    assert len(net.all_answers(prompt_of(examples[3]), 12)) == len(answers(examples[3])) == 23
    assert IDS["[MASK]"] == 0
