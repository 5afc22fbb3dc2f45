"""Whatever policy chooses the cells, the canvas ends as a text of the grammar."""

from __future__ import annotations

import json
import re
import shutil

import pytest

import anyorder
from anyorder.constraints.filled import lark
from anyorder.errors import UserError

MASK = 299
LISTS = 'start: "[" [item ("," item)*] "]"\nitem: /[ab]+/'
POLICIES = ("static", "threshold", "freedave", "random_order", "dual_cache", "edit", "remdm", "prophet")


@pytest.fixture(scope="module")
def model(tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grammar") / "full"
    shutil.copytree(tiny_model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["anyorder"] = {"mask": MASK}
    (folder / "config.json").write_text(json.dumps(config))
    return anyorder.load(str(folder), precision="fp32")


@pytest.mark.parametrize("method", POLICIES)
def test_every_policy_writes_a_text_of_the_grammar(model, method):
    for prompt in ("ab", "c d"):
        result = model.generate(prompt, method, max_tokens=9, block=9, grammar=LISTS)
        assert re.fullmatch(r"\[([ab]+(,[ab]+)*)?\]", result.text), result.text


def test_draws_and_blocks_keep_to_it_too(model):
    texts = {
        model.generate(
            "ab", "static", max_tokens=8, block=3, regex="[xyz]{2,6}", temperature=1.0, seed=seed
        ).text
        for seed in range(4)
    }
    assert all(re.fullmatch("[xyz]{2,6}", text) for text in texts)
    assert len(texts) > 1


def test_a_schema_and_choices(model):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    made = json.loads(model.generate("ab", "threshold", max_tokens=16, block=16, json_schema=schema).text)
    assert isinstance(made["a"], int)
    assert model.generate("ab", "static", max_tokens=6, choices=["yes", "maybe"]).text in ("yes", "maybe")


def test_fixed_text_is_part_of_it(model):
    result = model.generate("ab", "static", template="[<3>,b<2>", grammar=LISTS)
    assert re.fullmatch(r"\[[ab]+(,[ab]+)*\]", result.text)
    assert result.text[4:6] == ",b"


@pytest.mark.parametrize(
    "given, said",
    [
        ({"template": "[<2>c<1>", "grammar": LISTS}, "grammar"),
        ({"grammar": LISTS, "regex": "a"}, "regex were given; allowed is one of them"),
        ({"keywords": "a"}, "written from left to right"),
        ({"grammar": "start: nope"}, "line 1, column 8"),
        ({"choices": "certainly", "max_tokens": 3}, "fits the holes of 3 cells"),
    ],
)
def test_refused(model, given, said):
    with pytest.raises(UserError, match=said):
        model.generate("ab", "static", **given)


def test_what_options_mean_as_grammars():
    assert lark("choices", "a|b|") == 'start: "a" | "b"'
    assert lark("regex", "a/b") == "start: /a\\/b/"
    assert lark("grammar", 'start: "a"') == 'start: "a"'
