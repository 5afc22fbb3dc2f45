"""A function in a file of the user's: `score(texts, prompt)` returns one number for each text.

The file runs in a process of its own that stays for all calls: no network, no programs, nothing written
outside of an empty folder, and killed when it hangs (see `anyorder.sandbox`). It may import any library.
"""

from pathlib import Path

from anyorder.card import Card, Option, Setting
from anyorder.sandbox import Worker
from anyorder.scoring import Scorer, of_texts

CARD = Card(
    name="python",
    family="scorer",
    paper="",
    exact=False,
    summary="a function score(texts, prompt) of a file of yours, run in a sandbox",
    cost="",
    nets=(),
    options=(
        Option("file", "", "the Python file", needed=True, local=True),
        Option("function", "score", "its function"),
        Option("seconds", 10.0, "that a call may take; the first one runs the file", low=0.1, high=3600),
        Option("memory", 4096, "megabytes that the process may use", low=64),
    ),
)


def python(setting: Setting, file: str, function: str, seconds: float, memory: int) -> Scorer:
    path = Path(file).expanduser().resolve()
    if not file or not path.is_file():
        raise ValueError(f"python got file={file!r}, which is not there; give the path of a Python file")
    key = f"scorer python {path} {path.stat().st_mtime_ns} {function} {seconds} {memory}"
    if key not in setting.memory:  # the process outlives a request
        setting.memory[key] = Worker(str(path), function, seconds, memory)
    return of_texts(setting.memory[key], setting, f"{path.name}: {function}", float("inf"))
