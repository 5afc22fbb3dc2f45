"""Prompt suites: our own `quick` set, or a file in the format of Spec-Bench, GSM8K or HumanEval.

The format is recognised from the first line. Of a conversation only the first turn is used. HumanEval prompts
are code to continue, so they go to the model without a chat template. A small model seldom ends an answer to
GSM8K with the number that is asked for; `FILE#steps` puts three problems with their solutions, written for
this purpose, before each, without a chat template, and ends the text where a next problem would begin. A chat
model that sees HumanEval's code bare likes to write a fence; `FILE#fenced` puts the code behind an open one,
without the last line break, and ends the text where the function does.

`parallelbench` is drawn, not read (`anyorder.bench.parallelbench`): questions in words for the shipped
diffusion model, else in text; `parallelbench#words` and `parallelbench#text` choose, and `parallelbench#long`
asks the lists in words on canvases 8 times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anyorder import jsonl
from anyorder.bench import parallelbench
from anyorder.errors import UserError

QUICK = Path(__file__).with_name("quick.jsonl")
SUITES = {"quick": QUICK}
DRAWN = "parallelbench"
WORDS = "list-diffusion"  # the model that is asked in words
STEPS = Path(__file__).with_name("steps.txt")
EXACT, PASS, VALID = "exact match", "pass@1", "valid answers"
BEHIND = ("\ndef", "\nclass", "\nif", "\nprint", "\n#", "\n@", "\nimport", "\nfrom", "\n```")  # a function


@dataclass(frozen=True)
class Prompt:
    """One thing to be answered or continued."""

    id: str
    category: str
    text: str
    chat: bool = True  # put into the model's chat template
    measure: str = ""  # how texts are judged: EXACT, PASS, VALID or, where no answer is known, not at all
    answer: str = ""  # what a right text ends with, or the program that tests it
    stop: tuple[str, ...] = ()  # where the text ends besides
    cells: int = 0  # most tokens that an answer may take; 0: as many as are asked for
    judge: Callable[[str], bool] | None = None  # of VALID: whether a text is a right answer
    strict: Callable[[str], bool] | None = None  # of VALID: and nothing besides


def _spec_bench(line: Mapping[str, Any], number: int) -> Prompt:
    turns = line["turns"]
    if not isinstance(turns, list) or not turns:
        raise ValueError("turns is not a list of one text or more")
    return Prompt(str(line["question_id"]), _text(line, "category"), _text(dict(enumerate(turns)), 0))


def _gsm8k(line: Mapping[str, Any], number: int) -> Prompt:
    _, mark, answer = str(line.get("answer")).rpartition("####")
    known = (EXACT, answer.strip()) if mark else ("", "")
    return Prompt(str(number), "gsm8k", _text(line, "question"), True, *known)


def _humaneval(line: Mapping[str, Any], number: int) -> Prompt:
    known = ("", "")
    if isinstance(line.get("test"), str) and isinstance(line.get("entry_point"), str):
        known = (PASS, f"{line['test']}\ncheck({line['entry_point']})\n")
    return Prompt(str(line["task_id"]), "humaneval", _text(line, "prompt"), False, *known)


def _with_steps(prompt: Prompt) -> Prompt:
    """A GSM8K problem behind solved ones."""
    text = f"{STEPS.read_text(encoding='utf-8')}Question: {prompt.text}\nAnswer:"
    return replace(prompt, text=text, chat=False, stop=("\nQuestion:",))


def _fenced(prompt: Prompt) -> Prompt:
    """A HumanEval problem behind an open fence."""
    return replace(prompt, text=f"```python\n{prompt.text.rstrip()}", stop=BEHIND)


def _text(line: Mapping[Any, Any], key: Any) -> str:
    value = line[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{'turn' if key == 0 else key} is {value!r}, which is no text")
    return value


FORMATS: dict[tuple[str, ...], Callable[[Mapping[str, Any], int], Prompt]] = {
    ("question_id", "category", "turns"): _spec_bench,
    ("question", "answer"): _gsm8k,
    ("task_id", "prompt"): _humaneval,
}
FORMS: dict[tuple[str, Any], Callable[[Prompt], Prompt]] = {
    ("steps", _gsm8k): _with_steps,
    ("fenced", _humaneval): _fenced,
}
KNOWN = "Spec-Bench (question_id, category, turns), GSM8K (question, answer) and HumanEval (task_id, prompt)"


def read_suite(name: str, first: int | None = None, model: str = "") -> list[Prompt]:
    """The prompts of a suite, the `first` of each category if that is given. `model`: who will be asked.
    Raises UserError."""
    file, mark, form = name.rpartition("#")
    if DRAWN in (name, file):
        return _drawn((form if mark else "") or ("words" if Path(model).name == WORDS else "text"), first)
    shown = file if mark and not Path(name).expanduser().exists() else name
    path = SUITES.get(shown) or Path(shown).expanduser()
    prompts: list[Prompt] = []
    make: Callable[[Mapping[str, Any], int], Prompt] | None = None
    for number, line in enumerate(_lines(path, name), start=1):
        if line.strip():
            entry = _entry(line, number, name)
            make = make or _format(entry, name)
            prompts.append(_prompt(make, entry, number, name))
    if not prompts:
        raise UserError(f"suite {name} is empty; allowed is one prompt or more; write a JSON line for each")
    if shown != name:
        if (form, make) not in FORMS:
            raise UserError(
                f"suite {name} asks for #{form}; allowed are #steps of a file like GSM8K and #fenced of one "
                "like HumanEval; leave it out"
            )
        prompts = [FORMS[form, make](prompt) for prompt in prompts]
    seen: dict[str, int] = {}
    chosen = []
    for prompt in prompts:
        seen[prompt.category] = seen.get(prompt.category, 0) + 1
        if first is None or seen[prompt.category] <= first:
            chosen.append(prompt)
    return chosen


def _drawn(form: str, count: int | None) -> list[Prompt]:
    """ParallelBench's problems."""
    return [
        Prompt(
            f"{one.task}/{i}", one.task, one.prompt, True, VALID, one.answer,
            cells=one.cells, judge=one.judge, strict=one.strict,
        )
        for i, one in enumerate(parallelbench.suite(form, count=count), start=1)
    ]  # fmt: skip


def _lines(path: Path, name: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        known = ", ".join([*SUITES, DRAWN])
        raise UserError(f"suite {name} is not there; allowed is {known} or the path of a file") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"suite {name} cannot be read ({why}); give the path of a JSON lines file") from error


def _entry(line: str, number: int, name: str) -> Mapping[str, Any]:
    entry = jsonl.entry(line, f"line {number} of suite {name}")
    if not isinstance(entry, dict):
        kind = type(entry).__name__
        raise UserError(f"line {number} of suite {name} is a {kind}; a line is one JSON object; correct it")
    return entry


def _format(entry: Mapping[str, Any], name: str) -> Callable[[Mapping[str, Any], int], Prompt]:
    for keys, make in FORMATS.items():
        if all(key in entry for key in keys):
            return make
    found = ", ".join(map(str, entry)) or "none"
    raise UserError(f"suite {name} has lines with the keys {found}; allowed are {KNOWN}; convert it")


def _prompt(
    make: Callable[[Mapping[str, Any], int], Prompt], entry: Mapping[str, Any], number: int, name: str
) -> Prompt:
    try:
        return make(entry, number)
    except KeyError as error:
        raise UserError(
            f"line {number} of suite {name} has no {error.args[0]!r}; it needs the keys of line 1; correct it"
        ) from error
    except ValueError as error:
        raise UserError(f"line {number} of suite {name} is broken: {error}; correct it") from error
