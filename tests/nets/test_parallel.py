"""Several processes give what one gives, and none of them outlives the others.

Run as a script, this file is what torchrun starts: see `TASKS`.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from anyorder.errors import UserError
from anyorder.nets import parallel, ranks

ROOT = Path(__file__).parents[2]
PROMPT = "the cat sat on the mat, the cat"
LONG = {"max_tokens": 24, "banned": "256", "chat": False}
MEMORY = 160  # cells: of less than three of four requests
METHODS = {  # what a rank may be told: runs, branches, several rows, parts of the net, mixtures, inner layers
    "greedy": {},
    "sample": {"seed": 3, "temperature": 1.3},
    "prompt_lookup": {},
    "token_recycling": {},
    "beam": {},
    "early_exit": {"layer": 1},
    "skip_layers": {"skip": "0"},
    "vocabtrim": {"drafter": "early_exit/layer=1", "keep": 40},
    "superposed": {},
    "dola": {},
}


def told(result) -> list:
    return [result.token_ids, result.texts, result.ended, result.runs, result.cells]


def work(model) -> dict[str, list]:
    """What every method writes alone."""
    return {name: told(model.generate(PROMPT, name, **LONG, **own)) for name, own in METHODS.items()}


def batch(model) -> list:
    """What some write side by side, another prompt each."""
    names = ("sample", "prompt_lookup", "early_exit", "greedy")
    asked = [{"method": name, "prompt": f"{name}: {PROMPT}", **METHODS[name]} for name in names]
    return [told(result)[:3] for result in model.batch(asked, **LONG)]


# what the processes do --------------------------------------------------------------------------------------


def equal(folder: str, out: Path) -> None:
    """All methods; then some of them with caches so small that requests are paused."""
    import anyorder

    live = []
    store = parallel.Follower.store

    def counted(self, *about) -> None:  # on a follower: caches it has, each time when it gets another
        store(self, *about)
        live.append(sum(isinstance(thing, parallel.Pool) for thing in self.things.values()))
        out.with_suffix(".follower").write_text(json.dumps(live))

    parallel.Follower.store = counted
    model = anyorder.load(folder, precision="fp32")
    said = {
        "work": work(model),
        "batch": batch(model),
        "body": type(model.target.body).__name__,
        "cell": model.target.cell_bytes,
    }
    del model
    gc.collect()
    model = anyorder.load(folder, precision="fp32", memory=MEMORY * said["cell"])
    said["small"] = batch(model)
    said["pauses"] = model.cache.pauses
    out.write_text(json.dumps(said))


def faults(folder: str, out: Path) -> None:
    """A request is cancelled, a forward breaks everywhere alike: the others' texts stay as they are."""
    import anyorder
    from anyorder.nets.stock import Stock

    run = Stock.run

    def breaks(self, layout, *about):
        if layout.token.tolist() == [[7, 299]]:
            raise RuntimeError("not this text")
        return run(self, layout, *about)

    Stock.run = breaks
    model = anyorder.load(folder, precision="fp32")
    said = {}
    with anyorder.Engine() as engine:
        cancelled = engine.submit(model.request("cancel me " * 9, "greedy", max_tokens=900, banned="256"))
        other = engine.submit(model.request(PROMPT, "prompt_lookup", **LONG))
        next(iter(cancelled))
        cancelled.cancel()
        said["other"] = other.wait(30).canvas.generated()
        try:
            cancelled.wait(30)
        except Exception as error:
            said["cancelled"] = type(error).__name__
        said["held"] = model.target.slots.used
        try:
            engine.submit(model.request([7, 299], "greedy", **LONG)).wait(30)
        except RuntimeError as error:
            said["broken"] = str(error)
        said["after"] = engine.submit(model.request(PROMPT, "greedy", **LONG)).wait(30).canvas.generated()
    out.write_text(json.dumps(said))


def apart(folder: str, out: Path) -> None:
    """A forward that breaks in one rank alone, whose number the file's name begins with."""
    import anyorder
    from anyorder.nets.stock import Stock

    ranks.ALIKE = 0.5
    run = Stock.run

    def breaks(self, layout, *about):
        if layout.token.tolist() == [[7, 299]] and os.environ["RANK"] == out.name[0]:
            raise RuntimeError("out of luck")
        return run(self, layout, *about)

    Stock.run = breaks
    model = anyorder.load(folder, precision="fp32")
    try:
        model.generate([7, 299], "greedy", **LONG)
    except UserError as error:
        sys.exit(f"error: {error}")


def works(folder: str, out: Path) -> None:
    """Until somebody ends it."""
    import anyorder

    model = anyorder.load(folder, precision="fp32")
    print("ready", flush=True)
    while True:
        model.generate(PROMPT, "greedy", **LONG)


def idle(folder: str, out: Path) -> None:
    import anyorder

    model = anyorder.load(folder, precision="fp32")
    assert model.target.vocab == 300
    print("ready", flush=True)
    time.sleep(60)


TASKS = {task.__name__: task for task in (equal, faults, apart, works, idle)}


# starting them ----------------------------------------------------------------------------------------------


def env(**more: str) -> dict[str, str]:
    alone = {name: value for name, value in os.environ.items() if name not in (*ranks.TOLD, ranks.SWITCH)}
    return {
        **alone, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": str(ROOT), **more,
    }  # fmt: skip


def torchrun(*command: str) -> subprocess.CompletedProcess:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run([*start, *command], env=env(), capture_output=True, text=True, timeout=240)


def started(*command: str, world: int = 2) -> list[subprocess.Popen]:
    """The ranks one by one, so that each has an exit code and an output of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, *command], env=env(RANK=str(rank), LOCAL_RANK=str(rank), **common),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip


def ended(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each; none of them may hang."""
    try:
        said = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *both) for process, both in zip(processes, said)]


def task(name: str, folder: Path, out: Path) -> list[subprocess.Popen]:
    return started(__file__, name, str(folder), str(out))


# tests ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tiny_model_folder: Path):
    import anyorder

    return anyorder.load(str(tiny_model_folder), precision="fp32", packed=False)


@pytest.mark.slow
def test_two_processes_write_what_one_writes_whatever_the_method(alone, tiny_model_folder, tmp_path):
    out = tmp_path / "out.json"
    ran = torchrun(__file__, "equal", str(tiny_model_folder), str(out))
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    said, wanted = json.loads(out.read_text()), json.loads(json.dumps(work(alone)))
    for name in wanted:
        assert said["work"][name] == wanted[name], name
    assert said["body"] == "Sharded"
    assert said["cell"] * 2 == alone.target.cell_bytes  # each rank has half of the heads
    assert said["batch"] == said["small"] == json.loads(json.dumps(batch(alone)))
    assert said["pauses"] > 0
    caches = json.loads(out.with_suffix(".follower").read_text())
    assert max(caches) > 2  # of the first model: the target's, its parts'
    assert min(caches[caches.index(max(caches)) :]) == 1  # all of them gone before the second model's came


@pytest.mark.slow
def test_cancelling_and_errors_that_all_ranks_meet_leave_the_others_as_they_are(
    alone, tiny_model_folder, tmp_path
):
    first, second = ended(task("faults", tiny_model_folder, tmp_path / "out.json"))
    assert first[0] == 0, first[2]
    assert second == (0, "", "")
    said = json.loads((tmp_path / "out.json").read_text())
    assert said["other"] == alone.generate(PROMPT, "prompt_lookup", **LONG).token_ids
    assert said["after"] == alone.generate(PROMPT, "greedy", **LONG).token_ids
    assert said["cancelled"] == "Cancelled"
    assert said["held"] < 80  # the other's text, which stays; the cancelled one's is gone
    assert said["broken"] == "not this text"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "says"), [(0, "broke off in one of them"), (1, "RuntimeError: out of luck")]
)
def test_an_error_in_one_rank_alone_ends_all_with_a_sentence(rank, says, tiny_model_folder, tmp_path):
    first, second = ended(task("apart", tiny_model_folder, tmp_path / f"{rank}.json"))
    assert first[0] in (1, 2)  # the script's own code, or ours where the error is met in a collective's wait
    assert first[2].count("error: ") == 1
    assert says in first[2]
    assert second[1:] == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["works", "idle"])
def test_a_follower_that_dies_ends_rank_0_with_a_sentence(name, tiny_model_folder, tmp_path):
    processes = task(name, tiny_model_folder, tmp_path)
    assert processes[0].stdout.readline() == "ready\n"
    processes[1].kill()
    first, second = ended(processes)
    assert "process 1 of 2 is gone" in first[2]
    assert first[0] == (2 if name == "idle" else 1)
    assert second[1:] == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_followers_end_with_rank_0_and_not_before(how, tiny_model_folder, tmp_path):
    processes = task("works", tiny_model_folder, tmp_path)
    assert processes[0].stdout.readline() == "ready\n"
    processes[1].send_signal(signal.SIGTERM)
    for process in processes if how == signal.SIGINT else processes[:1]:  # a terminal tells all of them
        process.send_signal(how)
    first, second = ended(processes)
    assert first[0] != 0
    assert second == (0 if how == signal.SIGINT else 1, "", "")


@pytest.mark.slow
def test_the_command_prints_once_and_refuses_heads_that_do_not_divide(alone, tiny_model_folder):
    ask = ["generate", PROMPT, "--model", str(tiny_model_folder), "--precision", "fp32", "--max-tokens", "9"]
    ran = torchrun("-m", "anyorder", *ask, "--json", "--raw")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["text"] == alone.generate(PROMPT, max_tokens=9, chat=False).text
    codes = ended(started("-m", "anyorder", *ask, world=3))
    assert [code for code, _, _ in codes] == [2, 0, 0]
    assert codes[0][1] == ""
    assert "4 heads of attention over 2 of keys and values, which do not divide by 3" in codes[0][2]
    assert codes[0][2].count("\n") == 1
    assert all((out, err) == ("", "") for _, out, err in codes[1:])


def test_only_processes_of_one_machine_that_torchrun_started_work_together(monkeypatch):
    for name in (*ranks.TOLD, ranks.SWITCH, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert ranks.place() is None
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert ranks.place() is None  # said by somebody else
    for name, value in zip(ranks.TOLD, ("3", "3", "4", "localhost", "29500")):
        monkeypatch.setenv(name, value)
    assert ranks.place() == ranks.Place(3, 4)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 of 4 processes are on this machine"):
        ranks.place()
    monkeypatch.setenv(ranks.SWITCH, "0")
    assert ranks.place() is None
    monkeypatch.delenv(ranks.SWITCH)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert ranks.place() is None


def refused(folder: Path, world: int = 2, device: str = "cpu") -> str:
    with pytest.raises(UserError) as error:
        parallel._refuse("it", str(folder), device, world)
    return str(error.value)


def test_what_cannot_be_cut_is_refused_before_it_is_loaded(
    tiny_model_folder, tiny_hybrid_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    parallel._refuse("it", str(tiny_model_folder), "cpu", 2)
    assert "allowed is 1, 2" in refused(tiny_model_folder, 4)
    assert "in any order" in refused(tiny_hybrid_folder)
    assert "device is cuda" in refused(tiny_model_folder, device="cuda")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert "no plan to cut a gpt2 model" in refused(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "cannot be loaded" in refused(tmp_path)


class Line:
    """A connection that says what it was given, and keeps what it is told."""

    def __init__(self, *words):
        self.words, self.told = list(words), []

    def recv_bytes(self) -> bytes:
        if not self.words:
            threading.Event().wait()  # for ever: nothing more is said
        return ranks.pickle.dumps(self.words.pop(0))

    def send_bytes(self, said: bytes) -> None:
        self.told.append(ranks.pickle.loads(said))


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([("fine",), ranks.END], 0, []),
        ([("wrong",), ranks.FAILED, ("fine",), ranks.END], 0, [True]),  # rank 0 met the same error
        ([("fine",), ranks.FAILED, ranks.END], 0, [True]),  # an error of rank 0's after the collectives
        ([("wrong",), ("fine",)], 1, ["ValueError: wrong"]),  # rank 0 went on without an error
        ([("wrong",)], 1, ["ValueError: wrong"]),
    ],
)
def test_a_follower_goes_on_after_errors_that_rank_0_has_met_too(words, code, told, monkeypatch):
    monkeypatch.setattr(ranks.signal, "signal", lambda *about: None)
    monkeypatch.setattr(ranks, "ALIKE", 0.05)
    monkeypatch.setattr(ranks, "GRACE", 1e6)
    done = []

    def do(word: str) -> None:
        done.append(word)
        if word == "wrong":
            raise ValueError(word)

    line = Line(*words)
    assert ranks.follow(line, do) == code
    assert line.told == told
    fine = [word[0] for word in words if isinstance(word, tuple)]
    assert done == (fine if code == 0 else fine[:1])


if __name__ == "__main__":
    TASKS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
