"""What tests of the adapter share: requests as lm-eval makes them, and its evaluation of local tasks."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ["HF_DATASETS_OFFLINE"] = "1"  # before datasets is imported

import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager


def asked(*arguments: Any, kind: str = "generate_until") -> list[Instance]:
    fixed: dict[str, Any] = {"request_type": kind, "doc": {}}
    return [Instance(arguments=one, idx=i, **fixed) for i, one in enumerate(arguments)]


def results(one, folder: Path, *names: str, **options: Any) -> dict[str, Any]:
    """lm-eval's results. It would describe the machine, too, which takes seconds and asks pip."""
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    with patch("lm_eval.evaluator.add_env_info"):
        return lm_eval.simple_evaluate(
            one, tasks=list(names), task_manager=manager, bootstrap_iters=0, **options
        )
