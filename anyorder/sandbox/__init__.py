"""The sandbox: programs that nobody has read, run to see whether they work.

>>> run("print(6 * 7)")
Outcome(kind='ok', said='', output='42\\n')
>>> run("assert 6 * 7 == 54, 'no'").said
'AssertionError: no (line 1)'

Each program is a fresh `python -I` in an empty temporary folder that is removed afterwards, with next to no
environment, limits on memory, processor time and files, and a session of its own that is killed as a whole.
What protects:

- Linux on x86-64 and arm64: a user and network namespace where the kernel grants one; seccomp against
  sockets, processes and signals; landlock (5.13 and later) against changing files outside of the folder.
- everywhere (macOS, other kernels): an audit hook that refuses the same from Python, and ctypes with it.

Files can be read. The walls stop mistakes and mischief, not somebody who knows a hole in the kernel: for
programs of an adversary use a virtual machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from anyorder.errors import UserError

JAIL = Path(__file__).with_name("jail.py")
OUTPUT = 1 << 16  # bytes of output that are kept
ANSWER = 1 << 24  # bytes of an answer
GRACE = 1.0  # seconds to start Python


class Outcome(NamedTuple):
    """What became of a program. `kind`: "ok" (it ran to its last line), "failed", "timeout" or "memory"."""

    kind: str
    said: str = ""  # failed: the last line of its traceback, or how it died
    output: str = ""  # what it printed, cut off

    @property
    def ok(self) -> bool:
        return self.kind == "ok"


def run(
    source: str,
    *,
    stdin: str = "",
    arguments: Sequence[str] = (),
    seconds: float = 5.0,
    memory_mb: int = 512,
) -> Outcome:
    """Run a program. `seconds` of wall time."""
    with tempfile.TemporaryDirectory(prefix="anyorder-", ignore_cleanup_errors=True) as folder:
        jail = Jail(folder, seconds, memory_mb, once=True)
        try:
            answer = jail.ask({"source": source, "stdin": stdin, "arguments": list(arguments)})
        finally:
            jail.end()
    kind, said = answer["kind"], answer.get("said", "")
    return Outcome(kind, said, jail.output.decode(errors="replace"))


class Jail:
    """A jailed process and the pipes to it."""

    def __init__(self, folder: str, seconds: float, memory_mb: int, once: bool = False):
        """`once`: for one program, whose output is kept. Raises UserError where there are no walls."""
        if os.name != "posix":
            raise UserError("the sandbox needs Linux or macOS; run this on one of them")
        self.seconds, self.output = seconds, b""
        answers, theirs = os.pipe()
        self.answers = answers
        how = [str(theirs), folder, str(memory_mb), f"{seconds:g}", "once" if once else "worker"]
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", str(JAIL), *how], cwd=folder, pass_fds=(theirs,),
                env={"TMPDIR": folder, "HOME": folder, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE if once else subprocess.DEVNULL,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(theirs)

    def ask(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer to a task; "timeout", or "failed" with how it died, if it gave none."""
        assert self.process.stdin is not None
        deadline = time.monotonic() + self.seconds + GRACE
        with contextlib.suppress(BrokenPipeError):  # it is dead; below it is seen how
            self.process.stdin.write((json.dumps(task) + "\n").encode())
            self.process.stdin.flush()
        said = self._read(deadline)
        if said.endswith(b"\n"):
            return dict(json.loads(said))
        if said or time.monotonic() >= deadline:
            return {"kind": "timeout"}
        code = self.process.wait()
        if -code == signal.SIGXCPU or -code == signal.SIGALRM:
            return {"kind": "timeout"}
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended itself with exit code {code}"
        return {"kind": "failed", "said": how}

    def _read(self, deadline: float) -> bytes:
        """The next line of its answers, or what there is of it when time is up or the process dead."""
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            if self.process.stdout is not None:
                selector.register(self.process.stdout, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    got = os.read(key.fd, OUTPUT)
                    if key.fd != self.answers:
                        self.output += got[: OUTPUT - len(self.output)]
                        if not got:
                            selector.unregister(key.fileobj)
                        continue
                    said += got
                    if not got or said.endswith(b"\n") or len(said) > ANSWER:
                        return said
        return said

    def end(self) -> None:
        """Kill it and whatever it started."""
        if self.answers >= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            self._rest()
            os.close(self.answers)
            self.answers = -1

    def _rest(self) -> None:
        """What it printed and nobody has read; and close the pipes."""
        for pipe in filter(None, (self.process.stdin, self.process.stdout)):
            with contextlib.suppress(OSError):
                if pipe is self.process.stdout:
                    os.set_blocking(pipe.fileno(), False)
                    self.output += os.read(pipe.fileno(), OUTPUT)[: OUTPUT - len(self.output)]
            with contextlib.suppress(OSError):
                pipe.close()


class Worker:
    """A function of a file in a jailed process that stays. One that hangs is killed and started anew."""

    def __init__(self, file: str, function: str, seconds: float = 10.0, memory_mb: int = 4096):
        self.file, self.function, self.seconds, self.memory_mb = file, function, seconds, memory_mb
        self.folder = tempfile.TemporaryDirectory(prefix="anyorder-", ignore_cleanup_errors=True)
        self._jail: Jail | None = None

    def __call__(self, texts: Sequence[str], prompt: str) -> list[float]:
        """What the function says of texts. Raises UserError for an error, a hang and too much memory."""
        if self._jail is None:
            self._jail = Jail(self.folder.name, self.seconds, self.memory_mb)
            self._ending = weakref.finalize(self, self._jail.end)
        task = {"file": self.file, "function": self.function, "texts": list(texts), "prompt": prompt}
        answer = self._jail.ask(task)
        if answer["kind"] == "ok":
            return list(answer["numbers"])
        self.close()
        raise UserError(self._sentence(answer))

    def _sentence(self, answer: Mapping[str, Any]) -> str:
        name = f"{Path(self.file).name}: {self.function}"
        said = answer.get("said", "")
        return {
            "timeout": f"{name} took more than {self.seconds:g} seconds and was killed; make it quicker or "
            "allow more seconds",
            "memory": f"{name} needs more than {self.memory_mb} MB; make it smaller or allow more memory",
            "missing": f"{Path(self.file).name} has no function {self.function!r}; its functions: {said}; "
            "choose one of these",
        }.get(answer["kind"], f"{name} gave no numbers, {said}; correct it")

    def close(self) -> None:
        """End the process; the next call starts another."""
        if self._jail is not None:
            self._ending()
            self._jail = None
