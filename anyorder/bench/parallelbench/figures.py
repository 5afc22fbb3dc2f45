"""What ParallelBench says of a row besides quality: forwards, cells fed, agreement with the plain loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anyorder.bench.parallelbench import metrics
from anyorder.bench.record import Take


def decoding(takes: Sequence[Take], reference: str, label: str) -> dict[str, Any]:
    """A row's figures; `reference` is the plain loop's row: static decoding, one cell a run.

    forwards: runs a prompt took part in, of one text. Texts end where the canvas cut them, so all is content.
    """
    mine = [take for take in takes if take.label == label]
    theirs = {(take.prompts, take.repeat): take.run for take in takes if take.label == reference}
    texts = [text for take in mine for text in take.run.tokens]
    others = [text for take in mine for text in theirs[take.prompts, take.repeat].tokens]
    found: dict[str, Any] = {
        "agreement": round(metrics.agreement(texts, others), 4),
        "edit_agreement": round(metrics.edit_agreement(texts, others), 4),
    }
    forwards = [take.run.forwards for take in mine if take.run.forwards is not None]
    if len(forwards) == len(mine):
        found["forwards"] = round(sum(forwards) / len(texts), 3)
        found["tokens_per_forward"] = round(metrics.tokens_per_forward(texts, forwards, ()), 4)
    cells = [take.run.cells for take in mine if take.run.cells is not None]
    if len(cells) == len(mine):
        found["fed_per_token"] = round(metrics.fed_per_token(texts, cells, ()), 3)
    return found
