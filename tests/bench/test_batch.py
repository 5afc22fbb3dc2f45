"""Batches, mixes of methods, medians over repeats, and the roofline."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from anyorder.bench import machine, report
from anyorder.bench.entries import Entry, Plan, entries
from anyorder.bench.record import Measured, Run, Take, Weights
from anyorder.bench.rows import roofline, rows
from anyorder.bench.suites import Prompt
from anyorder.bench.weights import BYTES, weights_of
from anyorder.errors import UserError
from anyorder.methods.speculative import speculative
from anyorder.nets.load import PRECISIONS

MIX = "mix(greedy+prompt_lookup:nodes=3+token_recycling+sample)"


# mixes ------------------------------------------------------------------------------------------------------


def test_a_mix_gives_its_methods_to_the_prompts_in_turn():
    _, row = entries(Plan(MIX, batch=2))
    assert (row.label, row.claim, row.exact, row.peer) == (MIX, "text", True, False)
    assert [row.of(i).method for i in range(5)] == [
        "greedy", "prompt_lookup", "token_recycling", "sample", "greedy",
    ]  # fmt: skip
    assert row.of(1).options == {"nodes": 3}
    (plain, _) = entries(Plan("jacobi"))
    assert plain.of(3) is plain


def test_a_mix_claims_what_all_its_methods_claim():
    for methods, temperature, claim in (
        ("mix(greedy+beam)", 0.0, None),
        ("mix(sample+jacobi)", 0.7, "text"),
        ("mix(greedy+jacobi)", 0.7, None),
    ):
        assert entries(Plan(methods, batch=2, temperature=temperature))[1].claim == claim


@pytest.mark.parametrize(
    "methods", ["mix(greedy", "mix(greedy)", "mix(greedy,sample)", "mix(transformers+greedy)"]
)
def test_mixes_that_cannot_be(methods):
    with pytest.raises(UserError, match=r"allowed is mix\(method\+method\)"):
        entries(Plan(methods, batch=2))


def test_an_unknown_method_of_a_mix_is_named():
    with pytest.raises(UserError, match="did you mean 'jacobi'"):
        entries(Plan("mix(greedy+jacobbi)", batch=2))


# batches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_batch_writes_what_each_prompt_gets_alone(make, temperature):
    methods = "jacobi,mix(sample+jacobi+token_recycling)"
    together = make(methods, batch=3, temperature=temperature).measure()
    alone = make("jacobi", temperature=temperature).measure()
    plain = [take.run.tokens[0] for take in alone.takes if take.label != "jacobi"]
    for row in rows(together):
        written = [text for t in together.takes if t.label == row["method"] for text in t.run.tokens]
        assert written == plain
        assert (row["equal"], row["prompts"]) == (4, 4)
    assert [take.prompts for take in together.takes if take.label == "jacobi"] == [(0, 1, 2), (3,)]
    assert together.finished == 4


def test_requests_of_a_batch_share_their_runs(make):
    measured = make("jacobi", batch=4).measure()
    (take,) = (take for take in measured.takes if take.label == "greedy")
    assert take.run.runs == max(map(len, take.run.tokens))
    row = rows(measured)[0]
    assert row["runs"] == take.run.runs
    assert row["tokens_per_run"] == round(take.run.written / take.run.runs, 3)


def test_a_wrong_method_is_refused_in_a_batch_at_its_prompt(make, monkeypatch):
    def lenient(answer, chance):
        last = answer.logits.argmax(-1).tolist()
        return [[*lines.tree.token, last[lines.start + len(lines.tree)]] for lines in answer.rows]

    monkeypatch.setitem(speculative.RULES, "greedy", lenient)
    ready = make("mix(greedy+jacobi)", batch=2)
    said = report.report(ready.measure(), ready.spell)
    assert said["batch"] == 2
    row = said["rows"][1]
    assert row["speedup"] is None
    assert row["bugs"] + row["equal"] + row["ties"] == 4
    assert {d["prompt"] for d in row["divergences"]} <= {"2", "4"}  # the greedy ones are equal
    assert "in batches of 2" in report.markdown(said)


# figures ----------------------------------------------------------------------------------------------------


def measured(takes: list[Take], prompts: int, size: float | None = None) -> Measured:
    suite = [Prompt(str(i), "ab"[i % 2], "x") for i in range(prompts)]
    both = [Entry("greedy", "greedy", claim="text"), Entry("beam", "beam")]
    return Measured(Plan("beam"), both, suite, {e.label: Weights("bf16", size) for e in both}, takes)


def take(label: str, prompts: tuple[int, ...], repeat: int, lengths: list[int], seconds: float) -> Take:
    return Take(label, prompts, repeat, Run([[0] * n for n in lengths], seconds, max(lengths), None))


def test_a_prompts_speedup_is_the_median_over_repeats_of_paired_runs():
    plain, beam = (1.0, 2.0, 10.0), (2.0, 1.0, 40.0)  # a slow moment hits both: ratios 0.5, 2, 0.25
    takes = [take("greedy", (0,), i, [8], s) for i, s in enumerate(plain)]
    takes += [take("beam", (0,), i, [8], s) for i, s in enumerate(beam)]
    first, second = rows(measured(takes, 1))
    assert (first["speedup"], second["speedup"]) == (1.0, 0.5)
    assert (first["tokens_per_second"], second["tokens_per_second"]) == (4.0, 4.0)  # of median seconds
    assert second["speedup_overall"] == 1.0


def test_a_batch_counts_all_its_tokens_and_its_prompts_share_its_speed():
    takes = [take("greedy", (0, 1), 0, [8, 2], 5.0), take("greedy", (2,), 0, [4], 1.0)]
    takes += [take("beam", (0, 1), 0, [8, 2], 2.5), take("beam", (2,), 0, [4], 1.0)]
    first, second = rows(measured(takes, 3))
    assert first["tokens_per_second"] == round(14 / 6, 2)
    assert (first["runs"], first["tokens_per_run"]) == (12, round(14 / 12, 3))
    assert second["speedup"] == round((2 + 2 + 1) / 3, 3)
    assert (second["by_category"]["a"]["speedup"], second["by_category"]["b"]["speedup"]) == (1.5, 2.0)


# roofline ---------------------------------------------------------------------------------------------------


def test_the_roofline_is_weights_read_over_what_memory_gives(monkeypatch):
    monkeypatch.setattr("anyorder.bench.rows.bandwidth", lambda: 1000.0)
    takes = [take(label, (0,), 0, [10], 4.0) for label in ("greedy", "beam")]
    assert rows(measured(takes, 1, size=200.0))[0]["roofline"] == 0.5  # 10 runs of 200 bytes in 4 of 1000/s
    assert rows(measured(takes, 1))[0]["roofline"] is None
    assert roofline({0: (1, 2.0, 4, None), 1: (1, 2.0, 4, None)}, 100.0, 400.0) == 0.5


@pytest.mark.parametrize("tied", [True, False])
def test_every_weight_counts_once_and_an_embedding_only_as_the_head(tied):
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        tie_word_embeddings=tied,
    )  # fmt: skip
    module = LlamaForCausalLM(config)
    inner = 2 * (4 * 16 * 16 + 3 * 16 * 32 + 2 * 16) + 16
    for precision, each in BYTES.items():
        assert weights_of(module, precision) == (precision, (inner + 50 * 16) * each)
    assert weights_of(module, "fp64").size is None


def test_every_precision_has_its_bytes():
    assert set(PRECISIONS) <= set(BYTES)


def test_the_memorys_bandwidth_is_measured_once(monkeypatch):
    monkeypatch.setattr(machine, "READ", 2**24)
    machine.bandwidth.cache_clear()
    first = machine.bandwidth()
    assert 1e8 < first < 1e13
    monkeypatch.setattr(torch, "ones", lambda *given: pytest.fail("measured again"))
    assert machine.bandwidth() == first
    machine.bandwidth.cache_clear()
