"""Peers: the same prompts, tokens and end as our rows, and what each of them needs."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import torch

from anyorder import api
from anyorder.bench import llama
from anyorder.bench.entries import PEERS, Plan, entries
from anyorder.bench.measure import Bench, prepare
from anyorder.bench.rows import rows
from anyorder.bench.suites import Prompt
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import every_argmax
from anyorder.core.types import Ask, chain
from anyorder.errors import UserError
from anyorder.nets.load import embedded_file

STOCK = [name for name in PEERS if name.startswith("transformers")]
SIDE_BY_SIDE = [name for name in PEERS if not PEERS[name].alone]


def texts(measured, label):
    return [text for take in measured.takes if take.label == label for text in take.run.tokens]


@pytest.mark.parametrize("name", STOCK)
def test_transformers_gets_the_same_prompts(make, name):
    measured = make(name).measure()
    assert texts(measured, "greedy") == texts(
        measured, name
    )  # float32, no near ties: true here, not promised
    plain, row = rows(measured)
    assert (row["equal"], row["exact"], row["claim"], row["cells"]) == (None, False, None, None)
    assert 0 < row["runs"] <= plain["runs"]
    assert row["roofline"] > 0


@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_a_batch_of_another_library_writes_what_each_prompt_gets_alone(make, name):
    alone, together = make(name).measure(), make(name, batch=3).measure()
    assert texts(together, name) == texts(alone, name)
    first, last = (take.run for take in together.takes if take.label == name)
    assert (len(first.tokens), len(last.tokens)) == (3, 1)
    assert first.runs == max(map(len, first.tokens))


@pytest.mark.parametrize("name", STOCK)
def test_a_peer_stops_at_our_end_of_text(make, model, monkeypatch, name):
    ready = make(name)
    (text,) = ready.run(ready.rows[1], (0,), 12, {}).tokens
    monkeypatch.setattr(api.Model, "eos", (text[4],))
    (cut,) = make(name).run(ready.rows[1], (0,), 12, {}).tokens
    assert cut == text[: text.index(text[4]) + 1]


@pytest.mark.parametrize("name", STOCK)
def test_draws_of_a_peer_come_from_the_seed(make, name):
    ready, other = (make(name, temperature=1.5, seed=seed, prompts=1) for seed in (3, 4))
    first, again = (ready.run(ready.rows[1], (0,), 12, {}).tokens for _ in range(2))
    assert first == again
    assert first != other.run(other.rows[1], (0,), 12, {}).tokens


def test_peers_that_take_one_prompt_are_refused_in_a_batch():
    for name in set(PEERS) - set(SIDE_BY_SIDE):
        with pytest.raises(UserError, match=f"row {name} cannot run with --batch 2"):
            entries(Plan(name, batch=2))


def test_weights_that_transformers_cannot_hold_are_bf16(make):
    ready = make("transformers", precision="int4")
    assert ready.peers["transformers"].weights.precision == "bf16"
    assert ready.peers["transformers"].stock.module.dtype == torch.bfloat16


# llama.cpp --------------------------------------------------------------------------------------------------


class Llama:
    """What our row uses of llama_cpp.Llama: writes n, n + 1, n + 2, ... after a prompt of n tokens."""

    def __init__(self, **how):
        self.how, self.model, self.said = how, None, []

    def set_seed(self, seed):
        self.seed = seed

    def reset(self):
        self.said.append("reset")

    def eval(self, tokens):
        self.said.append(list(tokens))

    def generate(self, tokens, **how):
        self.shaping = how
        for token in itertools.count(len(tokens)):
            self.eval(tokens)
            yield token
            tokens = [token]


@pytest.fixture
def fake(monkeypatch, tmp_path) -> Path:
    """A library llama_cpp that runs no file, and a file for it."""
    library, guesses = ModuleType("llama_cpp"), ModuleType("llama_cpp.llama_speculative")
    library.__spec__ = ModuleSpec("llama_cpp", None)
    library.Llama, library.llama_model_size = Llama, lambda model: 1000
    library.llama_model_desc = lambda model, name, size: setattr(name, "value", b"llama 256M Q4_K - Medium")
    guesses.LlamaPromptLookupDecoding = lambda num_pred_tokens: num_pred_tokens
    monkeypatch.setitem(sys.modules, "llama_cpp", library)
    monkeypatch.setitem(sys.modules, "llama_cpp.llama_speculative", guesses)
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    return file


def test_llama_cpp_gets_ids_threads_room_and_an_empty_cache(make, fake):
    ready = make("llama.cpp,llama.cpp-pld:tokens=2", model=str(fake), max_tokens=5)
    for entry, guessed in zip(ready.rows[1:], (None, 2)):
        peer = ready.peers[entry.label]
        how = peer.llama.how
        assert (how["model_path"], how["draft_model"], how["logits_all"]) == (
            str(fake),
            guessed,
            bool(guessed),
        )
        assert how["n_threads"] == how["n_threads_batch"] == torch.get_num_threads()
        assert how["n_ctx"] % 256 == 0
        assert how["n_ctx"] >= max(map(len, ready.ids)) + 5 + (guessed or 0)
        for i in (0, 1):
            peer.llama.said.clear()
            n = len(ready.ids[i])
            run = ready.run(entry, (i,), 5, {})
            assert run.tokens == [[n, n + 1, n + 2, n + 3, n + 4]]
            assert peer.llama.said == ["reset", ready.ids[i], [n], [n + 1], [n + 2], [n + 3]]
            assert run.runs == 5
        assert peer.llama.shaping["temp"] == 0
        assert peer.llama.shaping["repeat_penalty"] == 1.0
        assert peer.weights == ("Q4_K - Medium", 1000)


def test_llama_cpp_stops_at_our_end_of_text(fake):
    peer = llama.LlamaCpp(Plan("llama.cpp", model=str(fake)), eos=(5, 9), room=100)
    assert peer([[1, 1, 1]], 20).tokens == [[3, 4, 5]]


def test_what_llama_cpp_needs_is_said_before_anything_is_loaded(monkeypatch, tmp_path, tiny_model_folder):
    monkeypatch.setattr("anyorder.bench.measure.load", lambda *given, **how: pytest.fail("loaded"))
    for model, said in (
        (tiny_model_folder, "comes from none; give a .gguf file"),
        (tmp_path / "model.gguf", r"not installed; pip install llama-cpp-python \(it builds from source"),
    ):
        monkeypatch.setattr(llama.importlib.util, "find_spec", lambda name: None)
        plan = Plan("llama.cpp", model=str(model))
        with pytest.raises(UserError, match=said):
            prepare(plan, entries(plan), [Prompt("1", "a", "x")])


# on the real model ------------------------------------------------------------------------------------------

QUESTIONS = [
    Prompt("1", "a", "Why is the sky blue?"),
    Prompt("2", "a", "Repeat this: one two three one two three one two three"),
    Prompt("3", "a", "Why is the sky blue at noon?"),
]


@pytest.mark.slow
@pytest.mark.skipif(embedded_file() is None, reason="the embedded model is not installed")
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_on_the_embedded_model(name):
    if name.startswith("llama") and importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    plan = Plan(name, precision="fp32", max_tokens=24)
    ready = Bench(api.load("smollm2", precision="fp32"), entries(plan), QUESTIONS, plan)
    plain, peer = ready.rows
    first, *_ = said = [ready.run(peer, (i,), 24, {}) for i in (0, 1, 2, 0)]
    assert said[-1].tokens == first.tokens  # nothing of earlier prompts is left
    assert all(0 < run.runs <= len(run.tokens[0]) for run in said)
    if name.endswith("-pld"):
        assert said[1].runs < len(said[1].tokens[0])
    for i, run in enumerate(said[:3]):
        if name.startswith("transformers"):
            assert run.tokens == ready.run(plain, (i,), 24, {}).tokens
        else:
            assert (
                agreement(ready.model, ready.ids[i], run.tokens[0]) > 0.8
            )  # 4-bit weights, 8-bit activations


def agreement(model: api.Model, prompt: list[int], text: list[int]) -> float:
    """The share of a text's tokens that are the likeliest after what comes before them, in our model."""
    canvas = Canvas(prompt, len(text) + 1)
    (said,) = model.target([(Ask(every_argmax, guess=(chain(text),)), canvas)])
    top = every_argmax(said, Chance())[0].tolist()
    return sum(a == b for a, b in zip(top, text)) / len(text)
