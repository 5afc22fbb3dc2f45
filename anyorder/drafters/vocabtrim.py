"""VocabTrim (Goel et al. 2025, arXiv:2506.22694): the draft net's output head knows the frequent tokens only.

A draft net's step is little more than reading weights, and much of these is the output head: a row for each
token, most of them rare. A drafter whose head has the rows of the `keep` most frequent ones reads less and
never guesses the others; the target judges as ever. Laws over all tokens give the others no chance.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.drafter import Drafter

CARD = Card(
    name="vocabtrim",
    family="speculative",
    paper="arXiv:2506.22694",
    exact=True,
    kind="point",
    summary="another drafter, its net's output head cut down to frequent tokens",
    headline="14 to 19 % on drafters of Llama-3 on Spec-Bench",
    cost="1 target run per commit; the inner drafter's runs, with a head of `keep` rows",
    options=(
        Option("drafter", "early_exit", "whose net is trimmed: early_exit, ... with its options"),
        Option("keep", 8192, "tokens kept, besides the special ones and those of single characters", low=1),
        Option("counts", "", "how often each token comes, as .npy or .npz [V], or a .txt to count in; empty: "
               "the lowest ids", local=True),
    ),
    departures=(
        "without counts the lowest ids are kept: a tokenizer merges what is frequent first, so its ids are "
        "nearly in order of frequency; the paper counts, best in texts that the target wrote",
        "special tokens and those of the first 256 characters are always kept (ours)",
    ),
)  # fmt: skip


def frequent(counts: Sequence[int] | np.ndarray, keep: int, always: Sequence[int] = ()) -> tuple[int, ...]:
    """Step 2: the ids that come most often, of equals the lower ones, and those kept always; rising."""
    return tuple(sorted({*np.argsort(-np.asarray(counts), kind="stable")[:keep].tolist(), *always}))


def counted(source: str, setting: Setting) -> np.ndarray:
    """Step 1: [V] how often each token comes. Raises ValueError for a source that does not tell."""
    path, found = Path(source).expanduser(), None
    if path.suffix == ".txt" and path.is_file() and setting.encode is not None:
        found = np.bincount(setting.encode(path.read_text(encoding="utf-8")), minlength=setting.vocab)
    elif path.suffix in (".npy", ".npz") and path.is_file():
        read = np.load(path)
        found = read if path.suffix == ".npy" else read[read.files[0]]
    if found is None or found.shape != (setting.vocab,):
        raise ValueError(
            f"option counts is {source!r}{'' if found is None else f', which holds numbers {found.shape}'}; "
            f"allowed is a .npy or .npz file of {setting.vocab} numbers or a .txt; name one that is there"
        )
    return found


def vocabtrim(setting: Setting, drafter: str, keep: int, counts: str) -> Drafter:
    known = len(setting.nets)
    inner = setting.make(drafter)
    if not inner.net:
        raise ValueError(
            f"drafter {drafter} guesses without a net, and vocabtrim trims a net's output head; "
            "allowed is one that drafts by a net; choose early_exit, skip_layers or draft_model"
        )
    often = counted(counts, setting) if counts else np.zeros(keep)
    if keep < setting.vocab:
        spelt = [t for c in map(chr, range(256)) for t in setting.encode(c)] if setting.encode else []
        words = frequent(often, keep, (*setting.eos, *setting.special, *spelt))
        setting.nets[known:] = [
            (net, {**options, "words": words} if net == inner.net else options)
            for net, options in setting.nets[known:]
        ]
    return inner
