"""What followed the phrases of a text before: recent successors of every order, with the chance of each.

The longest phrase at the end of the text that occurred before says most about the next token, the more so if
it always went on in the same way. Shorter phrases add what followed them elsewhere.

>>> phrases = Phrases()
>>> phrases.follow([1, 2, 3, 9, 2, 3])
>>> phrases.after(())  # (2, 3) was followed by 9, and 3 by nothing else
[(9, 0.61)]
"""

from __future__ import annotations

from collections.abc import Sequence

ORDER = 5  # longest phrase that is kept as a key; matches are followed further back by hand
FAR = 16  # longest match that is told from longer ones
SHORTER = 2  # how many orders below the longest that occurred are asked
# How often the guess held, by the length of the match (greedy texts of Spec-Bench prompts, 24,000 tokens):
ALWAYS = (0.38, 0.61, 0.70, 0.75, 0.79, 0.82, 0.83, 0.85, 0.87, 0.89, 0.89, 0.90, 0.92, 0.93, 0.93, 0.96)
LATEST = (0.16, 0.27, 0.33, 0.34, 0.34, 0.35, 0.40, 0.42, 0.50, 0.55, 0.55, 0.56, 0.56, 0.60, 0.60, 0.80)
EARLIER = (0.12, 0.20, 0.20, 0.22, 0.30, 0.25, 0.22, 0.22, 0.20, 0.15, 0.15, 0.12, 0.12, 0.12, 0.12, 0.04)
OLDER = (0.06, 0.08, 0.14, 0.11, 0.15)
BELOW = ((0.068, 0.112, 0.17, 0.25), (0.042, 0.097, 0.11, 0.09), (0.029, 0.038, 0.08, 0.06))

Ranked = list[tuple[int, float]]


class Phrases:
    """The phrases of one growing text."""

    def __init__(self) -> None:
        self.text: list[int] = []
        # of each order: phrase -> what followed it -> where that stood last, the latest at the end
        self.next: list[dict[tuple[int, ...], dict[int, int]]] = [{} for _ in range(ORDER + 1)]

    def follow(self, text: Sequence[int]) -> None:
        """Read what the text has more than before."""
        known = len(self.text)
        if text[known - 1 : known] != self.text[-1:]:  # another text
            self.__init__()  # type: ignore[misc]
            known = 0
        self.text += text[known:]
        for place in range(max(1, known), len(self.text)):
            token = self.text[place]
            for order in range(1, min(ORDER, place) + 1):
                phrase = tuple(self.text[place - order : place])
                found = self.next[order].setdefault(phrase, {})
                found.pop(token, None)
                found[token] = place

    def after(self, path: tuple[int, ...]) -> Ranked:
        """What may follow the text and a path of guesses beyond it, with chances; likelier ones first in each
        order, longer orders first."""
        tail = (*self.text[-FAR:], *path)
        ranked: Ranked = []
        seen: set[int] = set()
        longest = 0
        for order in range(min(ORDER, len(tail)), 0, -1):
            found = self.next[order].get(tail[-order:])
            if found is None:
                continue
            length = order
            if not longest:
                length = longest = self._length(order, next(reversed(found.values())), tail)
            elif order < min(longest, ORDER) - SHORTER:
                break
            for rank, token in enumerate(reversed(found)):
                if rank > 3:
                    break
                if token not in seen:
                    seen.add(token)
                    ranked.append((token, _chance(length, rank, len(found) == 1, length == longest)))
        return ranked

    def _length(self, length: int, place: int, tail: tuple[int, ...]) -> int:
        """How far back the tail is the same as the text before that place."""
        text = self.text
        if length < ORDER:
            return length
        while (
            length < FAR and length < place and length < len(tail)
            and text[place - length - 1] == tail[-length - 1]
        ):  # fmt: skip
            length += 1
        return length


def _chance(length: int, rank: int, only: bool, longest: bool) -> float:
    if not longest:
        return BELOW[min(rank, 2)][min(length, 4) - 1]
    if rank == 0:
        return (ALWAYS if only else LATEST)[length - 1]
    return (EARLIER if rank == 1 else OLDER)[min(length, 16 if rank == 1 else 5) - 1]
