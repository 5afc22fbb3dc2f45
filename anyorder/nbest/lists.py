"""N-best lists: read from any recogniser's JSON, and built as HyPoradise builds them (arXiv:2309.15701).

A line is one JSON object:

    {"id": "a1", "nbest": ["a text", {"text": "b text", "score": -3.2}], "reference": "a text"}

Recognisers name their fields differently; `ALIASES` is the one place that knows how.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from anyorder import jsonl
from anyorder.errors import UserError

EXAMPLE = Path(__file__).with_name("example.jsonl")  # made by us (`noise.py`); no recogniser wrote it
EMPTY = "<UNK>"  # stands for an empty hypothesis, so that a prompt has no hole
N = 5  # hypotheses of a list

ALIASES: dict[str, tuple[str, ...]] = {  # what we call a field -> what recognisers do; the first there counts
    "nbest": ("nbest", "n_best", "hypotheses", "hyps", "input", "output", "alternatives", "texts"),
    "scores": ("scores", "logprobs", "log_probs"),  # a list beside the texts
    "reference": ("reference", "ref", "output", "target", "truth", "transcription", "transcript", "sentence"),
    "id": ("id", "utt_id", "utt", "uttid", "key", "audio"),
    "text": ("rec_text", "text", "transcript", "hypothesis", "hyp", "sentence"),  # of one hypothesis
    "score": ("score", "logprob", "log_prob", "avg_logprob", "confidence"),  # of one hypothesis
}


class Hypothesis(NamedTuple):
    text: str
    score: float | None = None  # the recogniser's, larger is better
    place: int = 0  # in the list as it was given, from 0


@dataclass(frozen=True)
class NBest:
    """What a recogniser heard, best first."""

    id: str | int  # the line's number if it names none
    hypotheses: tuple[Hypothesis, ...]
    reference: str | None = None

    @staticmethod
    def of(texts: Iterable[str], reference: str | None = None, id: str | int = 1) -> NBest:
        """A list of texts without scores, as it is."""
        return NBest(id, tuple(Hypothesis(text, None, i) for i, text in enumerate(texts)), reference)

    @property
    def texts(self) -> list[str]:
        return [hypothesis.text for hypothesis in self.hypotheses]

    @property
    def scored(self) -> bool:
        return all(hypothesis.score is not None for hypothesis in self.hypotheses)


def said(text: str) -> str:
    """What a built hypothesis says: nothing, where it stands for an empty one."""
    return "" if text == EMPTY else text


def built(given: NBest, n: int = N, seed: int = 0) -> NBest:
    """Exactly `n` hypotheses: the first, then the next distinct ones that are not empty, then some of these
    again, drawn by seed and list alone. Spaces are single, and an empty first one is `<UNK>`."""
    first, *others = [h._replace(text=" ".join(h.text.split())) for h in given.hypotheses]
    distinct = {first.text: first}
    for hypothesis in others:
        if hypothesis.text:
            distinct.setdefault(hypothesis.text, hypothesis)
    kept = [h._replace(text=h.text or EMPTY) for h in distinct.values()][:n]
    chance = random.Random(f"{seed} {[h.text for h in kept]}")
    kept += [kept[int(chance.random() * len(kept))] for _ in range(n - len(kept))]
    return NBest(given.id, tuple(kept), given.reference)


def read(path: str | Path, n: int = N, seed: int = 0) -> list[NBest]:
    """The lists of a file of JSON lines, or of one JSON array; `-` is standard input. Raises UserError."""
    if n < 1:
        raise UserError(f"n is {n}; allowed is 1 or more; say how many hypotheses of a list count")
    text = _text(path)
    whole = text.lstrip().startswith("[")
    entries = _array(text, str(path)) if whole else _lines(text, str(path))
    lists = [built(_list(entry, place, where), n, seed) for place, where, entry in entries]
    if not lists:
        raise UserError(f"{path} is empty; allowed is one list or more; write a JSON line for each")
    return lists


def _text(path: str | Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"{path} cannot be read ({why}); give the path of a JSON lines file, or -") from error


def _array(text: str, path: str) -> Iterator[tuple[int, str, Any]]:
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"line {error.lineno} of {path} is not JSON ({error.msg}); allowed is one JSON object on each "
            "line, or one array of them; correct it"
        ) from error
    for place, entry in enumerate(entries, start=1):
        yield place, f"entry {place} of {path}", entry


def _lines(text: str, path: str) -> Iterator[tuple[int, str, Any]]:
    for place, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"line {place} of {path}"
            yield place, where, jsonl.entry(line, where)


def _list(entry: Any, place: int, where: str) -> NBest:
    if not isinstance(entry, dict):
        kind = type(entry).__name__
        raise UserError(f'{where} is a {kind}; allowed is one JSON object; write {{"nbest": [...]}}')
    given = _field(entry, "nbest", list)
    if given is None:
        there = ", ".join(map(str, entry)) or "none"
        raise UserError(
            f"{where} has the fields {there} and no list of hypotheses; allowed is a list under "
            f"{', '.join(ALIASES['nbest'])}; name it nbest"
        )
    if not given:
        raise UserError(f"{where} has an empty list of hypotheses; allowed is one or more; leave it out")
    scores = _field(entry, "scores", list)
    if scores is not None and len(scores) != len(given):
        raise UserError(f"{where} has {len(given)} hypotheses and {len(scores)} scores; give one for each")
    hypotheses = [_hypothesis(one, i, where) for i, one in enumerate(given)]
    for i, score in enumerate(scores or ()):
        hypotheses[i] = hypotheses[i]._replace(score=_number(score, where, i))
    return NBest(_id(entry, place), tuple(hypotheses), _reference(entry, given, where))


def _field(entry: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """The first of a field's names under which there is a value of this kind, or None."""
    values = (entry[alias] for alias in ALIASES[name] if alias in entry)
    return next((value for value in values if isinstance(value, kind)), None)


def _id(entry: Mapping[str, Any], place: int) -> str | int:
    found = _field(entry, "id", (str, int))
    return place if found is None else found


def _hypothesis(one: Any, i: int, where: str) -> Hypothesis:
    if isinstance(one, str):
        return Hypothesis(one, None, i)
    text = _field(one, "text", str) if isinstance(one, dict) else None
    if text is None:
        raise UserError(
            f"{where} has as hypothesis {i + 1} {json.dumps(one)[:60]}; allowed is a text, or an object with "
            f"a text under {', '.join(ALIASES['text'])}; correct it"
        )
    if "rec_text" in one and text is one["rec_text"]:  # ESPnet joins its pieces
        text = text.replace("<eos>", "").replace("\N{LOWER ONE EIGHTH BLOCK}", " ")
    score = next((one[alias] for alias in ALIASES["score"] if one.get(alias) is not None), None)
    return Hypothesis(text, None if score is None else _number(score, where, i), i)


def _number(score: Any, where: str, i: int) -> float:
    try:
        number = math.nan if isinstance(score, bool) else float(score)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(
            f"{where} has the score {json.dumps(score)[:60]} for hypothesis {i + 1}; allowed is a finite "
            "number, larger is better; correct it or leave it out"
        )
    return number


def _reference(entry: Mapping[str, Any], given: Sequence[Any], where: str) -> str | None:
    found = _field(entry, "reference", str)
    if found is None and isinstance(given[0], dict) and "rec_text" in given[0]:
        found = given[0].get("text")  # ESPnet puts it into each hypothesis
    if found is None and "reference" in entry and entry["reference"] is not None:
        kind = type(entry["reference"]).__name__
        raise UserError(f"{where} has a {kind} as reference; allowed is a text; correct it or leave it out")
    return found


def referenced(lists: Iterable[NBest]) -> list[NBest]:
    """Those that say what was really said."""
    return [one for one in lists if one.reference is not None]
