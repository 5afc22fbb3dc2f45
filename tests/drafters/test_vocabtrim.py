"""VocabTrim: a drafter that knows frequent tokens only."""

import numpy as np
import pytest
import torch

from anyorder import registry
from anyorder.card import Setting
from anyorder.drafters.draft_model import chained_drafts
from anyorder.drafters.vocabtrim import counted, frequent
from anyorder.nets.parts import Trimmed
from anyorder.testing import enumerate_outcomes
from tests.drafts import P, Q, first_commit, judged, same_law

OPTIONS = [{"drafter": "early_exit/tokens=2"}, {"drafter": "early_exit/tokens=2/draw=sampled", "keep": 2}]


def nets_of(words, vocab=13, drafter="early_exit/layer=3", encode=None, **given):
    setting = Setting(vocab=vocab, encode=encode, **given)
    registry.build("vocabtrim", {"drafter": drafter, **words}, setting)
    return setting.nets


def test_what_is_kept_comes_most_often_and_what_is_special_stays():
    assert frequent([5, 0, 7, 7, 1], 2) == (2, 3)
    assert frequent([5, 0, 7, 7, 1], 3, always=(4,)) == (0, 2, 3, 4)
    assert frequent([0, 0, 0], 2) == (0, 1), "of equals the lower ids"


def test_the_net_is_asked_for_with_these_words():
    ((net, options),) = nets_of({"keep": 4}, eos=(11,), special=(12,))
    assert net == "exit"
    assert options["layer"] == 3
    assert options["words"] == (0, 1, 2, 3, 11, 12)
    ((_, options),) = nets_of({"keep": 2}, encode=lambda text: [7] if text == "a" else [])
    assert options["words"] == (0, 1, 7), "a token for each character"


@pytest.mark.parametrize("keep", [13, 99])
def test_a_whole_vocabulary_is_not_trimmed(keep):
    ((_, options),) = nets_of({"keep": keep})
    assert "words" not in options


def test_counts_from_files(tmp_path):
    counts = np.zeros(13, int)
    counts[[3, 9, 12]] = 5, 8, 1  # not the lowest ids
    np.save(tmp_path / "a.npy", counts)
    np.savez(tmp_path / "a.npz", counts)
    (tmp_path / "a.txt").write_text("jjjd")
    for name in ("a.npy", "a.npz", "a.txt"):
        ((_, options),) = nets_of(
            {"keep": 2, "counts": str(tmp_path / name)},
            encode=lambda text: [ord(c) % 97 for c in text if c in "jd"],
        )
        assert options["words"] == (3, 9), name


@pytest.mark.parametrize("source", ["nothing.npy", "short.npy", "words.txt", "x.csv"])
def test_a_source_that_does_not_tell_is_refused(source, tmp_path):
    np.save(tmp_path / "short.npy", np.ones(5))
    (tmp_path / "words.txt").write_text("a")
    with pytest.raises(ValueError, match=r"allowed is a .npy or .npz file of 13 numbers or a .txt"):
        counted(str(tmp_path / source), Setting(vocab=13))  # and there is no tokenizer


def test_a_drafter_without_a_net_is_refused():
    with pytest.raises(ValueError, match="guesses without a net"):
        nets_of({}, drafter="prompt_lookup")


class Three:
    """A body whose head knows tokens 0 and 1 of three, with law Q among them."""

    vocab, context, cell_bytes = 3, 99, 1

    def __call__(self, feed, store):
        logits = torch.tensor([Q[:2]], dtype=torch.float64).log().repeat(len(feed.lines), 1)
        return logits, logits, {}

    def store(self, slots):
        return None


def test_the_worked_example():
    """p = (.3, .3, .4), q = (.6, .3, .1), kept {0, 1}: q' = (2/3, 1/3, 0) is accepted with .6; what follows a
    rejection is token 2; the law is p."""
    from anyorder.nets.causal import Causal

    nets = {"target": same_law(*P), "exit": Causal(Trimmed(Three(), torch.tensor([0, 1])))}
    method = judged(chained_drafts("exit", 1, True, "x"), "residual")
    found = enumerate_outcomes(first_commit(method, nets))
    law = {token: sum(w for path, w in found.items() if path[0] == token) for token in range(3)}
    assert law == pytest.approx(dict(enumerate(P)))
    assert sum(w for path, w in found.items() if len(path) == 2) == pytest.approx(0.6)
    assert {path for path in found if len(path) == 1} == {(2,)}
