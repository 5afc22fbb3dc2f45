"""The shipped diffusion model's recipe: the forward is the Llama's, the loss is the entropy, runs go on."""

import json
import random
from math import log

import numpy as np
import pytest
import torch

from anyorder.recipes import list_diffusion
from anyorder.recipes.list_diffusion import (
    ANSWERS,
    Config,
    State,
    above,
    begun,
    done,
    figures,
    filled,
    loss,
    main,
    mix,
    noised,
    rate,
    right,
    sampled,
    save,
    surest,
    train,
    update,
)
from anyorder.recipes.two_way_llama import fresh, logits, ready, states
from anyorder.tasks import latin, lists
from anyorder.tasks.batches import UNIFORM, Mix, batch
from anyorder.tasks.vocabulary import IDS, MASK, NAMES, WORDS

SMALL = Config(width=16, layers=2, heads=2, inner=32, rows=32, steps=12, precision="fp32")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind, loose", [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_the_forward_is_a_llama_that_sees_everything(kind, loose):
    net = fresh(SMALL)
    ids = torch.arange(30).view(2, 15) + 5
    with torch.no_grad():
        mine = logits(ready(net, kind), states(ready(net, kind), ids).flatten(0, 1))
        theirs = net(input_ids=ids, attention_mask=torch.zeros(2, 1, 15, 15)).logits.flatten(0, 1)
    others = [i for i in range(len(WORDS)) if i != IDS[MASK]]
    assert (mine - theirs)[:, others].abs().max() < loose * theirs.std() * 10
    assert (mine[:, IDS[MASK]] < -1e8).all()


def test_a_cell_sees_what_comes_after_it():
    net = ready(fresh(SMALL))
    ids = torch.tensor([[5, 30, 31, 32, 4, 0, 0, 0]])
    other = ids.index_fill(1, torch.tensor(7), 40)
    with torch.no_grad():
        assert not torch.allclose(states(net, ids)[0, 0], states(net, other)[0, 0])


@pytest.mark.parametrize("t", [0.05, 0.4, 1.0])
def test_a_uniform_prediction_costs_ln_v_at_every_rate(t):
    net = fresh(SMALL)
    torch.nn.init.zeros_(net.model.norm.weight)  # every logit is 0
    source = np.random.default_rng(0)
    costs = []
    for _ in range(100 if t < 0.1 else 10):
        groups = batch(64, Mix(UNIFORM, puzzles=0, wide=0), source)
        found = [loss(ready(net), g, np.full(len(g.floor), t), SMALL, source).masked for g in groups]
        costs.append(sum(found) / sum(len(g.floor) for g in groups))
    assert np.mean(costs) == pytest.approx(log(len(WORDS) - 1), rel=1e-5 if t == 1 else 0.05)


def test_noise():
    config = Config(noisy=0.5, noise=0.3)
    source = np.random.default_rng(0)
    group = batch(4000, Mix(UNIFORM, puzzles=0, wide=0), source)[0]
    t = np.full(len(group.floor), 0.4)
    seen = noised(group, t, config, source)
    size = group.prompt.shape[1]
    assert (seen.ids[:, :size] == group.prompt).all()
    masked = seen.ids[:, size:] == IDS[MASK]
    assert masked.mean() == pytest.approx(0.4, abs=0.03)
    assert (seen.masked == masked / 0.4).all()
    wrong = (seen.ids[:, size:] != group.answer) & ~masked
    assert (seen.visible[wrong] == config.corrected).all()
    assert (seen.visible[masked] == 0).all()
    noisy = (seen.visible > 0).any(1)
    assert noisy.mean() == pytest.approx(0.5, abs=0.05)
    assert not wrong[~noisy].any()
    assert wrong[noisy].sum() / (~masked[noisy]).sum() == pytest.approx(
        0.28, abs=0.05
    )  # some are right by chance
    assert (seen.visible[noisy][~masked[noisy]] > 0).all()


def test_answers_are_made_of_names_symbols_digits_and_the_end():
    assert {WORDS[i] for i in ANSWERS} == {*NAMES, *latin.POOL, "[EOS]"}


def test_rate():
    state = begun(SMALL)
    config = Config(steps=1000, warm=100)

    def at(step):
        state.step = step
        return rate(state, config) / config.rate

    assert [at(0), at(49), at(300), at(600)] == pytest.approx([0.01, 0.5, 1, 1])
    assert [at(800), at(900), at(1000)] == pytest.approx([0.5, 0.25, 0.02])


def test_training_lowers_the_loss():
    config = Config(width=32, layers=2, heads=2, inner=64, rows=64, steps=60, warm=5, precision="fp32")
    state = begun(config)
    costs = [update(state, config) for _ in range(60)]
    assert all(masked > floor for masked, floor in costs)
    assert np.mean(costs[-10:], 0)[0] < np.mean(costs[:10], 0)[0] - 1.5


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path):
    whole = train(SMALL, tmp_path / "whole", print)
    state = begun(SMALL)
    for _ in range(5):
        update(state, SMALL)
    (tmp_path / "parts").mkdir()
    state.save(tmp_path / "parts" / "state.pt")
    said = []
    resumed = train(SMALL, tmp_path / "parts", said.append)
    assert said == ["goes on from step 5"]
    assert resumed.step == whole.step == 12
    for a, b in zip(whole.net.parameters(), resumed.net.parameters(), strict=True):
        assert torch.equal(a, b)


def test_checkpoints_are_models(tmp_path):
    train(SMALL, tmp_path, print, every=0.0)
    assert {"state.pt", "model.safetensors", "tokenizer.json", "README.md"} <= {
        f.name for f in tmp_path.iterdir()
    }


def test_minutes_are_a_budget():
    state = begun(SMALL)
    assert done(State(state.net, state.optimizer, seconds=90), Config(minutes=3)) == 0.5


def known(example):
    """Logits that are sure of the example's answer, the first cell most of all."""
    answer = [IDS[word] for word in example.gold] + [IDS["[EOS]"]] * 8
    z = torch.zeros(8, len(WORDS))
    z[range(8), answer[:8]] = torch.linspace(12, 8, 8)
    return z


@pytest.fixture
def oracle(monkeypatch):
    """Every net answers as if each question were this one."""
    example = lists.draw("reverse", 4, random.Random(0), NAMES)
    runs = []

    def spoken(_, hidden):
        runs.append(1)
        return known(example).expand(len(hidden), -1, -1)

    monkeypatch.setattr(list_diffusion, "states", lambda net, ids: ids)
    monkeypatch.setattr(list_diffusion, "logits", spoken)
    return example, runs


@pytest.mark.parametrize(
    "pick, runs", [(surest(1), 8), (surest(3), 3), (surest(8), 1), (above(0.9), 1), (sampled, 1)]
)
def test_ways_of_decoding(oracle, pick, runs):
    example, ran = oracle
    assert right(None, [example], 8, pick) == 1
    assert len(ran) == runs
    other = lists.Example("copy", example.items, None, None, example.items)
    assert right(None, [other], 8, pick) == 0


@pytest.mark.usefixtures("oracle")
def test_the_surest_cell_is_filled_first():
    steps = []

    def pick(p, holes):
        token, now = surest(1)(p, holes)
        steps.append(now[0].int().argmax().item())
        return token, now

    filled(None, torch.ones(1, 3, dtype=torch.long), 8, pick)
    assert steps == list(range(8))


def test_figures_have_every_task_and_way():
    found = figures(fresh(SMALL), 4)
    assert set(found) == {*lists.TASKS, "latin", "sudoku"}
    assert all(0 <= share <= 1 for row in found.values() for share in row.values())


def test_a_saved_model_is_a_llama_with_its_adapter(tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    net = fresh(SMALL)
    save(net, tmp_path, "Not at all.")
    assert AutoConfig.from_pretrained(tmp_path).anyorder == {
        "mask": IDS[MASK], "attention": "full", "shift": False, "block": 0, "cells": 16,
    }  # fmt: skip
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    assert "Not at all." in (tmp_path / "README.md").read_text()


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(list_diffusion, "begun", lambda _: begun(SMALL))
    assert main(["--steps", "2", "--out", str(tmp_path), "--held-out", "4"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["steps"] == 2
    assert last["config"]["steps"] == 2
    assert not (tmp_path / "state.pt").exists()


def test_the_mix_turns_to_what_is_hard():
    state, config = begun(SMALL), Config(steps=10)
    assert mix(state, config) == Mix(UNIFORM)
    state.step = 4
    later = mix(state, config)
    assert sum(later.tasks.values()) == pytest.approx(1)
    assert later.tasks["copy"] == 0.05
    assert later.tasks["replace_random"] == pytest.approx(0.05 + 1 / 6)
    assert later.puzzles == 0.2


def test_the_shipped_model_is_as_good_as_its_readme_says():
    from transformers import AutoModelForCausalLM

    from anyorder.nets.load import SHIPPED

    net = ready(AutoModelForCausalLM.from_pretrained(SHIPPED["list-diffusion"]))
    some = list_diffusion.examples(24, seed=7)
    one_by_one = {task: right(net, some[task], 8, surest(1)) for task in lists.TASKS}
    assert min(one_by_one.values()) >= 0.95
    assert right(net, some["sudoku"], 16, surest(16)) >= 0.95
    assert right(net, some["latin"], 16, surest(1)) >= 0.85
    assert right(net, some["shuffle"], 8, surest(8)) < 0.3  # what no model can do
