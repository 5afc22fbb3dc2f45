"""ADED (Liu et al. 2025, arXiv:2407.12021): trigrams of a corpus, adapted to the text, searched for a tree.

A table tells for two tokens which ones follow them. Trigrams of the latest text grow heavier. A Monte Carlo
tree search from the text's last two tokens finds the continuations that are worth judging: it likes heavy
trigrams and children that it visited little.
"""

from weakref import WeakKeyDictionary

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree
from anyorder.drafter import After, Drafter, by_row
from anyorder.sizes import best_prefix
from anyorder.tables import corpus as table_of
from anyorder.tables import nothing_known
from anyorder.trigrams import PREFIXES, Trigrams, draft

CARD = Card(
    name="aded",
    family="speculative",
    paper="arXiv:2407.12021",
    exact=True,
    kind="point",
    summary="trigrams of a corpus, adapted to the text, searched for a tree of guesses",
    headline="up to 2.5x over plain decoding, about 20 % higher acceptance than earlier retrieval drafts",
    cost="1 target run per commit, up to 1 + nodes cells",
    options=(
        Option("corpus", "",
               "a .txt, .jsonl or .npz file of the domain; without one only the text teaches", local=True),
        Option("nodes", 0, "guesses at most; 64 is the paper's; 0: as many as pay by the measured cost of a "
               "run, 16 where it is not measured", low=0, high=64, unmeasured=16),
        Option("step", 0.04, "what a trigram of the last 16 tokens grows by", low=0.001, high=3),
        Option("iterations", 150, "of the search", low=1, high=2000),
        Option("keep", True, "keep what texts taught between requests"),
    ),
    departures=(
        "texts, prompts too, grow trigrams token by token, as if each token were a round",
        "the corpus's table is only read; pairs of tokens that a text goes through are copied and grow "
        "there, with 16 successors each; when there are 32768 of them, all are forgotten",
        "a search's reward is the sum of its path's weights, as in the paper; the released code looks up "
        "others",
        "rolls are drawn by a generator that starts from the text's length and last tokens",
        "instead of the trim rule, which drops deep paths first, the likeliest nodes are kept, by the "
        "product of their weights' shares (ours)",
        "where nothing is known there are no guesses; the reference has a dummy",
        "how many nodes pay is told from these products, how often such nodes become text and the cost of "
        "a run (ours)",
    ),
)  # fmt: skip

WINDOW, CAP = 16, 3.0  # the paper's
HOLDS = 0.6  # of nodes whose shares multiply to s, s * HOLDS become text (measured, whatever s)


def likeliest(
    token: np.ndarray, parent: np.ndarray, chance: np.ndarray, most: int, costs: list[float]
) -> Tree:
    """The tree of the nodes with the largest chances: `most`, or as many as pay."""
    order = np.argsort(
        -chance, kind="stable"
    )  # a parent's chance is as large as its child's, and it comes first
    size = best_prefix(chance[order].tolist(), lambda k: costs[k - 1]) if costs else most
    kept = np.sort(order[:size]).tolist()
    place = {-1: -1} | {old: new for new, old in enumerate(kept)}
    tokens, parents = token[kept].tolist(), [place[p] for p in parent[kept].tolist()]
    return Tree(tuple(tokens), tuple(parents), source=(CARD.name,) * len(kept))


def aded(setting: Setting, corpus: str, nodes: int, step: float, iterations: int, keep: bool) -> Drafter:
    table = nothing_known()
    if corpus:
        table = table_of(corpus, setting.memory, setting.encode, setting.spelling, setting.vocab)
    name = f"{CARD.name} {corpus} {step}"
    held = setting.memory.get(name) if keep else None
    if held is None or (corpus and held.table is not table):
        held = Trigrams(table)
    if keep:
        setting.memory[name] = held
    fed: WeakKeyDictionary[Canvas, dict[int, int]] = WeakKeyDictionary()  # how much of each row was learnt
    price = None if nodes else setting.cost
    assert nodes or price is not None, "an open size needs the cost of a run"
    costs = [price(k) for k in range(1, 2 * PREFIXES + 2)] if price is not None else []

    def learnt(canvas: Canvas, row: int) -> list[int]:
        text, done = canvas.rows[row], fed.setdefault(canvas, {})
        first = max(0, done.get(row, 0) - WINDOW + 1)
        held.learn(np.array(text[first:]), done.get(row, 0) - first, WINDOW, step, CAP)
        done[row] = len(text)
        return text

    def guess(canvas: Canvas, row: int) -> Tree:
        text = learnt(canvas, row)
        if len(text) < 2:
            return Tree()
        seed = np.uint64((len(text) << 40) + (text[-2] << 20) + text[-1] + 1)
        token, parent, share = draft(held.view, text[-2], text[-1], iterations, seed)
        return likeliest(token, parent, share * HOLDS, nodes, costs)

    def rank(canvas: Canvas, row: int) -> After:
        two = tuple(learnt(canvas, row)[-2:])

        def after(path: tuple[int, ...]) -> list[tuple[int, float]]:
            before = (*two, *path)[-2:]
            found = held.following(*before) if len(before) == 2 else []
            return [(token, share * HOLDS) for token, share in found]

        return after

    return Drafter(by_row(guess), rank=rank)
