"""The sandbox: what programs may, what they may not, and what is said of those that try."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from anyorder.errors import UserError
from anyorder.sandbox import OUTPUT, Worker, run

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="walls of Linux")


def test_a_program_that_works():
    outcome = run("import sys\nprint(sys.stdin.read(), sys.argv[1:])", stdin="in\n", arguments=["a", "b"])
    assert outcome == ("ok", "", "in\n ['a', 'b']\n")
    assert outcome.ok


@pytest.mark.parametrize(
    "source, said",
    [
        ("x = 1\nassert x == 2, 'no'", "AssertionError: no (line 2)"),
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(0)", "SystemExit: 0 (line 2)"),  # it did not reach its end
        ("import os\nos._exit(0)", "ended itself with exit code 0"),
        ("import os\nos._exit(3)", "ended itself with exit code 3"),
        ("import os\nos.abort()", "died of SIGABRT"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded (line 1)"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines (line 1)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (line 1)"),
    ],
)
def test_a_program_that_fails(source, said):
    assert run(source) == ("failed", said, "")


@pytest.mark.parametrize(
    "source",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    ],
)
def test_a_program_that_hangs_is_killed(source):
    start = time.monotonic()
    assert run(source, seconds=0.2).kind == "timeout"
    assert time.monotonic() - start < 5


@LINUX
def test_a_program_that_takes_all_memory():
    assert run("x = [0]\nwhile True: x += x", memory_mb=200).kind == "memory"
    assert run("x = bytearray(100 << 20)", memory_mb=64).kind == "memory"
    assert run("x = bytearray(100 << 20)", memory_mb=512).ok


def test_a_flood_is_cut_off():
    outcome = run("for i in range(20000): print('x' * 1000)")
    assert (outcome.kind, len(outcome.output)) == ("ok", OUTPUT)
    endless = run("while True: print('x' * 1000, flush=True)", seconds=0.2)
    assert (endless.kind, len(endless.output)) == ("timeout", OUTPUT)


def test_there_is_no_network():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.1)
        port = server.getsockname()[1]
        source = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)"
        outcome = run(source)
        assert outcome.kind == "failed"
        assert "PermissionError: socket" in outcome.said
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    "act",
    [
        "os.fork()", "os.system('touch x')", "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})", "subprocess.run(['true'])", "os.kill(PARENT, 0)",
    ],
)  # fmt: skip
def test_there_are_no_other_processes(act):
    outcome = run(f"import os, subprocess\nPARENT = {os.getpid()}\n{act}")
    assert outcome.kind == "failed"
    assert "PermissionError" in outcome.said


@pytest.mark.parametrize(
    "act",
    [
        "open({!r}, 'w')", "open({!r}, 'r+')", "os.remove({!r})", "os.rename({!r}, 'mine')",
        "os.rename('own', {!r})", "os.truncate({!r}, 0)", "os.open({!r}, os.O_WRONLY)", "os.chmod({!r}, 0)",
        "os.symlink({!r}, 'link') or open('link', 'w')",
    ],
)  # fmt: skip
def test_nothing_outside_of_the_folder_is_changed(tmp_path, act):
    file = tmp_path / "precious"
    file.write_text("kept")
    outcome = run(f"import os\nopen('own', 'w').close()\n{act.format(str(file))}")
    assert outcome.kind == "failed"
    assert "PermissionError" in outcome.said
    assert file.read_text() == "kept"
    assert os.stat(file).st_mode & 0o600


def test_the_folder_is_its_own_and_gone_afterwards():
    outcome = run("import os, tempfile\nopen('a', 'w').write('b')\ntempfile.mkdtemp()\nprint(os.getcwd())")
    assert outcome.ok
    assert not Path(outcome.output.strip()).exists()
    names = run("import os\nprint(sorted(os.environ))").output
    assert "PATH" not in names
    assert len(names) < 120


@LINUX
@pytest.mark.parametrize(
    "call", ["fork()", "socket(2, 1, 0)", "creat(FILE, 0o600)", "unlink(FILE)", "kill(PARENT, 0)"]
)
def test_the_kernel_refuses_what_python_does_not_see(tmp_path, call):
    """Through ctypes, past every audit hook."""
    file = tmp_path / "precious"
    file.write_text("kept")
    source = (
        f"import ctypes\nFILE, PARENT = {os.fsencode(file)!r}, {os.getpid()}\nprint(ctypes.CDLL(None).{call})"
    )
    assert run(source).output in ("-1\n", "")  # refused; or there is no ctypes, where the kernel has no walls
    assert file.read_text() == "kept"


def test_threads_are_allowed():
    source = "import threading\nt = threading.Thread(target=print, args=('hi',))\nt.start()\nt.join()"
    assert run(source).output == "hi\n"


@pytest.mark.quiet
def test_the_start_is_cheap():
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run("1")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


# a worker ---------------------------------------------------------------------------------------------------


@pytest.fixture
def worker(tmp_path):
    """A worker of a source, ended after the test."""
    made = []

    def make(source, **given):
        file = tmp_path / "reward.py"
        file.write_text(source)
        made.append(Worker(str(file), "score", **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_worker_stays(worker):
    body = "    calls.append(1)\n    return [len(calls)] * len(texts)"
    score = worker(f"calls = []\ndef score(texts, prompt):\n{body}")
    assert score(["a", "b"], "x") == [1.0, 1.0]
    assert score(["a"], "x") == [2.0]
    score.close()
    assert score(["a"], "x") == [1.0]


@pytest.mark.parametrize(
    "source, said",
    [
        ("def score(texts, prompt):\n    return 1 / 0",
         r"reward.py: score gave no numbers, ZeroDivisionError: division by zero \(line 2\)"),
        ("def score(texts, prompt):\n    return 'good'", "it returned 'good'; correct it"),
        ("def score(texts):\n    return [1]", "TypeError: score.* takes 1 positional argument but 2"),
        ("def grade(texts, prompt): pass\nx = 1", "has no function 'score'; its functions: grade; choose"),
        ("import nothing_there", r"ModuleNotFoundError: No module named 'nothing_there' \(line 1\)"),
        ("def score(", r"SyntaxError"),
        ("import sys\ndef score(t, p): sys.exit()", "SystemExit"),
        ("import os\ndef score(t, p): os._exit(1)", "ended itself with exit code 1"),
        ("import os\ndef score(t, p): os.remove(__file__)", "PermissionError"),
        ("import socket\ndef score(t, p): socket.socket()", "PermissionError"),
    ],
)  # fmt: skip
def test_a_worker_that_fails_says_why_and_starts_anew(worker, source, said):
    score = worker(source)
    for _ in range(2):
        with pytest.raises(UserError, match=said) as raised:
            score(["a"], "x")
        assert "\n" not in str(raised.value)
    Path(score.file).write_text("def score(texts, prompt):\n    return [1] * len(texts)")
    assert score(["a"], "x") == [1.0]


def test_a_worker_that_hangs_is_killed(worker):
    score = worker("import time\ndef score(texts, prompt):\n    time.sleep(60)", seconds=0.2)
    with pytest.raises(
        UserError, match=r"took more than 0.2 seconds and was killed; make it quicker or allow"
    ):
        score(["a"], "x")
    assert score._jail is None


@LINUX
def test_a_worker_s_memory_is_limited(worker):
    score = worker("def score(texts, prompt):\n    return [len(bytearray(1 << 30))]", memory_mb=256)
    with pytest.raises(UserError, match=r"needs more than 256 MB; make it smaller or allow more memory"):
        score(["a"], "x")


def test_what_a_worker_prints_is_not_taken_for_an_answer(worker):
    score = worker("def score(texts, prompt):\n    print('{}' * 100000)\n    return [0.5]")
    assert score(["a"], "x") == [0.5]
