"""Draw one benchmark at several batch sizes, from the bench.json of each.

python -m anyorder.bench.parallelbench one/bench.json eight/bench.json batches.png
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from anyorder.bench.parallelbench.plots import draw_batches
from anyorder.errors import UserError


def main(given: Sequence[str]) -> None:
    """Reports, then the picture. Raises UserError."""
    *files, picture = given or [""]
    if len(files) < 2 or not picture.endswith(".png"):
        raise UserError(
            f"{' '.join(given) or 'nothing'} was given; allowed are two bench.json or more and a .png"
        )
    try:
        reports = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files]
        draw_batches(reports, Path(picture))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{', '.join(files)} cannot be drawn ({error}); each is a bench.json of --out; measure again"
        ) from error


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
