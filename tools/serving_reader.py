"""A client in a process of its own, small as clients are: `tools/serving.py overhead` tells it what to ask.

Reads one JSON line for each request, {"port", "path", "body"}, and writes one with the text, in how many
chunks it came, and seconds until the first of them and until the end.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from typing import Any


def asked(link: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Raises RuntimeError for an answer that is no stream."""
    sent, headers = json.dumps(body).encode(), {"content-type": "application/json"}
    start, came = time.perf_counter(), []
    link.request("POST", path, sent, headers)
    answer = link.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"the server answered {answer.status}: {answer.read().decode()}")
    while (line := answer.readline()) and line.strip() != b"data: [DONE]":
        if line.startswith(b"data:"):
            came.append((time.perf_counter() - start, line))
    seconds = time.perf_counter() - start
    answer.read()
    texts = [(when, _text(json.loads(line[5:]))) for when, line in came]
    first = next((when for when, text in texts if text), seconds)
    said = "".join(text for _, text in texts)
    return {"text": said, "chunks": sum(bool(t) for _, t in texts), "first": first, "seconds": seconds}


def _text(chunk: dict[str, Any]) -> str:
    return "".join(c.get("text") or (c.get("delta") or {}).get("content") or "" for c in chunk["choices"])


def main() -> None:
    link: http.client.HTTPConnection | None = None
    for line in sys.stdin:
        ask = json.loads(line)
        link = link or http.client.HTTPConnection("127.0.0.1", ask["port"], timeout=120)
        print(json.dumps(asked(link, ask["path"], ask["body"])), flush=True)


if __name__ == "__main__":
    main()
