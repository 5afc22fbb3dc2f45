"""lm-eval's own command line with `--model anyorder` known to it; see docs/evaluation.md."""

from __future__ import annotations

import sys

from anyorder.errors import UserError
from anyorder.harness import register


def main() -> None:
    """Hand over to lm-eval. Errors a user can cause are one sentence, with exit code 2."""
    try:
        register()
        from lm_eval.__main__ import cli_evaluate

        cli_evaluate()
    except (UserError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
