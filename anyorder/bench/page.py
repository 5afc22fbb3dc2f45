"""The page report.html: tables, plots and recorded runs to replay, in one file that asks nobody for more.

The viewer is the playground's own: its modules are put into one script, each in a function that returns what
it exports, because a page opened from a disk may not import files.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anyorder.bench import report
from anyorder.bench.replays import Replay

FILES = Path(__file__).parent.parent / "server" / "page"
IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
TIMES = {
    True: "Each was recorded once more after measuring; its steps take the time of the measured run.",
    False: "Each was recorded after measuring, alone, so its speed is not the table's.",
}


def page(said: Mapping[str, Any], plots: Sequence[Path], runs: Sequence[Replay]) -> str:
    """The page. `plots`: PNG files, which become part of it."""
    title = html.escape(f"{said['model']}, {said['precision']}")
    parts = [_head(title), _summary(said, title)]
    boxes = [_panel(name, _table(lines, left)) for name, lines, left in report.tables(said)]
    boxes[1:1] = [_plot(plot) for plot in plots]
    first, rest = boxes[:2], boxes[2:]
    parts += [_panels(first), *([_viewer(said, runs)] if runs else []), *([_panels(rest)] if rest else [])]
    parts += ["</main>", f"<script>{_inside(script('report'))}</script>", "</body>", "</html>", ""]
    return "\n".join(parts)


def _head(title: str) -> str:
    style = (FILES / "style.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>anyorder bench: {title}</title>
<style>{_inside(style)}</style>
</head>
<body>
<header class="top">
<h1>anyorder <span>bench</span></h1>
<p class="model">{title}</p>
<nav aria-label="Page"><button id="theme" type="button" aria-label="Light or dark">◐</button></nav>
</header>
<main>"""


def _summary(said: Mapping[str, Any], title: str) -> str:
    end = f"Commit {said['commit'] or 'unknown'}, seed {said['seed']}, repeats {said['repeat']}."
    words = [report.setting(said) + ".", *(note + "." for note in report.notes(said)), end]
    inside = "".join(f"<p>{html.escape(text)}</p>" for text in words)
    return _panel(title, f"{inside}<pre>{html.escape(said['command'])}</pre>", escaped=True)


def _panel(title: str, inside: str, escaped: bool = False) -> str:
    name = title if escaped else html.escape(title or "Methods")
    return f'<section class="panel"><h2>{name}</h2>{inside}</section>'


def _panels(panels: Sequence[str]) -> str:
    return f'<div class="panels">{"".join(panels)}</div>'


def _table(lines: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """`left`: columns of words; the first line is the head."""

    def row(tag: str, cells: Sequence[str]) -> str:
        kinds = [' class="word"' if i in left else "" for i in range(len(cells))]
        return "".join(f"<{tag}{k}>{html.escape(cell)}</{tag}>" for k, cell in zip(kinds, cells))

    body = "".join(f"<tr>{row('td', line)}</tr>" for line in lines[1:])
    return f"<table><thead><tr>{row('th', lines[0])}</tr></thead><tbody>{body}</tbody></table>"


def _plot(file: Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    name = {"bench": "Speed-up", "quality": "Quality", "forwards": "Quality and forwards"}[file.stem]
    return _panel(name, f'<img src="data:image/png;base64,{data}" alt="Plot: the table\'s figures">')


def _viewer(said: Mapping[str, Any], runs: Sequence[Replay]) -> str:
    # "<" inside JSON is only ever in strings, where < means the same and ends no script
    data = json.dumps([run._asdict() for run in runs], separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<section class="panel"><h2>Replay</h2><p class="about">{TIMES[said["batch"] == 1]}</p>'
        f'<div id="viewer"></div></section>\n<script type="application/json" id="traces">{data}</script>'
    )


def script(name: str) -> str:
    """A module and all it imports as one script."""
    made: dict[str, str] = {}

    def take(name: str) -> None:
        if name in made:
            return
        text = (FILES / f"{name}.js").read_text(encoding="utf-8")
        for found in IMPORT.finditer(text):
            take(found[2])
        body = EXPORT.sub(r"\1", IMPORT.sub(r"const \1 = \2_;\n", text))
        exports = ", ".join(found[2] for found in EXPORT.finditer(text))
        made[name] = f"const {name}_ = (() => {{\n{body}return {{ {exports} }};\n}})();\n"

    take(name)
    return '"use strict";\n' + "".join(made.values())


def _inside(code: str) -> str:
    """Code that may stand in an element of the page."""
    assert "</" not in code.lower(), "the page's own files close no element"
    return code
