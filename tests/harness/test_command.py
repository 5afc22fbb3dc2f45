"""`python -m anyorder.harness`: lm-eval's own command, with our model in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anyorder.errors import UserError
from anyorder.harness.__main__ import main

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'anyorder[eval]'")

OFFLINE = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("error", [UserError("seen; allowed; do"), FloatingPointError("seen; allowed; do")])
def test_errors_of_users_are_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", fails)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: seen; allowed; do\n"


@pytest.mark.slow
def test_the_command_runs_a_local_task(tiny_model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"q": "the cat", "a": "sat"}) + "\n")
    task = {
        "task": "cats", "dataset_path": "json", "test_split": "test", "output_type": "generate_until",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}}, "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}", "metric_list": [{"metric": "exact_match"}],
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8},
    }  # fmt: skip
    (tmp_path / "cats.yaml").write_text(json.dumps(task))
    given = f"model={tiny_model_folder},method=token_recycling,precision=fp32,batch=2,nodes=6"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "anyorder.harness", "--model", "anyorder", "--model_args", given),
            *("--tasks", "cats", "--include_path", str(tmp_path), "--output_path", str(tmp_path / "out")),
        ],
        capture_output=True, text=True, env={**os.environ, **OFFLINE}, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "|cats " in done.stdout
    (file,) = (tmp_path / "out").rglob("*.json")
    about = json.loads(file.read_text())["config"]["anyorder"]
    assert (about["method"], about["options"]["nodes"], about["texts"]) == ("token_recycling", 6, 1)
