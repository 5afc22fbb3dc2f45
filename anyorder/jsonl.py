"""Lines of JSON that people wrote."""

from __future__ import annotations

import json
from typing import Any

from anyorder.errors import UserError


def entry(line: str, where: str) -> Any:
    """What one line holds. `where`: the line's place in words. Raises UserError."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where} is not JSON ({error.msg}); a line is one JSON object; correct it"
        ) from error
