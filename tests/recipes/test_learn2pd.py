"""The filter's recipe: what it asks, what it learns from, and that a known rule is found again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.errors import UserError
from anyorder.methods.diffusion.learn2pd import read_filter
from anyorder.recipes import learn2pd as recipe
from anyorder.recipes.learn2pd import (
    Config,
    Steps,
    judged,
    laid,
    learned,
    main,
    questions,
    save,
    tasks,
    trained,
)
from anyorder.registry import build
from anyorder.tasks.lists import TASKS
from anyorder.testing import ToyTwoWay
from anyorder.testing.egp import Lesson

SMALL = Config(block=4, cells=(4, 7), prompts=1, epochs=60)


class Toy:
    """A model as the recipe knows one: requests of a toy net."""

    name, spelling = "toy", "of a toy"

    def __init__(self):
        self.net = ToyTwoWay(1)

    def request(self, prompt, method, *, max_tokens, block, **options):
        canvas = Canvas([len(prompt) % 12, 1], max_tokens, mask=self.net.mask, block=block, eos=[3])
        run = build(method, options, Setting(vocab=self.net.vocab))
        return Request(canvas, run, {"target": self.net})


def test_questions_of_all_tasks():
    asked = tasks(Config(prompts=4, cells=(8, 64)))
    assert len(asked) == 4 * 12
    words = [q.prompt.split(":")[0].split()[0] for q in asked]
    assert {word: words.count(word) for word in words} == dict.fromkeys((*TASKS, "latin", "sudoku"), 4)
    assert {q.cells for q in asked if q.prompt.startswith("copy")} == {8, 64}
    assert {q.cells for q in asked if q.prompt.startswith("sudoku")} == {16, 64}
    assert tasks(Config(prompts=4)) == tasks(Config(prompts=4))


def test_questions_of_a_file(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(f"prompt {i}\n" for i in range(12)))
    asked = questions(str(file), SMALL)
    assert {q.prompt for q in asked} == {f"prompt {i}" for i in range(12)}
    assert [q.cells for q in asked] == [4, 7] * 6
    file.write_text("one\ntwo")
    with pytest.raises(UserError, match="has 2 prompts; allowed are 10 or more"):
        questions(str(file), SMALL)
    with pytest.raises(UserError, match="cannot be read"):
        questions(str(tmp_path / "none"), SMALL)


def test_lessons_as_arrays():
    lesson = Lesson(np.array([0.5, 0.25]), np.array([True, False]), np.array([False, True]))
    steps = laid([lesson, lesson], 3)
    assert steps.sure.tolist() == [[0.5, 0.25, 1.0]] * 2
    assert steps.right.tolist() == [[True, False, False]] * 2
    assert steps.hole.tolist() == [[False, True, False]] * 2


def made(count, seed=0):
    """All are right where the first cell is surer than 0.6; only holes tell, the others say the opposite."""
    rng = np.random.default_rng(seed)
    sure, hole = rng.random((count, 6)), rng.random((count, 6)) < 0.6
    return Steps(sure, (sure[:, :1] > 0.6) ^ ~hole, hole)


def test_a_rule_is_found_again_from_the_holes():
    net = learned(made(800), Config(block=6, epochs=600), lambda line: None)
    found = judged(net, made(400, seed=1))
    assert found[0.9]["wrong"] < 0.05
    assert found[0.5]["found"] > 0.95
    share = [found[cut]["found"] for cut in (0.5, 0.8, 0.9, 0.96, 0.99)]
    assert share == sorted(share, reverse=True)


def test_the_method_reads_what_was_saved(tmp_path):
    net = learned(made(50), Config(block=6, epochs=20), lambda line: None)
    save(net, tmp_path / "deep" / "filter.json", spelling="abc", block=6)
    found, sure = read_filter(str(tmp_path / "deep" / "filter.json")), np.linspace(0.1, 0.9, 6)
    with torch.no_grad():
        assert found(sure) == pytest.approx(net(torch.tensor(sure).float()).sigmoid().numpy(), abs=1e-4)
    assert found.spelling == "abc"


def test_all_of_it_on_a_toy(tmp_path):
    file, said = tmp_path / "filter.json", []
    asked = tasks(Config(prompts=2, cells=(4, 7)))
    report = trained(Toy(), asked, file, SMALL, said.append)
    ways = report["ways"]
    assert ways["static"]["same"] == ways["oracle"]["same"] == 1
    assert ways["oracle"]["runs"] < ways["static"]["runs"]
    assert ways["oracle"]["runs"] <= ways["learn2pd"]["runs"] <= ways["static"]["runs"]
    assert json.loads(file.read_text())["spelling"] == "of a toy"
    assert "steps of 19 texts" in said[0]
    again = tmp_path / "again.json"
    trained(Toy(), asked, again, SMALL, said.append)
    assert again.read_text() == file.read_text()


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("anyorder.api.load", lambda name, precision: Toy())
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join("x" * i for i in range(1, 13)))
    out = tmp_path / "out.json"
    given = ["--model", "toy", "--prompts", str(file), "--cells", "6", "--block", "4", "--epochs", "5"]
    assert main([*given, "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["file"] == str(out)
    assert read_filter(str(out))
    monkeypatch.chdir(tmp_path)
    assert main(given) == 0
    assert Path("learn2pd.json").is_file()
    assert main(["--prompts", "none.txt"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert recipe.SHIPPED.name == "learn2pd.json"
