"""Numbers as English words, as HyPoradise spells the digits of hypotheses and references.

>>> spelled("on the 21st, 3.5 kilos for $20")
'on the twenty first, three point five kilos for twenty dollars'
"""

from __future__ import annotations

import re

_SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL, TENS = _SMALL.split(), ["", "", *_TENS.split()]
GROUPS = ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"), (100, "hundred"))
MOST = 10**12  # from here on digit by digit
ORDINAL = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
MONEY = {"$": "dollars", "£": "pounds", "€": "euros"}
NUMBER = re.compile(r"([$£€]?)(\d+)(?:\.(\d+))?(st|nd|rd|th)?\b(%?)|(\d)")


def cardinal(number: int) -> str:
    """A whole number from 0 on."""
    if number >= MOST:
        return digits(str(number))
    for size, name in GROUPS:
        if number >= size:
            rest = number % size
            return f"{cardinal(number // size)} {name}" + (f" {cardinal(rest)}" if rest else "")
    if number < len(SMALL):
        return SMALL[number]
    return TENS[number // 10] + (f" {SMALL[number % 10]}" if number % 10 else "")


def digits(number: str) -> str:
    return " ".join(SMALL[int(digit)] for digit in number)


def ordinal(number: int) -> str:
    words = cardinal(number).split()
    last = words[-1]
    words[-1] = ORDINAL.get(last, last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return " ".join(words)


def spelled(text: str) -> str:
    """The text with its digits as words."""
    return NUMBER.sub(_words, text)


def _words(found: re.Match[str]) -> str:
    money, whole, part, rank, percent, lone = found.groups()
    if lone:  # a digit inside a word, such as b2b
        return f" {SMALL[int(lone)]} "
    if rank and not part:
        words = ordinal(int(whole))
    else:
        words = cardinal(int(whole)) + (f" point {digits(part)}" if part else "") + (rank or "")
    return words + (f" {MONEY[money]}" if money else "") + (" percent" if percent else "")
