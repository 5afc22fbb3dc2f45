"""What an audit says: JSON for programs, a table and the places of every bug for people, two files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyorder.audit.ties import FACTOR
from anyorder.audit.verdict import MOST_TV, UNCHECKED, Found, Greedy, Sampling, Verdict

if TYPE_CHECKING:
    from rich.console import Console

HEAD = ("method", "claims", "laws", "greedy texts", "drawn texts", "law of draws", "one seed", "verdict")
SHOWN = 5  # places of a method that are told to people; JSON has all
DASH = "-"
MEANING = f"""\
**laws**: the eight of `anyorder.testing`, on toy nets. **greedy texts**: equal ones, by decoding them again
one cell at a time; a tie is a place where two tokens are within {FACTOR:g} times the measured noise of
rounding. **drawn texts**: the same with a seed, where the method promises it. **law of draws**: total
variation by enumeration (tv), and the p-value of a test of all drawn tokens (p)."""


def figures(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """One object for each method."""
    return [verdict.figures() for verdict in verdicts]


def texts(part: Greedy | None, claims: bool = True) -> str:
    """How many texts are equal, and what was found in the others; where nothing is claimed, no bugs."""
    if part is None:
        return DASH
    found = [f"{part.equal}/{part.prompts}"]
    for name, count in (("tie", part.ties), ("bug" if claims else "difference", part.bugs)):
        if count:
            found.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " + ".join(found)


def law(part: Sampling | None) -> str:
    """How far the draws are from their law."""
    if part is None:
        return DASH
    said = [] if part.tv is None else ["tv 0" if part.tv <= MOST_TV else f"tv {part.tv:.1g}"]
    said += [] if part.p_value is None else [f"p {part.p_value:.2g}"]
    return ", ".join(said) or DASH


def cells(verdict: Verdict, checked: bool) -> list[str]:
    """One line of the table. `checked`: laws were applied."""
    draws = verdict.sampling
    broken = ", ".join(map(str, sorted(verdict.laws)))
    seed = None if draws is None else draws.same_seed
    return [
        verdict.method, "exact" if verdict.claims else "nothing",
        f"broken: {broken}" if broken else "hold" if checked else DASH,
        texts(verdict.greedy, verdict.claims), texts(draws.texts if draws else None), law(draws),
        DASH if seed is None else "one text" if seed else "two texts", verdict.verdict,
    ]  # fmt: skip


def place(found: Found) -> str:
    """A divergence in words."""
    expected, emitted = (
        "the end" if token.id is None and not token.text else f"{token.text!r}"
        for token in (found.expected, found.emitted)
    )
    there = f"prompt {found.prompt}, token {found.position}: {emitted} instead of {expected}"
    if found.margin is None or found.noise is None:
        return f"{there} ({found.verdict})"
    return f"{there}, margin {found.margin:.4g}, noise {found.noise:.4g} ({found.verdict})"


def details(verdict: Verdict) -> list[str]:
    """What was found against a method: the reason, broken laws, places. Empty if nothing was."""
    draws = verdict.sampling
    lines = [verdict.why] if verdict.why else []
    lines += [verdict.laws[number] for number in sorted(verdict.laws)]
    for name, part in (("greedy", verdict.greedy), ("drawn", draws.texts if draws else None)):
        places = sorted(part.divergences, key=lambda one: one.verdict == "tie") if part else []
        lines += [f"{name}: {place(one)}" for one in places[:SHOWN]]
        if len(places) > SHOWN:
            lines.append(f"{name}: and {len(places) - SHOWN} more, see audit.json")
    return lines


def summary(verdicts: Sequence[Verdict]) -> str:
    """One sentence."""
    claims = [verdict for verdict in verdicts if verdict.claims]
    broken = [verdict.method for verdict in claims if verdict.alarm]
    if broken:
        return f"{len(broken)} of {len(claims)} methods that claim to be exact are not: {', '.join(broken)}"
    unknown = sum(verdict.verdict == UNCHECKED for verdict in claims)
    rest = f", of which {unknown} could not be checked" if unknown else ""
    return f"no claim is broken: {len(claims)} methods say that they are exact{rest}"


def show(verdicts: Sequence[Verdict], console: Console, title: str, checked: bool = True) -> None:
    """Print the table, and below it what was found."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="")
    for name in HEAD:
        table.add_column(name, overflow="fold", min_width=len(name) if name == HEAD[-1] else None)
    for verdict in verdicts:
        table.add_row(*cells(verdict, checked))
    console.print(table)
    for verdict in verdicts:
        for line in details(verdict):
            console.print(f"{verdict.method}: {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(summary(verdicts), markup=False, highlight=False, soft_wrap=True)


def markdown(verdicts: Sequence[Verdict], title: str, about: Mapping[str, Any], checked: bool = True) -> str:
    """The page audit.md."""
    table = [HEAD, ["---"] * len(HEAD), *(cells(verdict, checked) for verdict in verdicts)]
    lines = [f"# {title}", "", summary(verdicts) + ".", "", "```", str(about["command"]), "```", ""]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in table]
    lines += ["", MEANING]
    for verdict in verdicts:
        if found := details(verdict):
            lines += ["", f"## {verdict.method}", "", *(f"- {line}" for line in found)]
    return "\n".join([*lines, ""])


def write(
    verdicts: Sequence[Verdict], folder: Path, title: str, about: Mapping[str, Any], checked: bool = True
) -> list[Path]:
    """audit.json and audit.md. `about`: what was asked, the command among it."""
    files = [folder / "audit.json", folder / "audit.md"]
    said = {"rows": figures(verdicts), **about, "tie_factor": FACTOR}
    files[0].write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    files[1].write_text(markdown(verdicts, title, about, checked), encoding="utf-8")
    return files
