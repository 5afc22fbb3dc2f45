"""Errors as OpenAI's clients know them: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

KINDS = {  # status -> type, code
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    408: ("timeout_error", "timeout"),
    413: ("invalid_request_error", "body_too_large"),
    415: ("invalid_request_error", "unsupported_media_type"),
    429: ("rate_limit_error", "queue_full"),
    500: ("server_error", "internal_error"),
    503: ("server_error", "shutting_down"),
}
AGAIN = {429: "1", 503: "5"}  # seconds after which a client may try again
LAST = (408, 413, 503)  # statuses after which a connection is closed: a body may still be on its way


class Problem(Exception):
    """What a request is answered with instead. `param`: the field that is to blame."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    @property
    def body(self) -> dict[str, Any]:
        kind, code = KINDS.get(self.status, ("invalid_request_error", None))
        said = {"message": self.message, "type": kind, "param": self.param, "code": self.code or code}
        return {"error": said}

    @property
    def event(self) -> bytes:
        """The same in a stream that has begun."""
        return b"data: " + json.dumps(self.body).encode() + b"\n\n"

    def response(self, headers: Mapping[str, str] | None = None) -> JSONResponse:
        given = dict(headers or {})
        if self.status in AGAIN:
            given["retry-after"] = AGAIN[self.status]
        if self.status in LAST:
            given["connection"] = "close"
        if self.status == 401:
            given["www-authenticate"] = "Bearer"
        return JSONResponse(self.body, self.status, given)
