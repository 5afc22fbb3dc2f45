"""What a server allows."""

from __future__ import annotations

from dataclasses import dataclass

from anyorder.errors import UserError


@dataclass(frozen=True)
class Settings:
    """Limits of a server. Texts are counted one by one: `n=3` for two prompts is six. Raises UserError."""

    most: int = 32  # texts that are decoded at once
    queue: int = 128  # texts that wait
    timeout: float = 300.0  # seconds a request may take, its wait included
    max_tokens: int = 4096  # that a text may ask for
    texts: int = 32  # of one request: n times its prompts
    body: int = 1 << 20  # bytes of a request's body
    grammar: int = 1 << 14  # characters of a grammar, schema or expression
    patience: float = 10.0  # seconds until a client has sent its headers, and then its body
    grace: float = 30.0  # seconds that running requests get when the server is told to stop
    keys: tuple[str, ...] = ()  # API keys; (): everybody is served

    def __post_init__(self) -> None:
        least = {"most": 1, "queue": 0, "max_tokens": 1, "texts": 1, "body": 1, "grammar": 0, "grace": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise UserError(f"{name} is {getattr(self, name)}; allowed is {low} or more; give another")
        for name in ("timeout", "patience"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; allowed is more than 0 seconds; give more")
        if any(not key or not key.isascii() or not key.isprintable() for key in self.keys):
            raise UserError("an API key is empty or not plain; allowed is printable ASCII; give another")
