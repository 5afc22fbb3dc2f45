"""Diffusion models as models of lm-eval: texts by any-order methods, estimated likelihoods."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

import anyorder
from anyorder import harness
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.types import Ask, Commit
from anyorder.errors import UserError

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'anyorder[eval]'")
from tests.conftest import VOCAB
from tests.harness.kit import asked, results

QUESTION, RIGHT = "reverse: Ann, Ben, Cid =", " Cid Ben Ann"


@pytest.fixture(scope="module")
def model() -> anyorder.Model:
    return anyorder.load("list-diffusion", precision="fp32", packed=False)


@pytest.fixture(scope="module")
def lm(model):
    return harness.register()(model, "threshold", batch=8, samples=16)


def law(model: anyorder.Model, prompt: list[int], text: list[int], hidden: list[int]) -> float:
    """log p of the hidden cells' tokens given the others, straight from one run."""
    mask = model.adapter.mask
    given = [mask if i in hidden else token for i, token in enumerate(text)]
    given += [mask] * (model.adapter.cells - len(text))
    canvas = Canvas(prompt, len(given), mask=mask, given=given)
    cells = [len(prompt) + i for i in hidden]

    def read(answer, chance) -> float:
        laws = answer.logits.double().log_softmax(-1)
        return float(laws[torch.arange(len(hidden)), [text[i] for i in hidden]].sum())

    heard = []

    def run(canvas):
        heard.append((yield Ask(read, at=(cells,))))
        yield Commit([[text[i] for i in hidden]], at=[cells])

    list(decode([Request(canvas, run, {"target": model.filler})]))
    return heard[0]


def test_two_cells_are_estimated_by_the_formula(lm, model) -> None:
    """Half of the draws hide both cells, the others one of the two: the weights are whole numbers."""
    prompt, text = lm._encode_pair(QUESTION, " Cid Ben")
    ((logp, _),) = lm.loglikelihood(asked((QUESTION, " Cid Ben"), kind="loglikelihood"))
    both = law(model, prompt, text, [0, 1])
    one, other = (law(model, prompt, text, [i]) for i in (0, 1))
    firsts = (8 * (logp - both / 2) - 8 * other) / (one - other)
    assert firsts == pytest.approx(round(firsts), abs=1e-3)
    assert 0 < round(firsts) < 8


def test_one_cell_is_known_without_draws(lm, model) -> None:
    prompt, text = lm._encode_pair(QUESTION, " Cid")
    ((logp, greedy),) = lm.loglikelihood(asked((QUESTION, " Cid"), kind="loglikelihood"))
    assert logp == pytest.approx(law(model, prompt, text, [0]), abs=1e-5)
    assert greedy


def test_more_draws_come_nearer_the_mean(model) -> None:
    """Three cells: the mean over all that can be hidden, and what draws make of it."""
    lm = harness.register()(model, batch=64, samples=600)
    prompt, text = lm._encode_pair(QUESTION, " Ann Ben Cid")
    kinds = [[[0], [1], [2]], [[0, 1], [0, 2], [1, 2]], [[0, 1, 2]]]
    laws = [[law(model, prompt, text, hidden) for hidden in kind] for kind in kinds]
    mean = sum(sum(some) / len(some) / size for size, some in enumerate(laws, 1))
    wide = sum(3 * (max(some) - min(some)) / size / 3 for size, some in enumerate(laws, 1))
    ((logp, greedy),) = lm.loglikelihood(asked((QUESTION, " Ann Ben Cid"), kind="loglikelihood"))
    assert abs(logp - mean) < 4 * wide / math.sqrt(600)
    assert not greedy


def test_the_right_answer_is_likelier_and_greedy_and_company_changes_nothing(lm) -> None:
    pairs = [(QUESTION, RIGHT), (QUESTION, " Ann Ben Cid"), (QUESTION, " Cid Ann Ben")]
    said = lm.loglikelihood(asked(*pairs, kind="loglikelihood"))
    assert said[0][0] == max(logp for logp, _ in said)
    assert [greedy for _, greedy in said] == [True, False, False]
    alone = [lm.loglikelihood(asked(pair, kind="loglikelihood"))[0] for pair in pairs]
    assert [logp for logp, _ in alone] == pytest.approx([logp for logp, _ in said], abs=1e-5)
    other = harness.register()(lm.model, batch=3, samples=16)
    again = other.loglikelihood(asked(*pairs, kind="loglikelihood"))
    assert [logp for logp, _ in again] == pytest.approx([logp for logp, _ in said], abs=1e-5)
    seeded = harness.register()(lm.model, batch=8, samples=16, seed=1)
    assert seeded.loglikelihood(asked(pairs[1], kind="loglikelihood"))[0][0] != said[1][0]


def test_windows_hold_no_more_than_the_context(model, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = harness.register()(model, samples=2, max_length=8)
    text = "Ann Ben Cid " * 7
    sizes = []
    judged = lm._judged

    def noted(context, text, said):
        request = judged(context, text, said)
        sizes.append((len(text), len(request.canvas.rows[0])))
        return request

    monkeypatch.setattr(lm, "_judged", noted)
    (logp,) = lm.loglikelihood_rolling(asked((text,), kind="loglikelihood_rolling"))
    assert -math.inf < logp < 0
    assert sum(text for text, _ in sizes) == 21
    assert {whole for _, whole in sizes} == {8}


def test_a_task_by_an_any_order_method(lm, tmp_path: Path) -> None:
    rows = [
        {"q": "reverse: Ann, Ben, Cid =", "a": "Cid Ben Ann"},
        {"q": "copy: Ann, Cid, Ben =", "a": "Ann Cid Ben"},
        {"q": "sort: Eva, Ann, Ben =", "a": "Ann Ben Eva"},
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": "lists", "dataset_path": "json", "test_split": "test", "output_type": "generate_until",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}}, "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}",
        "generation_kwargs": {"until": [" Ben Eva"], "do_sample": False, "block": 4},
        "metric_list": [{"metric": "exact_match"}],
    }  # fmt: skip
    (tmp_path / "lists.yaml").write_text(json.dumps(task))
    said = results(lm, tmp_path, "lists", log_samples=True)
    assert said["results"]["lists"]["exact_match,none"] == pytest.approx(2 / 3)
    assert [s["resps"][0][0] for s in said["samples"]["lists"]] == ["Cid Ben Ann", "Ann Cid Ben", "Ann"]
    about = said["config"]["anyorder"]
    assert (about["method"], about["exact"]) == ("threshold", False)
    assert about["loglikelihood"] == "estimate from 16 draws"
    assert about["options"] == {"threshold": 0.9}


def test_auto_is_what_the_model_can_do_and_takes_its_options(model) -> None:
    lm = harness.register()(model)
    (text,) = lm.generate_until(asked((QUESTION, {"steps": 4, "do_sample": False})))
    assert text == model.generate(QUESTION, "static", steps=4, chat=False).text
    about = lm.get_model_info()["anyorder"]
    assert (about["method"], about["runs"]) == ("static", 4)
    with pytest.raises(UserError, match="gen_kwargs name nodes; allowed are"):
        lm.generate_until(asked((QUESTION, {"nodes": 4})))


def folder(source: Path, to: Path, **entry) -> str:
    shutil.copytree(source, to)
    config = json.loads((to / "config.json").read_text())
    config["anyorder"] = {"mask": VOCAB - 1, "shift": False, "block": 0, **entry}
    (to / "config.json").write_text(json.dumps(config))
    return str(to)


def test_blocks_of_one_cell_make_the_chain_of_laws(tiny_model_folder: Path, tmp_path: Path) -> None:
    made = folder(tiny_model_folder, tmp_path / "block", attention="block", block=1)
    model = anyorder.load(made, precision="fp32", packed=False)
    lm = harness.register()(model, samples=5)
    prompt, text = lm._encode_pair("the cat", " sat")
    ((logp, _),) = lm.loglikelihood(asked(("the cat", " sat"), kind="loglikelihood"))
    chain = sum(law(model, [*prompt, *text[:i]], text[i : i + 1], [0]) for i in range(len(text)))
    assert logp == pytest.approx(chain, abs=1e-4)


def test_a_hybrid_model_is_judged_as_it_writes_from_left_to_right(
    tiny_model_folder: Path, tiny_hybrid_folder: Path
) -> None:
    pairs = [("the cat", " sat on"), ("", "hello")]
    said = []
    for made in (tiny_model_folder, tiny_hybrid_folder):
        lm = harness.register()(anyorder.load(str(made), precision="fp32", packed=False), batch=2)
        assert not lm.two_way
        said.append([logp for logp, _ in lm.loglikelihood(asked(*pairs, kind="loglikelihood"))])
    assert said[0] == pytest.approx(said[1], abs=1e-4)
