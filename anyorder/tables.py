"""Tables of a corpus, from which drafters guess: which tokens follow which, and where a phrase stands.

A corpus is a text file or a JSON lines file. Its table is made once: the token ids of all texts, their
suffix array (every place, in the order of what stands there) and the trigrams: for each two tokens those that
follow them most often. It is kept in the user's cache folder, or in a .npz file of the user's.

>>> table = make(["a text", "another"], encode, spelling)
>>> save(table, "mine.npz")                       # then: --set corpus=mine.npz
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anyorder import jsonl
from anyorder.errors import UserError
from anyorder.folders import cache_folder

GAP = -1  # between texts: no phrase goes across
SUCCESSORS = 12  # of two tokens, the heaviest (ADED's number)
SORTED = 32  # tokens by which places are put in order
FORMAT = 1  # of the file
FIELDS = ("question", "prompt", "turns", "text", "answer", "canonical_solution")  # of a JSON line, in order
SUFFIXES = (".txt", ".jsonl", ".npz")

Encode = Callable[[str], list[int]]


class Table(NamedTuple):
    """What is known of a corpus. Two tokens are one number: the first times 2^32 plus the second."""

    spelling: str  # of the tokenizer
    token: np.ndarray  # int32 [N] all texts, GAP between them
    suffix: np.ndarray  # int32 [N] places in the order of what stands there, by SORTED tokens
    pair: np.ndarray  # int64 [P] two tokens, rising
    first: np.ndarray  # int32 [P + 1] where the successors of each pair begin
    after: np.ndarray  # int32 [S] successors, the heaviest of a pair first
    weight: np.ndarray  # float32 [S] how often they follow: the share of the pair's places


# making -----------------------------------------------------------------------------------------------------


def make(texts: Iterable[str], encode: Encode, spelling: str) -> Table:
    """The table of some texts."""
    return of_tokens((encode(text) for text in texts), spelling)


def of_tokens(texts: Iterable[list[int]], spelling: str = "") -> Table:
    """The table of texts that are token ids."""
    pieces = [np.array([*ids, GAP], dtype=np.int32) for ids in texts if ids]
    token = np.concatenate(pieces) if pieces else np.zeros(0, np.int32)
    assert len(token) < 1 << 31, "places are 32 bits wide"
    return Table(spelling, token, suffix_array(token), *trigrams(token))


def nothing_known(spelling: str = "") -> Table:
    """The table of no text."""
    return of_tokens([], spelling)


def suffix_array(token: np.ndarray) -> np.ndarray:
    """Places in the order of the SORTED tokens from there on, by doubling the length that is looked at."""
    rank = np.unique(token, return_inverse=True)[1].astype(np.int64)
    order, length = np.argsort(rank, kind="stable"), 1
    while length < SORTED and len(token):
        later = np.zeros_like(rank)
        later[:-length] = rank[length:] + 1  # 0: the corpus is over
        key = rank << 32 | later
        order = np.argsort(key, kind="stable")
        rank[order] = np.concatenate([[0], np.cumsum(np.diff(key[order]) > 0)])
        length *= 2
    return order.astype(np.int32)


def trigrams(token: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`pair`, `first`, `after` and `weight` of a table: trigrams counted, normalised for each pair."""
    wide = token.astype(np.int64)
    whole = (wide[:-2] >= 0) & (wide[1:-1] >= 0) & (wide[2:] >= 0)
    pairs, last = (wide[:-2] << 32 | wide[1:-1])[whole], wide[2:][whole]
    order = np.lexsort((last, pairs))
    pairs, last = pairs[order], last[order]
    new = np.ones(len(pairs), dtype=bool)  # a trigram's first place
    new[1:] = (pairs[1:] != pairs[:-1]) | (last[1:] != last[:-1])
    start = np.flatnonzero(new)
    count = np.diff(np.append(start, len(pairs)))
    pairs, last = pairs[start], last[start]
    order = np.lexsort((last, -count, pairs))  # the most frequent first
    pairs, last, count = pairs[order], last[order], count[order]
    pair, begin, of = np.unique(pairs, return_index=True, return_inverse=True)
    share = count / np.add.reduceat(count, begin)[of] if len(pair) else count
    kept = np.arange(len(pairs)) - begin[of] < SUCCESSORS if len(pair) else np.zeros(0, dtype=bool)
    first = np.searchsorted(of[kept], np.arange(len(pair) + 1))
    return pair, first.astype(np.int32), last[kept].astype(np.int32), share[kept].astype(np.float32)


# files ------------------------------------------------------------------------------------------------------


def save(table: Table, file: str | Path) -> None:
    """Write a table, whole or not at all."""
    path = Path(file)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as out:
            np.savez(out, format=np.array(FORMAT), **table._asdict())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read(file: str | Path) -> Table:
    """A table that `save` wrote. Raises UserError if the file is none."""
    try:
        with np.load(file, allow_pickle=False) as held:
            if int(held["format"]) != FORMAT:
                raise KeyError("format")
            table = Table(str(held["spelling"]), *(held[name] for name in Table._fields[1:]))
        _check(table)
    except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"corpus {file} is not a table ({type(error).__name__}); allowed is a .npz file made by "
            "anyorder.tables, or a .txt or .jsonl file; make it again"
        ) from error
    return table


def _check(table: Table) -> None:
    """Raises ValueError unless the arrays fit together: what is compiled below does not look."""
    kinds = (np.int32, np.int32, np.int64, np.int32, np.int32, np.float32)
    arrays, length = table[1:], len(table.token)
    right = all(a.dtype == kind and a.ndim == 1 for a, kind in zip(arrays, kinds, strict=True))
    right = right and len(table.suffix) == length and len(table.first) == len(table.pair) + 1
    right = right and len(table.after) == len(table.weight) == table.first[-1]
    if not right or (length and not 0 <= table.suffix.min() <= table.suffix.max() < length):
        raise ValueError("arrays of other sizes")
    steps = np.diff(table.first)
    if table.first[0] != 0 or (len(steps) and not 0 < steps.min() <= steps.max() <= SUCCESSORS):
        raise ValueError("successors of other sizes")


def texts_of(path: Path) -> Iterator[str]:
    """The texts of a corpus: a .txt file is one, a .jsonl file has one in every line. Raises UserError."""
    try:
        whole = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"corpus {path} cannot be read ({why}); give a .txt, .jsonl or .npz file") from error
    if path.suffix == ".txt":
        yield whole
        return
    for number, line in enumerate(whole.split("\n"), start=1):
        if line.strip():
            yield _text(line, f"line {number} of corpus {path}")


def _text(line: str, where: str) -> str:
    entry = jsonl.entry(line, where)
    fields = [entry[name] for name in FIELDS if name in entry] if isinstance(entry, dict) else []
    said = [turn for field in fields for turn in (field if isinstance(field, list) else [field])]
    texts = [text for text in said if isinstance(text, str)]
    if not texts:
        raise UserError(f"{where} has no text; allowed are the fields {', '.join(FIELDS)}; rename one")
    return "\n".join(texts)


def corpus(name: str, memory: dict[str, Any], encode: Encode | None, spelling: str, vocab: int) -> Table:
    """The table of a corpus file, kept in `memory`; made at first use and then kept on disk too.

    `encode` and `spelling` are the model's, `vocab` its number of tokens. Raises UserError.
    """
    path = Path(name).expanduser()
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(
            f"corpus {name} is not there ({error.strerror}); give the path of a .txt, .jsonl or .npz file"
        ) from error
    key = f"table {path.resolve()} {stat.st_size} {stat.st_mtime_ns} {spelling} {vocab}"
    if key not in memory:
        if path.suffix not in SUFFIXES or not path.is_file():
            raise UserError(f"corpus {name} is no {', '.join(SUFFIXES)} file; give one of these")
        table = read(path) if path.suffix == ".npz" else _made(path, encode, spelling)
        _fits(table, name, spelling, vocab)
        memory[key] = table
    return memory[key]


def _made(path: Path, encode: Encode | None, spelling: str) -> Table:
    """The table of a text file, from the cache folder if it was made before."""
    if encode is None:
        raise UserError(f"corpus {path} is text and no tokenizer is there; give a .npz file of token ids")
    try:
        mark = hashlib.sha256(path.read_bytes() + f"{path.suffix} {spelling} {FORMAT}".encode()).hexdigest()
    except OSError as error:
        raise UserError(f"corpus {path} cannot be read ({error.strerror}); allow it or move it") from error
    kept = cache_folder() / "tables" / f"{path.stem}-{mark[:16]}.npz"
    if kept.is_file():
        with contextlib.suppress(UserError):  # a broken one is made again
            return read(kept)
    table = make(texts_of(path), encode, spelling)
    with contextlib.suppress(OSError):  # a folder that cannot be written only costs the time again
        kept.parent.mkdir(parents=True, exist_ok=True)
        save(table, kept)
    return table


def _fits(table: Table, name: str, spelling: str, vocab: int) -> None:
    if not (table.token >= 0).any():
        raise UserError(f"corpus {name} is empty; allowed is one word or more; write some text into it")
    if table.spelling != spelling:
        raise UserError(
            f"corpus {name} is of the tokenizer {table.spelling or 'without a name'}, not of this model's "
            f"{spelling or 'without a name'}; make it again from the text"
        )
    most = max(int(table.token.max()), int(table.after.max(initial=0)))
    if most >= vocab or table.token.min() < GAP or table.after.min(initial=0) < 0:
        seen = most if most >= vocab else int(min(table.token.min(), table.after.min(initial=0)))
        raise UserError(
            f"corpus {name} has the token {seen}; allowed is 0 to {vocab - 1}; make it again from the text"
        )
