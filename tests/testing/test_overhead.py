"""The protocol is thin: loop, canvas and readers cost less than a net's smallest run."""

import pytest

from anyorder.testing.overhead import ALLOWED, microseconds_per_step


@pytest.mark.parametrize("name", ["greedy", "sample"])
@pytest.mark.quiet
def test_microseconds_per_step(name):
    found = min(microseconds_per_step(name) for _ in range(3))  # the machine has other things to do, too
    print(f"{name}: {found:.1f} microseconds per step")
    assert found <= ALLOWED
