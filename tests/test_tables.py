"""Tables of a corpus: suffix arrays and trigrams against slow counts, files there and back, bad files."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.errors import UserError
from anyorder.tables import (
    FIELDS,
    GAP,
    SORTED,
    SUCCESSORS,
    corpus,
    make,
    nothing_known,
    of_tokens,
    read,
    save,
    texts_of,
)

TEXTS = st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=6)


def encode(text):
    return [ord(c) % 128 for c in text]


@given(TEXTS)
def test_suffix_array_is_in_order(texts):
    table = of_tokens(texts)
    token, places = table.token.tolist(), table.suffix.tolist()
    assert sorted(places) == list(range(len(token)))
    looked = [token[p : p + SORTED] for p in places]
    assert looked == sorted(looked)


@given(TEXTS)
def test_trigrams_are_shares_of_their_pairs(texts):
    counts: dict[int, Counter] = {}
    for text in texts:  # and none goes from one text into the next
        for a, b, c in zip(text, text[1:], text[2:]):
            counts.setdefault(a << 32 | b, Counter())[c] += 1
    table = of_tokens(texts)
    assert table.pair.tolist() == sorted(counts)
    for i, pair in enumerate(table.pair.tolist()):
        mine = slice(table.first[i], table.first[i + 1])
        whole = counts[pair].total()
        assert dict(zip(table.after[mine].tolist(), table.weight[mine].tolist())) == pytest.approx(
            {token: n / whole for token, n in counts[pair].items()}
        )
        assert (np.diff(table.weight[mine]) <= 0).all()


def test_only_the_heaviest_successors_are_held():
    texts = [[1, 2, 10 + i] for i in range(20)] * 2 + [[1, 2, 29]]
    table = of_tokens(texts)
    assert len(table.after) == SUCCESSORS
    assert table.after[0] == 29
    assert table.weight.tolist() == pytest.approx([3 / 41, *[2 / 41] * 11])  # of all, not of those held


def test_texts_are_apart():
    table = make(["ab", "", "c"], encode, "me")
    assert table.token.tolist() == [97, 98, GAP, 99, GAP]
    assert table.spelling == "me"


# files ------------------------------------------------------------------------------------------------------


@given(TEXTS)
def test_there_and_back(tmp_path_factory, texts):
    file = tmp_path_factory.mktemp("tables") / "a.npz"
    table = of_tokens(texts, "some")
    save(table, file)
    again = read(file)
    assert again.spelling == "some"
    assert all((a == b).all() and a.dtype == b.dtype for a, b in zip(table[1:], again[1:], strict=True))
    assert [file] == list(file.parent.iterdir())  # no scratch is left


def test_texts_of_json_lines(tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [{"answer": "B", "question": "A", "n": 3}, {"turns": ["C", "D"]}, {"text": "E", "prompt": 5}]
    file.write_text("\n\n".join(map(json.dumps, lines)))
    assert list(texts_of(file)) == ["A\nB", "C\nD", "E"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYORDER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_text_is_read_once(tmp_path, cache):
    file = tmp_path / "a.txt"
    file.write_text("abcab")
    calls = []

    def counted(text):
        calls.append(text)
        return encode(text)

    memory: dict = {}
    first = corpus(str(file), memory, counted, "x", 128)
    assert corpus(str(file), memory, counted, "x", 128) is first  # from memory
    again = corpus(str(file), {}, counted, "x", 128)  # from the cache folder
    assert again.token.tolist() == first.token.tolist()
    assert calls == ["abcab"]
    corpus(str(file), {}, counted, "y", 128)  # of another tokenizer
    file.write_text("abcabc")
    assert corpus(str(file), memory, counted, "x", 128).token.tolist() == [*encode("abcabc"), GAP]
    assert len(calls) == 3


def test_a_broken_or_unwritable_cache_costs_time_only(tmp_path, cache, monkeypatch):
    file = tmp_path / "a.txt"
    file.write_text("abc")
    whole = corpus(str(file), {}, encode, "", 128)
    (made,) = (cache / "tables").iterdir()
    made.write_bytes(made.read_bytes()[:100])
    assert corpus(str(file), {}, encode, "", 128).token.tolist() == whole.token.tolist()
    (tmp_path / "no").write_text("a file where a folder should be")
    monkeypatch.setenv("ANYORDER_CACHE", str(tmp_path / "no"))
    assert corpus(str(file), {}, encode, "", 128).token.tolist() == whole.token.tolist()


def bad(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.txt", "", "is empty; allowed is one word or more"),
        ("a.jsonl", "\n\n", "is empty; allowed is one word or more"),
        ("a.txt", b"\xff\xfe\xfd", "cannot be read .it is not UTF-8 text.; give a .txt, .jsonl or .npz file"),
        ("a.jsonl", '{"text": "a"}\n{"text": ', "line 2 of corpus .*a.jsonl is not JSON .*; correct it"),
        ("a.jsonl", '{"title": "a"}', f"line 1 of .* has no text; allowed are the fields {FIELDS[0]}, "),
        ("a.jsonl", "[1, 2]", "line 1 of .* has no text"),
        ("a.jsonl", '{"text": 3}', "line 1 of .* has no text"),
        ("a.csv", "a", "is no .txt, .jsonl, .npz file; give one of these"),
        ("a.npz", "a", "is not a table .*; make it again"),
        ("a.npz", b"PK\x03\x04 and no more", "is not a table .*; make it again"),
    ],
)
def test_bad_files(tmp_path, cache, name, content, said):
    with pytest.raises(UserError, match=said):
        corpus(bad(tmp_path, name, content), {}, encode, "", 128)


def test_bad_places(tmp_path, cache):
    with pytest.raises(UserError, match=r"corpus .*/no.txt is not there .*; give the path of a .txt"):
        corpus(str(tmp_path / "no.txt"), {}, encode, "", 128)
    with pytest.raises(UserError, match=r"is no .txt, .jsonl, .npz file"):
        corpus(str(tmp_path), {}, encode, "", 128)
    with pytest.raises(UserError, match=r"is text and no tokenizer is there; give a .npz file"):
        corpus(bad(tmp_path, "a.txt", "abc"), {}, None, "", 128)


def saved(tmp_path, table, **changed):
    save(table._replace(**changed), tmp_path / "t.npz")
    return str(tmp_path / "t.npz")


def test_tables_of_another_model(tmp_path):
    table = of_tokens([[1, 2, 3, 9]], "mine")
    file = saved(tmp_path, table)
    assert corpus(file, {}, None, "mine", 10).token.tolist() == [1, 2, 3, 9, GAP]
    with pytest.raises(UserError, match="is of the tokenizer mine, not of this model's yours; make it again"):
        corpus(file, {}, None, "yours", 10)
    with pytest.raises(UserError, match="has the token 9; allowed is 0 to 8; make it again"):
        corpus(file, {}, None, "mine", 9)


@pytest.mark.parametrize(
    "changed",
    [
        {"suffix": np.zeros(2, np.int32)},
        {"suffix": np.full(5, 7, np.int32)},
        {"token": np.zeros(5, np.float32)},
        {"first": np.array([0, 1], np.int32)},
        {"first": np.array([0, 9, 2], np.int32)},
        {"first": np.array([1, 1, 2], np.int32)},
        {"weight": np.zeros(1, np.float32)},
        {"pair": np.zeros((2, 1), np.int64)},
    ],
)
def test_tables_whose_arrays_do_not_fit(tmp_path, changed):
    """Compiled code reads them without looking, so they are looked at here."""
    with pytest.raises(UserError, match=r"is not a table .ValueError.; allowed is a .npz file made by"):
        read(saved(tmp_path, of_tokens([[1, 2, 3, 4]]), **changed))


def test_a_later_format_is_refused(tmp_path):
    table = of_tokens([[1, 2, 3]])
    np.savez(tmp_path / "a.npz", format=np.array(99), **table._asdict())
    with pytest.raises(UserError, match=r"is not a table .KeyError."):
        read(tmp_path / "a.npz")


def test_nothing_is_known_of_nothing():
    assert [len(array) for array in nothing_known()[1:]] == [0, 0, 0, 1, 0, 0]
