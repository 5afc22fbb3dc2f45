"""Law 8: the cost on a card is a sentence that can be checked.

It begins with `[up to] N [target] run(s) per UNIT`: N a number, or an expression over the options in
backquotes, UNIT a token, commit, step (the same as a commit), cell or block. It may go on with
`, [up to] EXPRESSION cell(s)`, cells of one run over the options' names; `cell each` means per run, and
`per live hypothesis` multiplies by the live rows.

>>> "1 target run per commit, up to 1 + nodes cells"
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from anyorder.core.types import Commit, Tree
from anyorder.testing.record import Record
from anyorder.testing.subject import PROMPTS, Subject

RUNS = re.compile(r"(up to )?(\d+|`[\w+*() -]+`) (?:target )?runs? per (token|commit|step|cell|block)\b")
CELLS = re.compile(r", (up to )?([\w+*() -]+?) cells?( each| per live hypothesis)?(?=$|[,;])")
ROWS = re.compile(r"\w+")


def cost_as_stated(tested: Subject) -> str:
    """Law 8. Runs are held against the sentence, cells fed against it and against the lines that are new."""
    runs = RUNS.match(tested.card.cost)
    assert runs, f"the cost {tested.card.cost!r} does not begin like '1 target run per commit'"
    each = _number(runs[2].strip("`"), tested)
    cells = CELLS.match(tested.card.cost, runs.end())
    for prompt in PROMPTS:
        for greedy in tested.ways:
            record = tested.run(prompt, 9, greedy=greedy)
            _check_runs(record, runs[3], each, bool(runs[1]))
            if tested.card.canvas == "row":
                _check_lines(record)
                if cells and "`" not in cells[2] and not cells[2].startswith("the "):
                    _check_cells(record, _number(cells[2], tested), bool(cells[1]), cells[3] or "")
    return f"runs per {runs[3]}{f', {cells[0][2:]}' if cells else ''}"


def _number(expression: str, tested: Subject) -> int:
    """The value of a sum or product of option names and numbers."""
    known = {name: value for name, value in tested.options.items() if isinstance(value, int)}
    unknown = [word for word in ROWS.findall(expression) if not word.isdigit() and word not in known]
    assert not unknown, f"the cost speaks of {unknown}; allowed are the options {sorted(known)}"
    return int(eval(expression, {"__builtins__": {}}, known))


def _check_runs(record: Record, unit: str, each: int, most: bool) -> None:
    found = record.request.runs.get("target", 0)
    canvas = record.canvas
    units = {
        "token": max(map(len, record.texts)),
        "commit": len(record.commits),
        "step": len(record.commits),
        "cell": canvas.budget,
        "block": len(canvas.blocks()),
    }[unit]
    if unit == "block":  # an option of 0 stands for one run per cell of the block
        cells = [len(block) for block in canvas.blocks()]
        assert found == sum(min(each, n) if each else n for n in cells), f"{found} runs for blocks of {cells}"
    elif most:
        assert found <= each * units, f"{found} runs for {units} {unit}s, up to {each} each are stated"
    else:
        assert found == each * units, f"{found} runs for {units} {unit}s, {each} each are stated"


def _check_lines(record: Record) -> None:
    """Each wanted line is one new cell, except that guesses with equal paths may share theirs; the first run
    adds the rest of the prompt, and a run after a commit those of its tokens that were not guessed."""
    runs = [(ask, answer) for ask, answer in record.answers if ask.net == "target"]
    asks = [(ask, answer) for ask, answer in runs if ask.at is None]
    for i, ((ask, answer), late) in enumerate(zip(asks, _unguessed(record), strict=True)):
        fed = answer.cells - (record.canvas.prompt - 1 if answer is runs[0][1] else 0)
        paths = [[tuple(r.tree.path(n)) for n in range(ask.skip - 1, len(r.tree))] for r in answer.rows]
        least, most = sum(len(set(p)) for p in paths), sum(map(len, paths)) + late
        assert least <= fed <= most, f"run {i} was fed {fed} new cells for {most} lines"


def _unguessed(record: Record) -> list[int]:
    """For each run of the target: tokens of the text before the last that no run has read, neither as text
    nor as guesses."""
    answers = iter(record.answers)
    written = iter(record.written)
    pending = [1]  # tokens of each row not read yet
    trees: dict[int, list[Tree]] = {}  # what was guessed behind each row since the last commit
    late: list[int] = []
    for step in record.steps:
        if isinstance(step, Commit):
            parents = step.parents or range(len(pending))
            pending = [
                pending[p] + len(token) - (0 if pending[p] else _read(trees.get(p, ()), token))
                for p, token in zip(parents, next(written).token, strict=True)
            ]
            trees = {}
            continue
        for one in step if isinstance(step, tuple) else (step,):
            ask, answer = next(answers, (one, None))
            if answer is None or ask.net != "target" or ask.at is not None:
                continue  # another net's, or a request that ended before it was answered
            late.append(sum(max(0, pending[lines.row] - 1) for lines in answer.rows))
            for lines in answer.rows:
                pending[lines.row] = 0
                trees.setdefault(lines.row, []).append(lines.tree)
    return late


def _read(trees: Sequence[Tree], token: Sequence[int]) -> int:
    """How many of the tokens were guessed one after the other."""
    paths = {tuple(tree.path(i)) for tree in trees for i in range(len(tree))}
    return next((n for n in range(len(token)) if tuple(token[: n + 1]) not in paths), len(token))


def _check_cells(record: Record, stated: int, most: bool, way: str) -> None:
    asks = [answer for ask, answer in record.answers if ask.net == "target"]
    for i, answer in enumerate(asks):
        fed = answer.cells - (record.canvas.prompt - 1 if i == 0 else 0)
        allowed = stated * (len(answer.rows) if "live" in way else 1)
        assert fed == allowed or (most and fed <= allowed), (
            f"run {i} was fed {fed} cells, {stated}{way} stated"
        )
