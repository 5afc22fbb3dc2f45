"""N-best lists: what is read, what is refused, and what a built list holds."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.errors import UserError
from anyorder.nbest import EXAMPLE, NBest, built, read
from anyorder.nbest.lists import ALIASES, EMPTY


def written(folder: Path, *lines: object) -> Path:
    file = folder / "lists.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return file


TEXTS = st.lists(st.text("ab \n", max_size=5), min_size=1, max_size=9)


@given(TEXTS, st.integers(1, 7), st.integers(0, 3))
def test_a_built_list_has_n_entries_the_best_first_and_no_hole(texts: list[str], n: int, seed: int) -> None:
    one = built(NBest.of(texts), n, seed)
    assert len(one.texts) == n
    assert one.texts[0] == (" ".join(texts[0].split()) or EMPTY)
    assert all(text and text == " ".join(text.split()) for text in one.texts)
    distinct = list(dict.fromkeys(one.texts))
    assert one.texts[: len(distinct)] == distinct  # what is repeated only pads
    clean = {" ".join(text.split()) for text in texts[1:]} - {""} | {one.texts[0]}
    assert len(distinct) == min(n, len(clean))
    assert built(NBest.of(texts), n, seed) == one


def test_padding_depends_on_the_seed_and_the_list_alone() -> None:
    pads = {tuple(built(NBest.of(["a", "b", "c"], id=7), 6, seed).texts) for seed in range(20)}
    assert len(pads) > 1
    assert built(NBest.of(["a", "b", "c"], id=1), 6).texts == built(NBest.of(["a", "b", "c"], id=2), 6).texts


def test_places_are_those_of_the_list_as_given() -> None:
    assert [h.place for h in built(NBest.of(["a", "a", "", "b"]), 2).hypotheses] == [0, 3]


@pytest.mark.parametrize(
    "line, texts, scores, reference",
    [
        ({"nbest": ["a", "b"], "reference": "r"}, ["a", "b"], [None, None], "r"),
        ({"nbest": [{"text": "a", "score": -1}, {"text": "b"}]}, ["a", "b"], [-1, None], None),
        ({"nbest": ["a", "b"], "scores": [-1, "-2.5"]}, ["a", "b"], [-1, -2.5], None),
        ({"input": ["a", "b"], "output": "r"}, ["a", "b"], [None, None], "r"),  # HyPoradise
        ({"hypotheses": [{"text": "a", "avg_logprob": -0.5}, "b"], "transcription": "r"}, ["a", "b"],
         [-0.5, None], "r"),
        ({"alternatives": [{"transcript": "a", "confidence": 0.5}, {"transcript": "b"}]}, ["a", "b"],
         [0.5, None], None),
        ({"output": [{"rec_text": "▁a▁c<eos>", "score": "-3", "text": "r"}, {"rec_text": "b"}]}, ["a c", "b"],
         [-3, None], "r"),  # ESPnet
    ],
)  # fmt: skip
def test_recognisers_field_names(tmp_path: Path, line: dict, texts: list, scores: list, reference) -> None:
    (one,) = read(written(tmp_path, line), n=2)
    assert one.texts == texts
    assert [h.score for h in one.hypotheses] == scores
    assert one.reference == reference
    assert one.id == 1


def test_every_alias_is_understood(tmp_path: Path) -> None:
    for name in ALIASES["nbest"]:
        assert read(written(tmp_path, {name: ["a"]}), 1)[0].texts == ["a"]
    for name in ALIASES["reference"]:
        assert read(written(tmp_path, {"nbest": ["a"], name: "r"}), 1)[0].reference == "r"
    for name in ALIASES["id"]:
        assert read(written(tmp_path, {"nbest": ["a"], name: "x"}), 1)[0].id == "x"


def test_an_array_and_standard_input_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = [{"input": ["a"]}, {"input": ["b"]}]
    assert [one.texts for one in read(written(tmp_path, json.dumps(lists, indent=1)), 1)] == [["a"], ["b"]]
    monkeypatch.setattr("sys.stdin", io.StringIO('{"nbest": ["c"]}\n\n{"nbest": ["d"]}\n'))
    assert [(one.id, one.texts) for one in read("-", 1)] == [(1, ["c"]), (3, ["d"])]


@pytest.mark.parametrize(
    "line, says",
    [
        ("{", "line 2 of"),
        ("{", "is not JSON"),
        ("3", "is a int; allowed is one JSON object"),
        ({"text": "a"}, "has the fields text and no list of hypotheses; allowed is a list under nbest"),
        ({}, "has the fields none"),
        ({"nbest": "a"}, "no list of hypotheses"),
        ({"nbest": []}, "empty list of hypotheses"),
        ({"nbest": [3]}, "has as hypothesis 1 3; allowed is a text"),
        ({"nbest": ["a", {"txt": "b"}]}, 'has as hypothesis 2 {"txt": "b"}'),
        ({"nbest": [{"text": "a", "score": "high"}]}, 'the score "high" for hypothesis 1'),
        ({"nbest": [{"text": "a", "score": True}]}, "the score true"),
        ('{"nbest": [{"text": "a", "score": NaN}]}', "the score NaN"),
        ({"nbest": ["a", "b"], "scores": [1]}, "2 hypotheses and 1 scores"),
        ({"nbest": ["a"], "reference": 3}, "has a int as reference"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: object, says: str) -> None:
    with pytest.raises(UserError, match=r"lists\.jsonl") as raised:
        read(written(tmp_path, {"nbest": ["fine"]}, line))
    assert "line 2" in str(raised.value)
    assert says in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="is empty"):
        read(written(tmp_path, ""))
    with pytest.raises(UserError, match=r"line 2 of .* is not JSON"):
        read(written(tmp_path, '[{"nbest": ["a"]},', "oops]"))
    with pytest.raises(UserError, match="n is 0"):
        read(EXAMPLE, n=0)


def test_the_shipped_example_says_that_we_made_it() -> None:
    lines = [json.loads(line) for line in EXAMPLE.read_text().splitlines()]
    assert len(lines) == len(read(EXAMPLE)) == 30
    assert all("made by anyorder" in line["source"] and "no recogniser" in line["source"] for line in lines)
    assert all(one.scored and one.reference for one in read(EXAMPLE))
