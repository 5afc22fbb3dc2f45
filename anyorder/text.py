"""Tokens to text: stop strings, and streaming without broken characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from anyorder.errors import UserError

Prompt = str | Sequence[int] | Sequence[Mapping[str, str]]
"""Text, token ids, or messages of a chat, each with its role and content."""


class StopRule:
    """Fires at the first token with which the text contains one of the strings."""

    def __init__(self, tokenizer: Any, stops: Sequence[str]):
        self.tokenizer, self.stops = tokenizer, [s for s in stops if s]
        # A string of n characters may be spelled by n tokens, and a first token may bring text before it.
        self.reach = max((len(s.encode()) for s in self.stops), default=0) + 1

    def __call__(self, generated: Sequence[int], new: int) -> int | None:
        first = max(0, len(generated) - new)
        for end in range(first + 1, len(generated) + 1):
            tail = self.tokenizer.decode(generated[max(0, end - self.reach) : end], skip_special_tokens=True)
            if any(s in tail for s in self.stops):
                return end
        return None

    def cut(self, text: str) -> str:
        """The text before the first stop string."""
        places = [i for s in self.stops if (i := text.find(s)) >= 0]
        return text[: min(places)] if places else text


def words_only(tokenizer: Any) -> bool:
    """Whether the tokenizer knows whole words and nothing else, so that they carry no spaces."""
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    return type(model).__name__ == "WordLevel"


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """Words of a text that such a tokenizer has no token for."""
    if not words_only(tokenizer):
        return []
    read = tokenizer(text, return_offsets_mapping=True)
    places = zip(read["input_ids"], read["offset_mapping"], strict=True)
    return [text[a:b] for token, (a, b) in places if token == tokenizer.unk_token_id]


def turns(prompt: Prompt) -> Sequence[Mapping[str, str]] | None:
    """The messages, if the prompt is a chat. Raises UserError for one without role and content as text."""
    if isinstance(prompt, str) or not prompt or not isinstance(prompt[0], Mapping):
        return None
    said: Any = prompt
    for i, one in enumerate(said):
        if not isinstance(one, Mapping) or not all(isinstance(one.get(k), str) for k in ("role", "content")):
            raise UserError(
                f"message {i} of the prompt is {str(one)[:60]!r}; a message has a role and content; write "
                '{"role": "user", "content": "..."}'
            )
    return said


def written(prompt: Prompt) -> str | None:
    """The prompt as its user wrote it; None for token ids, and for more than one message."""
    said = turns(prompt)
    if said is not None:
        return said[0]["content"] if len(said) == 1 else None
    return prompt if isinstance(prompt, str) else None


def templated(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of a chat in the model's own form, up to where it answers. Raises UserError."""
    try:
        made = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True)
    except TemplateError as error:  # templates refuse orders of roles that they do not know
        raise UserError(f"the model's chat template refuses these messages ({error}); change them") from error
    return list(made["input_ids"])


def stop_rule(tokenizer: Any, stops: Sequence[str]) -> StopRule:
    return StopRule(tokenizer, [stops] if isinstance(stops, str) else stops)


class Speller:
    """Turns committed tokens into text that can be shown at once.

    Bytes of an unfinished character wait for the rest; so does what may yet grow into a stop string.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str] = ()):
        self.tokenizer, self.rule = tokenizer, stop_rule(tokenizer, stops)
        self.tokens: list[int] = []
        self.start = 0  # tokens from here on are decoded together
        self.shown = ""  # of their text
        self.stopped = False

    def add(self, tokens: Sequence[int], done: bool = False) -> str:
        """The text that these tokens add; with `done`, everything that waited too."""
        self.tokens += tokens
        if self.stopped:
            return ""
        text = self.tokenizer.decode(self.tokens[self.start :], skip_special_tokens=True)
        cut = self.rule.cut(text)
        self.stopped = cut != text
        if not self.stopped and not done:
            cut = text[: len(text) - self._waits(text)]
        new = cut[len(self.shown) :]
        self.shown += new
        if cut == text and len(self.tokens) - self.start > 64:  # all is shown: go on from a few tokens back
            self.start = len(self.tokens) - 16
            self.shown = self.tokenizer.decode(self.tokens[self.start :], skip_special_tokens=True)
        return new

    def _waits(self, text: str) -> int:
        if text.endswith("\ufffd"):
            return len(text) - len(text.rstrip("\ufffd"))
        longest = max((len(s) for s in self.rule.stops), default=1) - 1
        for n in range(min(longest, len(text)), 0, -1):
            if any(s.startswith(text[-n:]) for s in self.rule.stops):
                return n
        return 0
