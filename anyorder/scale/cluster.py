"""To a Ray cluster: one that is there, or one of this machine for as long as it is needed."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyorder.errors import UserError

STORE = 128 * 2**20  # bytes of shared memory: suites and reports are small, and weights do not travel
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # Ray's switch for "no other machine joins"


@contextmanager
def connected(address: str | None = None, cpus: int | None = None) -> Iterator[Any]:
    """The module ray, connected. `address`: of a cluster, like ray://host:10001; None: a cluster of this
    machine, reachable from nowhere else and gone at the end. One that the process is connected to already is
    taken and left as it is. Raises UserError."""
    ray = module(LOOPBACK if address is None else {})
    if ray.is_initialized():
        yield ray
        return
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(
                "local", num_cpus=cpus, include_dashboard=False, object_store_memory=STORE, **common
            )  # fmt: skip
        else:
            ray.init(address, **common)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        why = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        where = "no Ray cluster could be started here" if address is None else f"no Ray cluster at {address}"
        raise UserError(
            f"{where} ({why}); allowed is an address such as ray://host:10001; check it"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def check() -> None:
    """Raises UserError where Ray is missing."""
    if importlib.util.find_spec("ray") is None:
        raise UserError("this needs Ray, which is not installed; pip install 'anyorder[ray]'")


def module(more: Mapping[str, str]) -> Any:
    """Ray, imported when it is needed: it reads its settings as it is imported. Raises UserError."""
    check()
    for name, value in {**QUIET, **more}.items():
        os.environ.setdefault(name, value)
    return importlib.import_module("ray")


def placed(model: str) -> str:
    """A model's folder or file by its whole path: workers stand elsewhere."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.exists() else model
