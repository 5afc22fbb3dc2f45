"""DiffuSpec (arXiv:2510.02358): a diffusion net drafts a whole chain in one run.

Behind the text come k holes, and one run of an any-order net says what may stand in each. It says so of every
hole by itself, and the likeliest tokens of neighbours need not fit together; so a path through the candidates
is searched that a causal 3-gram model likes as well. How many holes pay is told by how far the net drafts
before it ends the text, and how much of that was accepted lately.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Reader, chain
from anyorder.drafter import Draft, Drafter, Trees
from anyorder.ngrams import IMPOSSIBLE, Ngrams, Spot, path

CARD = Card(
    name="diffuspec",
    family="speculative",
    paper="arXiv:2510.02358",
    exact=True,
    kind="point",
    summary="a diffusion net drafts a whole chain in one run, made coherent by n-grams",
    headline="3.08x, 6.99 tokens a run (Qwen2.5-32B, drafts of Dream-7B, Spec-Bench)",
    cost="1 target run per commit, up to 1 + most cells; 1 run of the draft net",
    nets=("target", "diffusion"),
    options=(
        Option("draft", "", "the draft net: a diffusion model of the same tokens; self: the target's own "
               "two-way side, where it has one", needed=True, local=True, within=("self",)),
        Option("least", 20, "holes at least", low=1, high=512),
        Option("most", 30, "holes at most, and in the first run", low=1, high=512),
        Option("more", 10, "holes added while all of the draft is accepted", low=0, high=512),
        Option("rate", 0.5, "how quickly the averages of drafted and accepted lengths follow", low=0, high=1),
        Option("mass", 0.8, "candidates of a hole make up this much probability", low=0, high=1),
        Option("candidates", 15, "candidates of a hole at most", low=1, high=1024),
        Option("beam", 3, "paths that are searched side by side", low=1, high=64),
        Option("weight", 0.5, "of the draft net's log-probabilities; the n-grams have the rest", low=0,
               high=1),
        Option("keep", True, "keep the n-grams between requests"),
    ),
    departures=(
        "the 3-grams are counted in the texts themselves, this one and those before (the paper fits KenLM on "
        "the training split of each task)",
        "a path that ended goes on with the end of text in the holes behind, as the draft net sees it there; "
        "else short paths would always win (ours)",
        "above temperature 0 the path is a fixed guess, judged by sample-and-match",
        "no more holes than the request has room for (ours)",
    ),
)  # fmt: skip


def lattice(mass: float, most: int, eos: Sequence[int]) -> Reader:
    """For each live row its spots: the fewest likeliest tokens that make up the mass, at most `most`, and an
    end of text that is among these. The first spot whose likeliest token ends the text is the last one."""

    def read(answer: Answer, chance: Chance) -> list[list[Spot]]:
        logs = answer.logits.log_softmax(-1, torch.promote_types(answer.logits.dtype, torch.float32))
        log, token = (x.tolist() for x in logs.topk(min(most, logs.shape[-1])))
        ends = logs[:, list(eos)].amax(-1).tolist() if eos else [IMPOSSIBLE] * len(log)
        rows = []
        for lines in answer.rows:
            spots: list[Spot] = []
            for i in range(lines.start, lines.start + lines.count):
                some: list[int] = []
                before, logs_of = 0.0, []
                for x, t in zip(log[i], token[i], strict=True):
                    if x > IMPOSSIBLE and (before < mass or not some or t in eos):
                        some.append(t)
                        logs_of.append(x)
                    before += math.exp(x)
                spots.append(Spot(tuple(some), tuple(logs_of), max(ends[i], IMPOSSIBLE)))
                if token[i][0] in eos:
                    break
            rows.append(spots)
        return rows

    return read


@dataclass(slots=True)
class Pace:
    """Of one row: exponential averages of lengths in tokens, and what they tell."""

    holes: int  # k
    drafted: float = 0.0  # G, before an end of text
    accepted: float = 0.0  # A
    known: int = 0  # tokens of the row that were counted


def length(pace: Pace, least: int, most: int, more: int) -> int:
    """k = clip(ceil(G + more [A >= G]), least, most)."""
    return max(least, min(most, math.ceil(pace.drafted + more * (pace.accepted >= pace.drafted))))


def diffuspec(
    setting: Setting, draft: str, least: int, most: int, more: int, rate: float, mass: float,
    candidates: int, beam: int, weight: float, keep: bool,
) -> Drafter:  # fmt: skip
    if least > most:
        raise ValueError(
            f"option least is {least}; allowed is 1 to {most}, which is most; choose one of these"
        )
    fresh = Ngrams(setting.vocab)
    grams = setting.memory.setdefault(CARD.name, fresh) if keep else fresh
    read, paces = lattice(mass, candidates, setting.eos), WeakKeyDictionary[Canvas, dict[int, Pace]]()

    def upto(deepest: int) -> Draft:
        def drafting(canvas: Canvas) -> Generator[Ask, Any, Trees]:
            known = paces.setdefault(canvas, {})
            mine = [known.setdefault(row, Pace(most)) for row in canvas.live]
            texts = [canvas.rows[row] for row in canvas.live]
            last = min(canvas.prompt + canvas.budget, setting.context) - 1  # which the target writes itself
            holes = [min(p.holes, max(0, last - len(t)), deepest) for p, t in zip(mine, texts, strict=True)]
            if not any(holes):
                return tuple(chain([]) for _ in texts)
            cells = [range(len(text), len(text) + max(1, k)) for text, k in zip(texts, holes, strict=True)]
            found = yield Ask(read, at=cells, net="diffusion")
            trees = []
            for pace, text, k, spots in zip(mine, texts, holes, found, strict=True):
                grams.learn(text, pace.known)
                pace.known = len(text)
                ends = spots[-1].token[0] in setting.eos
                pace.drafted += rate * (min(len(spots) - ends, k) - pace.drafted)
                trees.append(chain(path(spots[:k], text, grams, beam, weight, setting.eos), source=CARD.name))
            return tuple(trees)

        return drafting

    def learn(canvas: Canvas, trees: Trees, seen: Any, paths: Sequence[Sequence[int]]) -> None:
        for row, taken in zip(canvas.live, paths, strict=True):
            pace = paces[canvas][row]
            pace.accepted += rate * (len(taken) - 1 - pace.accepted)
            pace.holes = length(pace, least, most, more)

    return Drafter(upto(most), learn=learn, upto=upto)
