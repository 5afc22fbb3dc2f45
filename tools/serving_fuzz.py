"""`tools/serving.py fuzz`: requests that nobody would send."""

from __future__ import annotations

from typing import Any

import httpx

from anyorder.testing.clients import body, served
from anyorder.testing.fuzzing import Fuzzer

SHOWN = 8  # answers that may not be, printed


def fuzz(
    model: str, precision: str, serve: tuple[str, ...], seed: int, requests: int, minutes: float,
    max_tokens: int,
) -> dict[str, Any]:  # fmt: skip
    limits = ("--precision", precision, "--max-tokens", str(max_tokens))
    with served(model, *limits, *serve) as there:
        found = Fuzzer(there.url, seed).run(requests, minutes * 60)
        alive = lives(there.url)
    for what in found.broken[:SHOWN]:
        print(what, end="\n\n")
    for name, count in sorted(found.statuses.items()):
        print(f"{name:<16} {count}")
    print(f"{found.requests} requests, {found.failures} 5xx, {len(found.broken)} answers not as published")
    print("afterwards the server answers" if alive else "afterwards the server does NOT answer")
    holds = alive and not found.broken and not found.failures and found.requests >= requests
    return {
        **found.figures(),
        "alive": alive,
        "broken": [what[:500] for what in found.broken[:5]],
        "holds": holds,
    }


def lives(url: str) -> bool:
    """Whether a health check and a plain chat are answered."""
    with httpx.Client(base_url=url, timeout=60) as client:
        chat = client.post("/v1/chat/completions", json=body({"prompt": "Say hello.", "max_tokens": 4}))
        return client.get("/health").status_code == chat.status_code == 200
