"""A causal model learns to fill blocks: the wiring of the forward, and a small run to its gates."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import anyorder
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask
from anyorder.errors import UserError
from anyorder.nets.adapter import Adapter
from anyorder.nets.stock import Stock
from anyorder.nets.two_way import TwoWay
from anyorder.recipes import block_gates, own_answers, smollm2_blocks
from anyorder.recipes.block_gates import measured
from anyorder.recipes.dual_stream import Noise, all_hidden, laid, loss, noised, states
from anyorder.recipes.own_answers import Row, answered, good, prompts
from anyorder.recipes.smollm2_blocks import Config, Data, begun, done, main, rate, reserved, train, update
from anyorder.tasks import lists

V, MASK, EOS = 30, 29, 0
ROWS = [Row([3, 4, 5], [6, 7, 8, 9, 10, 11, EOS]), Row([12], [13, 14, EOS])]


def model(seed: int = 0, scale: float = 0.3) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=V, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, initializer_range=scale, tie_word_embeddings=True,
        eos_token_id=EOS, bos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def hidden(row: Row, block: int, which: str) -> Noise:
    """A noise written as a string: x for cells that are hidden."""
    whole = all_hidden(row, block)
    return whole._replace(hidden=np.array([c == "x" for c in which]))


@torch.no_grad()
def said(module, row: Row, noise: Noise, block: int, copies: int = 2):
    """Logits [cells of the masked lines, V] of one row, and its lines."""
    seen = laid([row], [noise], block, MASK, copies=copies)
    out = module.get_output_embeddings()(states(module, seen)[0, seen.masked.place])
    return out, seen


# the forward ------------------------------------------------------------------------------------------------


def test_complementary_copies_hide_every_cell_once():
    source = np.random.default_rng(0)
    for row in ROWS:
        noise = noised(row, 4, source)
        assert len(noise.answer) % 4 == 0
        assert 0 <= len(noise.answer) - len(row.answer) < 4
        assert set(noise.answer[len(row.answer) :]) <= {EOS}
        seen = laid([row], [noise], 4, MASK)
        assert len(seen.masked.target) == len(noise.answer)
        assert sorted(seen.masked.target.tolist()) == sorted(noise.answer.tolist())
        assert (seen.ids == MASK).sum() >= len(noise.answer)


def test_the_share_of_hidden_cells_is_that_of_its_block():
    source, row = np.random.default_rng(1), Row([1], [5] * 400_00)
    noise = noised(row, 100, source)
    share = noise.share.reshape(-1, 100)
    assert (share == share[:, :1]).all()
    assert 0 < share.min() < 0.02
    assert 0.98 < share.max() <= 1
    assert noise.hidden.reshape(-1, 100).mean(1) == pytest.approx(share[:, 0], abs=0.25)


def test_a_uniform_predictor_pays_ln_v():
    """Whatever γ is: the weights are shares. M is no prediction of a block, and one from left to right."""
    module = model()
    with torch.no_grad():
        module.get_input_embeddings().weight.zero_()  # the head's as well
    for seed in range(4):
        source = np.random.default_rng(seed)
        seen = laid(ROWS, [noised(row, 4, source) for row in ROWS], 4, MASK)
        masked, plain = loss(module, seen, MASK)
        assert masked.item() == pytest.approx(math.log(V - 1), abs=1e-5)
        assert plain.item() == pytest.approx(math.log(V), abs=1e-5)


def test_weights_are_one_over_the_share_and_bounded():
    noise = Noise(np.array([6, 7, 8, 9]), np.array([True] * 4), np.array([0.5, 0.5, 0.001, 0.001]))
    seen = laid([Row([1], [6, 7, 8, 9])], [noise], 2, MASK, copies=1)
    assert seen.masked.weight.tolist() == [2, 2, 20, 20]
    assert seen.masked.mean.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("block", [2, 4, 7])
def test_the_first_cell_of_a_block_is_what_the_causal_model_says(block):
    module = model()
    for row in ROWS:
        out, seen = said(module, row, all_hidden(row, block), block, copies=1)
        with torch.no_grad():
            plain = module(torch.tensor([[*row.prompt, *row.answer]])).logits[0]
        for i in range(0, len(row.answer), block):
            assert (out[i] - plain[len(row.prompt) + i - 1]).abs().max() < 1e-4
            assert seen.masked.slot[i] == 0
        later = [i for i in range(len(row.answer)) if i % block]
        assert all((out[i] - plain[len(row.prompt) + i - 1]).abs().max() > 1e-2 for i in later)


def test_later_tokens_do_not_reach_earlier_blocks():
    """Nor does a block see its own clean text: that would be the answer."""
    module, row, block = model(), ROWS[0], 2
    which = "x.xx.xxx"
    base, seen = said(module, row, hidden(row, block, which), block, copies=1)
    for cell in range(len(row.answer)):
        answer = list(row.answer)
        answer[cell] = 20
        other, _ = said(
            module, Row(row.prompt, answer), hidden(Row(row.prompt, answer), block, which), block, 1
        )
        moved = (other - base).abs().amax(1) > 1e-6
        cells = [i for i, c in enumerate(which) if c == "x"]
        for line, i in enumerate(cells):
            seen_open = which[cell] == "." and cell // block == i // block and i % block
            assert bool(moved[line]) == bool(cell // block < i // block or seen_open), (cell, i)
    assert seen.sees.diagonal(dim1=2, dim2=3).all()


def test_the_copies_do_not_see_each_other():
    module, row = model(), ROWS[0]
    noise = hidden(row, 4, "x..xx.xx")
    both, seen = said(module, row, noise, 4)
    alone, _ = said(module, row, noise, 4, copies=1)
    opposite, _ = said(module, row, noise._replace(hidden=~noise.hidden), 4, copies=1)
    assert torch.allclose(both, torch.cat([alone, opposite]), atol=1e-5)
    assert seen.ids.shape[1] % 64 == 0


def test_rows_side_by_side_are_rows_alone():
    module = model()
    source = np.random.default_rng(3)
    noise = [noised(row, 4, source) for row in ROWS]
    both = laid(ROWS, noise, 4, MASK)
    with torch.no_grad():
        out = states(module, both)
        for i, row in enumerate(ROWS):
            alone = states(module, laid([row], [noise[i]], 4, MASK))[0]
            count = len(row.prompt) + len(row.answer) + 2 * len(noise[i].answer)
            assert torch.allclose(out[i, :count], alone[:count], atol=1e-5)


@pytest.mark.parametrize("which", ["xxxxxxxx", "x..xx.xx", ".x.x.xxx"])
def test_two_way_nets_read_it_so_cached_or_not(which):
    """What was trained is what `nets.two_way` computes, with exact states of finished blocks."""
    module, row, block = model(), ROWS[0], 4
    true, seen = said(module, row, hidden(row, block, which), block, copies=1)
    cells = [i for i, c in enumerate(which) if c == "x"]
    two = TwoWay(Stock(module), Adapter(MASK, "hybrid", shift=True))
    first = len(row.prompt)
    canvas = Canvas(row.prompt, 2 * block, mask=MASK, block=block)
    answer = [*row.answer, EOS]
    for start in (0, block):
        mine = [i for i in cells if start <= i < start + block]
        canvas.rows[0][first:] = [t if i < start or which[i] == "." else MASK for i, t in enumerate(answer)]
        canvas.rows[0][first + start + block :] = [MASK] * (block - start)
        asks = [(Ask(lambda a, c: None, at=[[first + i for i in mine]]), canvas)]
        (kept,) = two(asks)
        (again,) = two(asks)
        fed = again.cells
        two.forget()
        (fresh,) = two(asks)
        wanted = true[[cells.index(i) for i in mine]]
        wanted[:, MASK] = -torch.inf
        for answered_ in (kept, again, fresh):
            assert (answered_.logits - wanted).nan_to_num().abs().max() < 1e-4
        assert fed < fresh.cells
    assert (seen.masked.row == 0).all()


def test_measured_tells_slots_apart():
    module = model()
    found = measured(module, ROWS, MASK, "cpu", block=4)
    assert found.first < 0.02  # M's share, which a block leaves out
    assert len(found.slot) == 4
    tokens = [t for row in ROWS for t in row.answer]
    counts = [tokens.count(t) / 10 for t in set(tokens)]
    assert found.unigram == pytest.approx(-sum(p * math.log(p) for p in counts))


# the run ----------------------------------------------------------------------------------------------------


def copies(count, seed=0):
    """A toy language: the answer is the prompt again."""
    rng = np.random.default_rng(seed)
    texts = [rng.integers(1, 9, size=4).tolist() for _ in range(count)]
    return [Row([*text, 28], [*text, EOS]) for text in texts]


@pytest.mark.slow
def test_training_learns_to_fill_blocks():
    """Hidden cells that are not first are said better than by counting words: what wrong wiring cannot."""
    config = Config(steps=300, rows=32, at_once=32, rate=5e-3, warm=20, precision="fp32", average=0.9,
                    blocks=((4, 0.7), (0, 0.3)))  # fmt: skip
    state = begun(model(scale=0.1), config)
    data = Data(copies(2000), [], [])
    losses = [update(state, data, config, MASK) for _ in range(300)]
    found = measured(state.module, copies(64, seed=1), MASK, "cpu", block=4)
    assert np.mean(losses[-20:], 0)[0] < 0.5 * np.mean(losses[:20], 0)[0]
    assert max(found.slot[1:]) < 0.5 * found.unigram
    assert found.plain < 0.5 * found.unigram


SMALL = {"rows": 4, "at_once": 2, "precision": "fp32", "blocks": ((4, 1.0),)}


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path):
    config, data = Config(steps=6, **SMALL), Data(copies(20), copies(9, seed=2), [])
    whole, said_ = begun(model(), config), []
    train(whole, data, config, MASK, tmp_path / "whole.pt", said_.append)
    part = begun(model(), config)
    for _ in range(3):
        update(part, data, config, MASK)
    part.save(tmp_path / "part.pt")
    again = begun(model(seed=5), config)
    train(again, data, config, MASK, tmp_path / "part.pt", said_.append)
    assert "goes on from step 3" in said_
    for one, other in ((whole.module, again.module),):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
    assert all(torch.equal(whole.average[name], again.average[name]) for name in whole.average)


def test_rate_and_minutes():
    state = begun(model(), Config())
    config = Config(steps=1000, warm=100)

    def at(step):
        state.step = step
        return rate(state, config) / config.rate

    assert [at(0), at(49)] == pytest.approx([0.01, 0.5], abs=0.01)
    assert [at(500), at(1000)] == pytest.approx([0.55, 0.1])
    state.seconds = 60
    assert done(state, Config(minutes=4)) == 0.25


def test_the_average_follows_the_weights():
    config = Config(average=0.999)
    state = begun(model(), config)
    state.step = 8  # 9 / 18
    name, weight = next(iter(state.module.named_parameters()))
    before = state.average[name].clone()
    with torch.no_grad():
        weight += 1
    smollm2_blocks.follow(state, config)
    assert torch.allclose(state.average[name], before + 0.5, atol=1e-6)


def test_rows_of_a_step():
    data = Data(copies(50), [Row([1], [2] * n) for n in range(3, 9)], [])
    rows = data.draw(20, 0.3, np.random.default_rng(0))
    assert len(rows) == 20
    assert sum(row in data.lists for row in rows) == 6
    assert [len(row) for row in rows] == sorted(len(row) for row in rows)
    assert len(Data([], data.lists, []).draw(5, 0.3, np.random.default_rng(0))) == 5


# what it is trained on --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    return anyorder.load(str(tiny_model_folder), precision="fp32")


def test_lists_in_words_have_right_answers(tiny):
    some = own_answers.examples(40, 0)
    assert {one.task for one in some} == set(lists.TASKS)
    for one, row in zip(some, own_answers.edited(tiny, some), strict=True):
        assert row.prompt == tiny.encode(own_answers.asked(one))
        text = tiny.tokenizer.decode(row.answer, skip_special_tokens=True)
        assert lists.accepted(one, text.split(", "))
        assert row.answer[-1] in tiny.eos
    one = lists.Example("insert_index", ("Ann", "Ben"), "Zoe", 1, ("Ann", "Zoe", "Ben"))
    assert own_answers.asked(one) == "Write this list with Zoe added as item 2: Ann, Ben"


def test_answers_are_the_model_s_own_and_are_kept(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(own_answers, "good", lambda answer, eos: True)
    file, heard, texts = tmp_path / "answers.jsonl", [], ["hello", "a" * 99, "there"]
    rows = answered(tiny, texts, 40, 2, file, heard.append)
    assert rows[0].answer == tiny.generate("hello", "greedy", max_tokens=40 - len(rows[0].prompt)).token_ids
    assert rows[1].answer == []  # no room
    kept = file.read_text()
    file.write_text(kept[: kept.index("\n") + 9])  # stopped while the second was being written
    assert answered(tiny, texts[:1], 40, 2, file, heard.append) == rows[:1]
    assert heard == ["2 of 3 prompts answered", "3 of 3 prompts answered"]


@pytest.mark.parametrize(
    "answer, fine",
    [([5, 6, EOS], True), ([5, 6], False), ([EOS], False), ([1, 2, 3, 4] * 4 + [EOS], False),
     ([1, 2, 3, 4] * 3 + [EOS], True)],
)  # fmt: skip
def test_good_answers(answer, fine):
    assert good(answer, [EOS]) is fine


def test_prompts(tmp_path):
    assert len(prompts("")) == 28
    file = tmp_path / "mine.jsonl"
    lines = [{"prompt": "a"}, {"question": "b"}, {"instruction": "c", "input": "d"}, {"turns": ["e", "f"]}]
    file.write_text("\n".join(map(json.dumps, lines)))
    assert prompts(str(file)) == ["a", "b", "c\nd", "e"]
    for line, says in (('{"text": "a"}', "has no prompt; allowed are the fields"), ("{", "is not JSON")):
        file.write_text(line)
        with pytest.raises(UserError, match=f"line 1 of mine.jsonl {says}"):
            prompts(str(file))
    with pytest.raises(UserError, match="cannot be read"):
        prompts(str(tmp_path / "none.jsonl"))


def test_the_mask_is_a_special_token_that_nothing_uses(tiny):
    tokenizer = tiny.tokenizer
    with pytest.raises(UserError, match="no special token that is free to be the mask"):
        reserved(tokenizer, [])
    import copy

    more = copy.deepcopy(tokenizer)
    more.add_special_tokens({"additional_special_tokens": ["<spare1>", "<spare2>", "<spare3>"]})
    ids = [more.convert_tokens_to_ids(f"<spare{i}>") for i in (1, 2, 3)]
    assert reserved(more, []) == ids[2]
    assert reserved(more, [Row([ids[2]], [5])]) == ids[1]


def test_the_command_makes_a_model_of_both_kinds(tmp_path, tiny_model_folder: Path, capsys, monkeypatch):
    monkeypatch.setattr(block_gates, "MOST", 2)
    out = tmp_path / "made"
    words = ["--model", str(tiny_model_folder), "--out", str(out), "--steps", "2", "--rows", "2",
             "--at-once", "2", "--length", "150", "--lists", "12", "--mask", "299",
             "--precision", "fp32"]  # fmt: skip
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "hello"}\n')
    assert main([*words, "--prompts", str(file)]) == 0
    run = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert run == json.loads((out / "blocks.json").read_text())
    assert len(run["gates"]) == 5
    assert run["gates"][1]["passed"]  # by construction
    assert run["gates"][4]["passed"]
    assert json.loads((out / "config.json").read_text())["anyorder"] == {
        "mask": 299, "attention": "hybrid", "shift": True, "block": 0,
    }  # fmt: skip
    assert not (out / "state.pt").exists()
    both = anyorder.load(str(out), precision="fp32")
    given = {"max_tokens": 12, "chat": False}
    assert 1 <= both.generate("hello", "threshold", block=4, **given).runs <= 12
    greedy = both.generate("hello", "greedy", **given)
    assert both.generate("hello", "diffuspec", draft="self", **given).token_ids == greedy.token_ids
    one = both.generate("hello", "static", block=1, **given)  # blocks of one: the causal model
    assert one.token_ids == greedy.token_ids


def test_errors_are_one_line(tmp_path, tiny_model_folder, capsys):
    assert (
        main(["--model", str(tiny_model_folder), "--prompts", str(tmp_path / "none"), "--out", str(tmp_path)])
        == 2
    )
    assert "cannot be read" in capsys.readouterr().err
