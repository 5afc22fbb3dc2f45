"""Who hands work over gives up its workers, and can compute again afterwards."""

import subprocess
import sys

import pytest
import torch

from anyorder.engine.threads import give_up_workers
from tests.engine.blank import net, request
from tests.engine.test_engine import greedy

COUNT = """
import threading, torch
from anyorder.engine.threads import give_up_workers

def count():
    return len([t for t in __import__("os").listdir("/proc/self/task")])

torch.set_num_threads(4)
x = torch.randn(2000, 2000)
before = count()
(x @ x).sum()
made = count()
give_up_workers()
left = count()
print(before, made, left, float((x @ torch.eye(2000) - x).abs().max()) < 1e-3)
"""


def test_numbers_stay_what_they_were() -> None:
    x = torch.randn(300, 300)
    before = x @ x
    give_up_workers()
    assert torch.equal(x @ x, before)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_workers_end_and_come_back() -> None:
    said = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True).stdout
    before, made, left, right = said.split()
    assert int(made) > int(before), "no worker was ever made; this test shows nothing"
    assert int(left) == int(before)
    assert right == "True"


def test_submitting_gives_up_workers(monkeypatch) -> None:
    called = []
    monkeypatch.setattr("anyorder.engine.engine.give_up_workers", lambda: called.append(True))
    from anyorder.engine.engine import Engine

    with Engine() as engine:
        engine.submit(request(net(), [1], 3, greedy())).wait(20)
    assert called
