"""Cells, places for them, and what a sweep refuses; and a whole sweep on two workers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from anyorder import api
from anyorder.cli.main import main
from anyorder.errors import UserError
from anyorder.scale import sweep as it
from anyorder.scale.results import Key, Results

PATIENCE = 300  # seconds


def grid(suite: Path, methods: str = "jacobi,prompt_lookup", **more: Any) -> it.Grid:
    return it.Grid(methods, ("tiny", "other"), (str(suite),), (0, 1), **more)


# cells ------------------------------------------------------------------------------------------------------


def test_the_product_seed_by_seed(suite: Path) -> None:
    keys = [cell.key for cell in it.cells(grid(suite))]
    assert keys == [
        Key(method, model, str(suite), seed)
        for seed in (0, 1) for model in ("tiny", "other") for method in ("jacobi", "prompt_lookup")
    ]  # fmt: skip


def test_the_plain_loop_makes_no_cell_unless_it_is_alone(suite: Path) -> None:
    assert {cell.key.method for cell in it.cells(grid(suite, "greedy,jacobi"))} == {"jacobi"}
    assert {cell.key.method for cell in it.cells(grid(suite, "greedy"))} == {"greedy"}
    assert {cell.key.method for cell in it.cells(grid(suite, "static", temperature=0.5))} == {"static"}


def test_a_cell_is_one_method_of_the_same_benchmark(suite: Path) -> None:
    for cell in it.cells(grid(suite, "jacobi:nodes=3,static:steps=2", max_tokens=7, temperature=0.5)):
        plan = cell.plan
        assert (plan.methods, plan.seed, plan.suite) == (cell.key.method, cell.key.seed, str(suite))
        assert (plan.max_tokens, plan.temperature, plan.batch, plan.repeat) == (7, 0.5, 1, 1)


def test_folders_are_named_by_their_whole_path(tmp_path: Path, monkeypatch, suite: Path) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    (cell,) = it.cells(it.Grid("jacobi", ("mine",), (str(suite),), (0,)))
    assert (cell.key.model, cell.plan.model) == ("mine", str(tmp_path / "mine"))


@pytest.mark.parametrize(
    "methods, said",
    [("jacoby", "did you mean"), ("mix(greedy+jacobi)", "names a mix"), ("jacobi,jacobi", "twice")],
)
def test_methods_that_cannot_be_swept(suite: Path, methods: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        it.cells(grid(suite, methods))


def test_what_is_left(suite: Path, tmp_path: Path) -> None:
    every = it.cells(grid(suite))
    with Results(tmp_path / "r.jsonl", {}) as results:
        results.add(every[0].key, {"digest": every[0].digest, "report": {}})
        results.add(every[1].key, {"digest": every[1].digest, "failed": "out of luck"})
        assert it.left(every, results) == every[1:]


def test_a_suite_that_changed_is_refused(suite: Path, tmp_path: Path) -> None:
    every = it.cells(grid(suite))
    other = tmp_path / "other.jsonl"
    other.write_text(suite.read_text().replace("fro", "back"))
    (changed, *_) = it.cells(grid(other))
    with Results(tmp_path / "r.jsonl", {}) as results:
        results.add(every[0].key, {"digest": changed.digest, "report": {}})
        with pytest.raises(UserError, match="has other prompts"):
            it.left(every, results)


# machines ---------------------------------------------------------------------------------------------------


def node(name: str, machine: str, cpus: float, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "NodeManagerAddress": machine, "Alive": alive, "Resources": {"CPU": cpus}}


def test_one_cell_at_a_time_on_a_machine_however_many_nodes_it_has() -> None:
    nodes = [
        node("a", "x", 2),
        node("b", "x", 8),
        node("c", "y", 4),
        node("d", "z", 0),
        node("e", "w", 9, False),
    ]
    assert it.seats(nodes, 1) == [it.Seat("x", "b", 8), it.Seat("y", "c", 4)]


@pytest.mark.parametrize("workers", range(1, 8))
def test_no_processor_has_two_cells(workers: int) -> None:
    nodes = [node("a", "x", 2), node("b", "x", 5)]
    places = it.seats(nodes, workers)
    assert len(places) == workers
    for name, cpus in (("a", 2), ("b", 5)):
        assert sum(place.cpus for place in places if place.node == name) <= cpus
    assert all(place.cpus >= 1 for place in places)


@pytest.mark.parametrize(
    "nodes, workers, said",
    [
        ([node("a", "x", 2)], 0, "--workers is 0"),
        ([node("a", "x", 2)], 3, "x has 2 processors; allowed is 2"),
        ([node("a", "x", 2, False)], 1, "no node with processors"),
    ],
)
def test_places_that_are_not_there(nodes: list[dict[str, Any]], workers: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        it.seats(nodes, workers)


# the command ------------------------------------------------------------------------------------------------


def refused(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["sweep", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--methods", "jacobi"], "Missing option '--out'"),
        (["--methods", "jacobi", "--seeds", "1,x"], "--seeds is '1,x'; allowed are whole numbers"),
        (["--methods", "jacobi", "--seeds", "1,01"], "--seeds names 1 twice"),
        (["--methods", "jacobi", "--models", ","], "--models is ','; allowed is one or more"),
        (["--methods", "jacobi", "--suites", "nowhere"], "suite nowhere is not there"),
        (["--methods", "jacobi", "--max-tokens", "0"], "--max-tokens is 0"),
    ],
)
def test_wrong_input_makes_no_file(capsys, tmp_path: Path, arguments: list[str], said: str) -> None:
    pytest.importorskip("ray")
    file = tmp_path / "r.jsonl"
    out = [] if "--out" in said else ["--out", str(file)]
    assert said in refused(capsys, *arguments, *out)
    assert not file.exists()


def test_without_ray_the_extra_is_named(capsys, monkeypatch, tmp_path: Path) -> None:
    from anyorder.scale import cluster

    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'anyorder[ray]'" in refused(
        capsys, "--methods", "jacobi", "--out", str(tmp_path / "r")
    )


# on Ray -----------------------------------------------------------------------------------------------------


def command(folder: Path, suite: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "anyorder", "sweep", "--models", str(folder), "--suites", str(suite),
        "--out", str(out), "--precision", "fp32", "--max-tokens", "12", "--temperature", "0.8",
        "--json", *more,
    ]  # fmt: skip


def wait_for_cells(process: subprocess.Popen[str], out: Path, cells: int) -> None:
    """Until the file holds so many cells."""
    end = time.monotonic() + PATIENCE
    while not out.is_file() or out.read_bytes().count(b"\n") < cells + 1:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_sweep_on_two_workers_is_killed_and_continued(
    cluster: Any, tiny_model_folder: Path, suite: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    out = tmp_path / "results.jsonl"
    call = command(
        tiny_model_folder, suite, out, "--methods", "jacobi,prompt_lookup", "--seeds", "0,1",
        "--workers", "2", "--address", cluster.address,
    )  # fmt: skip
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(call, **pipes) as process:
        wait_for_cells(process, out, 1)
        process.kill()
    before = out.read_bytes()
    with out.open("ab") as file:
        file.write(b'{"method": "prompt_look')  # killed a moment later
    done = subprocess.run(call, timeout=PATIENCE, check=True, **pipes)
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["cells"], said["measured"], said["failed"], said["stopped"]) == (4, 4, 0, False)
    assert out.read_bytes().startswith(before)
    lines = [json.loads(line) for line in out.read_bytes().splitlines()[1:]]
    assert len(lines) == 4
    assert len({line["node"] for line in lines}) == 2
    assert max(line["side_by_side"] for line in lines) == 2
    model = api.load(str(tiny_model_folder), precision="fp32")
    texts = set()
    for line in lines:
        how = {"temperature": 0.8, "seed": line["seed"], "max_tokens": 12}
        direct = [
            model.generate(text, line["method"], **how).text for text in ("one two one two", "to and fro")
        ]
        assert line["texts"] == {"sample": direct, line["method"]: direct}
        assert [row["bugs"] for row in line["report"]["rows"]] == [0, 0]
        texts.add(tuple(direct))
    assert len(texts) == 2  # seeds matter, methods do not
    again = subprocess.run(call, timeout=PATIENCE, check=True, **pipes)
    assert json.loads(again.stdout.splitlines()[-1])["rows"] == said["rows"]


@pytest.mark.slow
def test_on_this_machine_a_failed_cell_is_tried_again_and_ctrl_c_keeps_what_is_finished(
    tiny_model_folder: Path, suite: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "results.jsonl"
    call = command(tiny_model_folder, suite, out, "--methods", "threshold,jacobi", "--seeds", "0,1,2")
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(call, **pipes) as process:
        wait_for_cells(process, out, 2)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    said = json.loads(stdout.splitlines()[-1])
    assert process.returncode == 130, stderr
    assert said["stopped"]
    assert (said["measured"], said["failed"]) == (1, 1)
    assert "Traceback" not in stderr
    (failure,) = said["failures"]
    assert failure["failed"].startswith("method static fills cells in any order")
    assert failure["failed"] in " ".join(stderr.split())
    few = [*call[: call.index("--seeds")], "--seeds", "0"]
    done = subprocess.run(few, timeout=PATIENCE, check=False, **pipes)
    assert done.returncode == 1
    lines = [json.loads(line) for line in out.read_bytes().splitlines()[1:]]
    assert [line["method"] for line in lines] == ["threshold", "jacobi", "threshold"]
    assert all(line["side_by_side"] == 1 for line in lines)
