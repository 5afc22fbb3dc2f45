"""The share of required words or phrases that stand in the text.

>>> keywords(setting, words="rain,blue sky", case=False, whole=True)    # 0.5 for "It may rain."
"""

import re

from anyorder.card import Card, Option, Setting
from anyorder.scoring import Scorer, of_texts

CARD = Card(
    name="keywords",
    family="scorer",
    paper="",
    exact=False,
    summary="the share of required words that the text has",
    cost="",
    nets=(),
    options=(
        Option("words", "", "words or phrases, by comma", needed=True),
        Option("case", False, "capitals matter"),
        Option("whole", True, "whole words only, not parts of longer ones"),
    ),
)


def keywords(setting: Setting, words: str, case: bool, whole: bool) -> Scorer:
    wanted = [word for part in words.split(",") if (word := part.strip())]
    if not wanted:
        raise ValueError("keywords has no words; allowed is one or more by comma; give words=rain,blue sky")
    edge = (r"(?<!\w)", r"(?!\w)") if whole else ("", "")
    spaced = [r"\s+".join(map(re.escape, word.split())) for word in wanted]
    found = [re.compile(edge[0] + word + edge[1], 0 if case else re.IGNORECASE) for word in spaced]

    def score(texts: list[str], prompt: str) -> list[float]:
        return [sum(bool(word.search(text)) for word in found) / len(found) for text in texts]

    return of_texts(score, setting, "keywords", float("inf"), (0.0, 1.0))
