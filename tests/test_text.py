"""Stop strings and streaming: what is shown piece by piece is what the whole would be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.core.canvas import Canvas
from anyorder.core.types import Commit
from anyorder.nets.load import load
from anyorder.text import Speller, stop_rule


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder: Path):
    return load(str(tiny_model_folder))[1]


@given(text=st.text(min_size=1, max_size=30), sizes=st.lists(st.integers(1, 5), min_size=1))
def test_streamed_pieces_add_up_to_the_text(tokenizer, text: str, sizes: list[int]) -> None:
    ids, speller, shown = tokenizer(text)["input_ids"], Speller(tokenizer), []
    while ids:
        take = sizes[len(shown) % len(sizes)]
        piece, ids = ids[:take], ids[take:]
        shown.append(speller.add(piece, done=not ids))
    assert "".join(shown) == tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)


def test_a_half_written_character_waits(tokenizer) -> None:
    ids = tokenizer("é")["input_ids"]
    if len(ids) < 2:
        pytest.skip("this tokenizer spells é as one token")
    speller = Speller(tokenizer)
    assert speller.add(ids[:1]) == ""
    assert speller.add(ids[1:]) == "é"


def test_a_stop_string_is_never_shown_nor_part_of_it(tokenizer) -> None:
    speller, shown = Speller(tokenizer, ["END"]), ""
    for token in tokenizer("one EN two END three")["input_ids"]:
        shown += speller.add([token])
        assert "END" not in shown
    assert shown == "one EN two "


@pytest.mark.parametrize("step", [1, 2, 7, 50])
def test_the_canvas_ends_at_the_token_that_completes_a_stop_string(tokenizer, step: int) -> None:
    ids, rule = (
        tokenizer("good morning, all. good night")["input_ids"],
        stop_rule(tokenizer, [", all", "night"]),
    )
    canvas = Canvas([1], 200, stop=rule)
    while not canvas.done and ids:
        canvas.write(Commit([ids[:step]]))
        ids = ids[step:]
    assert canvas.ended == ["stop"]
    text = tokenizer.decode(canvas.generated())
    assert ", all" in text
    assert ", all" not in tokenizer.decode(canvas.generated()[:-1])
    assert rule.cut(text) == "good morning"
