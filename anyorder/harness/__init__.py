"""Every task of EleutherAI's evaluation harness (lm-eval) by every method: `anyorder` is one of its models.

    python -m anyorder.harness --model anyorder --model_args method=token_recycling --tasks gsm8k

From Python:

>>> import anyorder.harness, lm_eval
>>> anyorder.harness.register()
>>> lm_eval.simple_evaluate("anyorder", {"model": "smollm2", "method": "prompt_lookup"}, tasks=["gsm8k"])
"""

from __future__ import annotations

import importlib.util
from typing import Any

from anyorder.errors import UserError


def register() -> Any:
    """Make `anyorder` known to lm_eval in this process; the class. Raises UserError if that is not there."""
    if importlib.util.find_spec("lm_eval") is None:
        raise UserError(
            "tasks of the evaluation harness need lm-eval, which is not installed; "
            "install it: pip install 'anyorder[eval]'"
        )
    from anyorder.harness.model import AnyorderLM

    return AnyorderLM
