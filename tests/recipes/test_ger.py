"""The fine-tuning recipe, on a tiny random model."""

import json
from pathlib import Path

import pytest
import torch

import anyorder
from anyorder import nbest
from anyorder.errors import UserError
from anyorder.nbest import NBest, prompts
from anyorder.nets.load import load
from anyorder.recipes import ger


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "train.jsonl"
    lists = [
        {"nbest": ["ab", "ac"], "reference": "ac"},
        {"nbest": ["ba"], "reference": "ba"},
        {"nbest": ["x"]},
    ]
    file.write_text("\n".join(map(json.dumps, lists)))
    return file


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = 0
    try:
        ger.main(list(words))
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("rank", ["4", "0"])
def test_the_loss_falls_and_the_folder_is_a_checkpoint(
    capsys, tmp_path: Path, data: Path, tiny_model_folder: Path, rank: str
) -> None:
    folder = tmp_path / "made"
    code, out, _ = run(
        capsys, "--data", str(data), "--out", str(folder), "--model", str(tiny_model_folder), "--steps", "8",
        "--lora", rank, "--rate", "0.02", "--n", "2",
    )  # fmt: skip
    said = json.loads(out.splitlines()[-1])
    assert code == 0
    assert (said["lists"], said["steps"], said["rank"]) == (2, 8, int(rank))
    assert said["last_loss"] < 0.8 * said["first_loss"]
    assert json.loads((folder / "ger.json").read_text()) == said

    before, after = load(str(tiny_model_folder), "fp32")[0], load(str(folder), "fp32")[0]
    assert before.state_dict().keys() == after.state_dict().keys()  # a stock model again
    moved = {
        name
        for name, weight in before.state_dict().items()
        if not torch.equal(weight, after.state_dict()[name])
    }
    if int(rank):
        assert moved
        assert all(name.split(".")[-2] in ger.ATTENTION for name in moved)
    else:
        assert any("mlp" in name for name in moved)
    model = anyorder.load(str(folder), precision="fp32")
    made = nbest.correct(model, nbest.read(data, 2), "tuned", gate=0, method="greedy")
    assert len(made) == 3


def test_enough_steps_teach_the_answers(tmp_path: Path, data: Path, tiny_model_folder: Path) -> None:
    config = ger.Config(rank=0, rate=0.02, steps=30, dropout=0.0, n=2)
    ger.tuned(str(tiny_model_folder), str(data), str(tmp_path / "made"), config)
    model = anyorder.load(str(tmp_path / "made"), precision="fp32")
    made = nbest.correct(model, nbest.read(data, 2)[:2], "tuned", gate=0, method="greedy")
    assert [one.text for one in made] == ["ac", "ba"]


def test_merging_gives_the_same_answers(tiny_model_folder: Path) -> None:
    module, tokenizer = load(str(tiny_model_folder), "fp32")
    ids = torch.tensor([tokenizer("some text")["input_ids"]])
    with torch.no_grad():
        plain = module(ids).logits
        weights = ger.opened(module, ger.Config(rank=2, dropout=0.0))
        assert torch.equal(module(ids).logits, plain)  # B is zero: nothing is changed at first
        for weight in weights:
            weight.normal_(std=0.1)
        beside = module(ids).logits
        ger.merge(module)
        assert not any(isinstance(child, ger.LowRank) for child in module.modules())
        torch.testing.assert_close(module(ids).logits, beside, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(beside, plain, atol=1e-3)
    assert len(weights) == 2 * 4 * module.config.num_hidden_layers


def test_what_is_trained_is_the_prompt_that_is_decoded(tiny_model_folder: Path) -> None:
    _, tokenizer = load(str(tiny_model_folder), "fp32")
    one = NBest.of(["ab", "ac"], "ac")
    (text,) = ger.spelled(tokenizer, 7, [one], ger.Config())
    assert tokenizer.decode(text[:-1]) == prompts.task(one.texts) + "ac"
    assert text[-1] == 7
    prompt = anyorder.load(str(tiny_model_folder), precision="fp32").encode(
        prompts.task(one.texts), chat=False
    )
    assert text[: len(prompt)] == prompt


def test_the_loss_is_that_of_each_text_alone(tiny_model_folder: Path) -> None:
    module, _ = load(str(tiny_model_folder), "fp32")
    texts, device = [[1, 2, 3, 4, 5], [6, 7]], torch.device("cpu")
    with torch.no_grad():
        together = ger.loss_of(module, texts, device)
        alone = sum(ger.loss_of(module, [text], device) for text in texts)
    torch.testing.assert_close(together, alone)


def test_every_list_comes_once_an_epoch() -> None:
    steps = list(ger.order(7, ger.Config(batch=3, epochs=2)))
    assert [len(step) for step in steps] == [3, 3, 1] * 2
    for epoch in (steps[:3], steps[3:]):
        assert sorted(place for step in epoch for place in step) == list(range(7))
    assert steps[:3] != steps[3:]
    assert list(ger.order(7, ger.Config(batch=3, epochs=2))) == steps


def test_the_same_seed_trains_the_same(tiny_model_folder: Path) -> None:
    losses = []
    for seed in (1, 1, 2):
        module, _ = load(str(tiny_model_folder), "fp32")
        losses.append(ger.train(module, [[1, 2, 3]], ger.Config(steps=3, seed=seed), lambda *_: None))
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    "words, says",
    [
        (["--lora", "-1"], "--lora is -1; allowed is 0 or more"),
        (["--steps", "0"], "--steps is 0"),
        (["--rate", "0"], "--rate is 0.0"),
        (["--cutoff", "9"], "no list has at most 9 tokens, the shortest has"),
        (["--data", "none.jsonl"], "cannot be read"),
        (["--model", "/no/such"], "is not there"),
    ],
)
def test_wrong_input_is_one_sentence(
    capsys, tmp_path: Path, data: Path, tiny_model_folder: Path, words: list[str], says: str
) -> None:
    call = ["--data", str(data), "--out", str(tmp_path / "new"), "--model", str(tiny_model_folder), *words]
    code, _, err = run(capsys, *call)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_nothing_is_written_over(capsys, tmp_path: Path, data: Path) -> None:
    code, _, err = run(capsys, "--data", str(data), "--out", str(tmp_path))
    assert code == 2
    assert "holds something" in err


def test_a_model_without_such_layers_is_refused() -> None:
    with pytest.raises(UserError, match="has no layers named q_proj"):
        ger.opened(torch.nn.Sequential(torch.nn.Linear(2, 2)), ger.Config())


def test_lists_without_references_teach_nothing(tmp_path: Path) -> None:
    file = tmp_path / "bare.jsonl"
    file.write_text('{"nbest": ["a"]}')
    with pytest.raises(UserError, match="no list with a reference"):
        ger.tuned("smollm2", str(file), str(tmp_path / "made"), ger.lora())
