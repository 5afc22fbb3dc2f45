"""The child's side of the sandbox: run as a file by a fresh Python, never imported.

It reads one line of JSON for each task on standard input and answers with one line on the file descriptor
it was given, so that whatever a program prints cannot be taken for an answer.
"""

import json
import math
import os
import runpy
import signal
import sys
import traceback
from typing import Any

FRAMES = 2000  # letters of a message


def last_line(error: BaseException, file: str) -> str:
    """The last line of a traceback, and where in the file it was."""
    text = traceback.format_exception_only(error)[-1]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" (line {lines[-1]})" if lines else ""
    return " ".join(text.split())[:FRAMES] + where


def program(task: dict[str, Any]) -> dict[str, Any]:
    """Run a program to its end. One that ends itself, whatever its exit code, did not get there."""
    space = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        exec(compile(task["source"], "program", "exec"), space)
    except MemoryError:
        return {"kind": "memory"}
    except BaseException as error:
        return {"kind": "failed", "said": last_line(error, "program")}
    return {"kind": "ok"}


def function(task: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Call a function of a file, which is run before the first call."""
    file, name = task["file"], task["function"]
    try:
        if not known:
            sys.path.insert(0, os.path.dirname(file))
            known.update(runpy.run_path(file))
        if not callable(known.get(name)):
            there = ", ".join(k for k, v in known.items() if callable(v) and not k.startswith("_"))
            return {"kind": "missing", "said": there or "none"}
        answer = known[name](task["texts"], task["prompt"])
        try:
            return {"kind": "ok", "numbers": [float(x) for x in answer]}
        except (TypeError, ValueError):
            return {"kind": "failed", "said": f"it returned {answer!r:.200}"}
    except MemoryError:
        return {"kind": "memory"}
    except BaseException as error:
        return {"kind": "failed", "said": last_line(error, file)}


def main() -> None:
    answers, folder, memory_mb, seconds, once = int(sys.argv[1]), *sys.argv[2:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import walls

    del sys.path[0]
    sys.dont_write_bytecode = True
    tasks = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    patience = math.ceil(float(seconds)) + 1
    walls.build(folder, int(memory_mb), patience if once == "once" else 0)
    known: dict[str, Any] = {}
    for line in tasks:
        task = json.loads(line)
        if once == "once":
            sys.argv, rest = ["program", *task["arguments"]], task["stdin"]
            if rest:
                with open("stdin", "w+", encoding="utf-8") as file:
                    file.write(rest)
                    file.seek(0)
                    os.dup2(file.fileno(), 0)
        signal.alarm(patience)  # so that it does not outlive a parent that died
        answer = program(task) if once == "once" else function(task, known)
        signal.alarm(0)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.write(answers, (json.dumps(answer) + "\n").encode())


main()
