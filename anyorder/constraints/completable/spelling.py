"""What tokens write: bytes of each, and texts cut into a wanted number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection

from anyorder.constraints import grammar
from anyorder.constraints.states import Vocabulary

LONGEST = 32  # bytes of a token that texts are cut into
PIECE = range(0x80, 0xC0)  # bytes that go on with a character
SECOND = {0xE0: 0xA0, 0xF0: 0x90}  # begins of characters whose second byte is not 0x80 at least


class Spelling:
    """`word[t]` are the bytes of token t; None: it writes nothing, or is no part of a text. `eos` end it."""

    def __init__(self, spell: Callable[[int], bytes | str | None], size: int, eos: Collection[int]):
        self.eos = frozenset(eos)
        self.word: list[bytes | None] = []
        self.token: dict[bytes, int] = {}
        for token in range(size):
            said = None if token in self.eos else spell(token)
            word = (said.encode() if isinstance(said, str) else said) or None
            self.word.append(word)
            if word is not None:
                self.token.setdefault(word, token)
        self.longest = min(LONGEST, max(map(len, self.token), default=0))

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Spelling:
        """Of a model's tokenizer, byte for byte; special tokens are no part of a text."""
        known = grammar.words(vocabulary).tokenizer
        return cls(
            lambda t: None if known.is_special_token(t) else known.decode_bytes([t]),
            min(vocabulary.size, known.vocab_size),
            vocabulary.eos,
        )

    def cut(self, text: bytes, least: int, most: int) -> list[int] | None:
        """The fewest tokens of `least` to `most` that write the text; None: there are none."""
        ways: list[dict[int, int]] = [{0: 0}] + [
            {} for _ in text
        ]  # end -> how many tokens -> last one's begin
        for end in range(1, len(text) + 1):
            for begin in range(max(0, end - self.longest), end):
                if text[begin:end] in self.token:
                    ways[end].update({n + 1: begin for n in ways[begin] if n < most})
        count = min((n for n in ways[-1] if n >= least), default=None)
        if count is None:
            return None
        tokens, end = [], len(text)
        while count:
            begin = ways[end][count]
            tokens.append(self.token[text[begin:end]])
            end, count = begin, count - 1
        return tokens[::-1]


def whole(text: bytes) -> int:
    """How many bytes are left without a last character that is not whole."""
    for back in range(1, min(4, len(text)) + 1):
        byte = text[-back]
        if byte not in PIECE:
            need = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(text) - back if need > back else len(text)
    return len(text)


def lacking(text: bytes) -> bytes:
    """Bytes that make the last character whole."""
    last = text[whole(text) :]
    if not last:
        return b""
    need = 2 if last[0] < 0xE0 else 3 if last[0] < 0xF0 else 4
    return bytes([SECOND.get(last[0], 0x80) if i == 1 else 0x80 for i in range(len(last), need)])


def decoded(text: bytes, left: bool, right: bool) -> str | None:
    """The text, with U+FFFD for a piece of a character next to a gap on that side; None: not UTF-8."""
    start = 0
    while left and start < min(3, len(text)) and text[start] in PIECE:
        start += 1
    end = max(whole(text), start) if right else len(text)
    try:
        middle = text[start:end].decode()
    except UnicodeDecodeError:
        return None
    return "�" * (start > 0) + middle + "�" * (end < len(text))
