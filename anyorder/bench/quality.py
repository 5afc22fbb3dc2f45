"""Quality: whether texts are right, for suites that come with answers. Judged when all is measured.

- "exact match" (GSM8K): the number that the text ends with is the answer's. It is the one behind ####, or
  else the last one; commas, dollars and percents do not count.
- "pass@1" (HumanEval): prompt and text, up to the first statement behind the function, pass the problem's
  tests in the sandbox (`anyorder.sandbox`).
- "valid answers" (ParallelBench): the task's own judge accepts the text; strictly judged beside it.

A row's quality is the share of its prompts that are right, over all repeats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from typing import Any

from anyorder.bench.parallelbench.figures import decoding
from anyorder.bench.parallelbench.metrics import edit_agreement, policies
from anyorder.bench.record import Measured
from anyorder.bench.suites import EXACT, PASS, VALID, Prompt
from anyorder.errors import UserError
from anyorder.sandbox import run
from anyorder.scorers.source import begun, first_function

Spell = Callable[[list[int]], str]
ABREAST = 2  # programs side by side
SECONDS = 5.0  # that a program may run
NUMBER = re.compile(r"(?:(?<![\w)])-)?(?:\d[\d,]*)?\.?\d+")


def number(text: str) -> float | None:
    """The number that a text ends with.

    >>> number("So 3 * 400 = 1,200 dollars.\\n#### $1,200"), number("It is 7.50."), number("none")
    (1200.0, 7.5, None)
    """
    marked = re.search(r"####\s*\$?\s*(" + NUMBER.pattern + ")", text)
    found = [marked[1]] if marked else NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def matches(prompt: Prompt, text: str) -> bool:
    """Whether a text ends with the number of the answer."""
    for stop in prompt.stop:  # peers write on
        text = text.partition(stop)[0]
    return number(text) is not None and number(text) == number(prompt.answer)


def passes(prompt: Prompt, text: str) -> bool:
    """Whether a function passes its tests."""
    return run(f"{begun(prompt.text)}{first_function(text)}\n{prompt.answer}", seconds=SECONDS).ok


def valid(prompt: Prompt, text: str) -> bool:
    """Whether a text is a right answer."""
    return prompt.judge is not None and prompt.judge(text)


def strictly_valid(prompt: Prompt, text: str) -> bool:
    """Whether a text is a right answer and nothing besides."""
    return prompt.strict is not None and prompt.strict(text)


Measures = Mapping[str, Callable[[Prompt, str], bool]]
MEASURES: Measures = {EXACT: matches, PASS: passes, VALID: valid}
STRICT: Measures = {VALID: strictly_valid}


def check(prompts: Sequence[Prompt]) -> None:
    """Refuse what could not be judged before it is measured. Raises UserError."""
    if any(prompt.measure == PASS for prompt in prompts) and not (outcome := run("")).ok:
        said = outcome.said or outcome.kind
        raise UserError(
            f"the suite's programs cannot be judged, the sandbox failed ({said}); take out their tests"
        )
    if any(prompt.measure == VALID for prompt in prompts):
        edit_agreement([[0]], [[0]])  # says what to install, if anything


def judged(measured: Measured, spell: Spell, measures: Measures = MEASURES) -> dict[tuple[str, int], float]:
    """(row, prompt) -> the share of repeats whose text is right, for prompts that have such an answer."""
    written: dict[tuple[str, int], list[str]] = {}
    for take in measured.takes:
        for prompt, tokens in zip(take.prompts, take.run.tokens, strict=True):
            if measured.prompts[prompt].measure in measures:
                written.setdefault((take.label, prompt), []).append(spell(tokens))
    each = list({(prompt, text) for (_, prompt), texts in written.items() for text in texts})

    def right(one: tuple[int, str]) -> bool:
        prompt = measured.prompts[one[0]]
        return measures[prompt.measure](prompt, one[1])

    with ThreadPoolExecutor(ABREAST) as pool:
        verdict = dict(zip(each, pool.map(right, each), strict=True))
    return {
        (label, prompt): sum(verdict[prompt, text] for text in texts) / len(texts)
        for (label, prompt), texts in written.items()
    }


def figures(measured: Measured, label: str) -> dict[str, Any]:
    """What a row's JSON says of its quality; nothing where the suite has no answers."""
    mine = {prompt: share for (row, prompt), share in measured.right.items() if row == label}
    if not mine:
        return {}
    kinds = {measured.prompts[prompt].measure for prompt in mine}
    found: dict[str, Any] = {
        "quality": round(_mean(mine.values()), 4),
        "quality_of": " and ".join(sorted(kinds)), "judged": len(mine),
    }  # fmt: skip
    if VALID not in kinds:
        return found
    by: dict[str, list[float]] = {}
    for prompt, share in mine.items():
        by.setdefault(measured.prompts[prompt].category, []).append(share)
    strict = [share for (row, _), share in measured.strict.items() if row == label]
    found |= {"strict": round(_mean(strict), 4)} if strict else {}
    return found | {
        "quality_by": {name: round(_mean(shares), 4) for name, shares in by.items()},
        **decoding(measured.takes, measured.entries[0].label, label),
    }


def _mean(shares: Iterable[float]) -> float:
    each = list(shares)
    return sum(each) / len(each)


# for the report ---------------------------------------------------------------------------------------------

HEAD = ("method", "quality", "±", "runs", "cells", "tokens")


def error(row: Mapping[str, Any]) -> float:
    """The standard error of a share of so many prompts, as if one more were right and one more wrong: none of
    six does not mean never."""
    count = row["judged"]
    share = (row["quality"] * count + 1) / (count + 2)
    return sqrt(share * (1 - share) / count)


def table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Quality beside what it cost, for each prompt; the head alone where nothing was judged."""
    lines = [list(HEAD)]
    for row in rows:
        if "quality" in row:
            runs, cells, count = row["runs"], row["cells"], row["prompts"]
            fed = "" if cells is None else f"{cells / count:.0f}"
            tokens = "" if not row["tokens_per_run"] else f"{row['tokens_per_run'] * runs / count:.0f}"
            share, off = f"{row['quality']:.1%}", f"{error(row):.1%}"
            lines.append([row["method"], share, off, f"{runs / count:.0f}", fed, tokens])
    return lines


def by_task(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Quality by task: a head with the methods, then the tasks; nothing but the head for other suites."""
    told = [row for row in rows if "quality_by" in row]
    lines = [["task", *(row["method"] for row in told)]]
    for name in told[0]["quality_by"] if told else ():
        lines.append([name, *(f"{row['quality_by'].get(name, 0):.1%}" for row in told)])
    return lines


FIGURES = {  # of ParallelBench: column -> figure, how it is written
    "strict": ("strict", "{:.1%}"), "forwards": ("forwards", "{:.2f}"),
    "tok/forward": ("tokens_per_forward", "{:.2f}"), "cells/tok": ("fed_per_token", "{:.1f}"),
    "agreement": ("agreement", "{:.1%}"), "edits": ("edit_agreement", "{:.1%}"),
}  # fmt: skip


def decodings(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """What valid answers cost: the head alone for other suites."""
    lines = [["method", "quality", *FIGURES]]
    for row in rows:
        if "agreement" in row:
            told = [form.format(row[key]) if key in row else "" for key, form in FIGURES.values()]
            lines.append([row["method"], f"{row['quality']:.1%}", *told])
    return lines


def frontier(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each policy the most tokens a forward at 80 and at 90 percent, and the area under its points."""
    lines = [["policy", "settings", "PB80", "PB90", "AUP"]]
    for one in policies(rows):
        most = ["never" if one[f"pb{x}"] is None else f"{one[f'pb{x}']:.2f}" for x in (80, 90)]
        lines.append([one["policy"], str(one["settings"]), *most, f"{one['aup']:.1f}"])
    return lines


Tables = dict[str, tuple[Callable[[Sequence[Mapping[str, Any]]], list[list[str]]], bool]]
TABLES: Tables = {  # title -> table, whether its columns are methods
    "quality by task": (by_task, True),
    "what valid answers cost; agreement is with the first row": (decodings, False),
    "policies over all their settings: tokens a forward at a quality (PBx), accuracy under parallelism (AUP)":
    (frontier, False),
}  # fmt: skip


def title(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the table shows."""
    of = next(row for row in rows if "quality" in row)
    return (
        f"quality: {of['quality_of']}, {of['judged']} prompts, ± its standard error; runs, cells fed and "
        "tokens written, of the target for each prompt"
    )
