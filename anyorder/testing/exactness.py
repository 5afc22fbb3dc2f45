"""Laws 1, 2, 3 and 7: what the text is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Net, Shape
from anyorder.testing.by_text import ByText
from anyorder.testing.oracles import distance, greedy_text, law_of_text, plain_line
from anyorder.testing.outcomes import TooMany, enumerate_outcomes
from anyorder.testing.record import play, restarted
from anyorder.testing.subject import PROMPTS, Subject, subject

LENGTH = 9  # tokens of a text; a square, for grids
CLOSE = 1e-6  # readers may draw from float32
MOST = 2500  # branches of an enumeration


class DoesNotApply(Exception):
    """Why a law says nothing about a method."""


class Forgetful:
    """The same net, dropping its caches before every run."""

    def __init__(self, net: Net):
        self.net, self.vocab, self.context, self.can = net, net.vocab, net.context, net.can

    def __getattr__(self, name: str) -> Any:
        return getattr(self.net, name)

    def __call__(self, asks: Any) -> Any:
        self.net.forget()  # type: ignore[attr-defined]
        return self.net(asks)


def caches_follow_the_text(tested: Subject) -> str:
    """Law 1. Dropping all caches between steps changes nothing."""
    runs = [(p, greedy) for p in PROMPTS for greedy in tested.ways]
    for prompt, greedy in runs:
        nets = tested.nets(tested.card, 13)
        kept = tested.run(prompt, LENGTH, greedy=greedy, nets=nets)
        if any(commit.keep for commit in kept.commits):
            raise DoesNotApply("stale states are kept, which is law 7's matter")
        forgetful = {name: Forgetful(net) for name, net in nets.items()}
        dropped = tested.run(prompt, LENGTH, greedy=greedy, nets=forgetful)
        what = f"prompt {prompt}, {'greedy' if greedy else 'sampling'}"
        assert dropped.texts == kept.texts, f"{what}: {kept.texts}; without caches {dropped.texts}"
        assert dropped.transcript == kept.transcript, f"{what}: other steps without caches"
        if greedy and tested.card.exact:
            request = tested.request(prompt, LENGTH, nets=nets)
            request.method = restarted(request.method)
            (again,) = play([request])
            assert again.texts == kept.texts, f"{what}: {kept.texts}; restarted at each commit {again.texts}"
    return f"{len(runs)} runs without caches{'; restarted from the canvas' * tested.card.exact}"


def planted(eos: int, place: int) -> Shape:
    """A shape that makes `eos` certain as the `place`-th generated token and impossible elsewhere."""

    def shape(answer: Answer, canvas: Canvas) -> Answer:
        logits = answer.logits.clone()
        logits[:, eos] = -torch.inf
        first = 0
        for lines in answer.rows:
            for line in range(first - lines.start, lines.count):  # from the first line that was not skipped
                if lines.position(line) == canvas.prompt + place:
                    logits[lines.start + line] = -torch.inf
                    logits[lines.start + line, eos] = 0.0
            first = lines.start + lines.count
        return replace(answer, logits=logits)

    return shape


def greedy_text_wherever_eos_falls(tested: Subject) -> str:
    """Law 2. The text of exact methods at temperature 0 is the plain loop's, or, of those that fill cells,
    static unmasking's."""
    if not tested.card.exact or tested.card.family == "visual":
        raise DoesNotApply("the card says inexact" if not tested.card.exact else "a grid has no plain loop")
    runs, cells = 0, tested.card.canvas == "cells"
    plain = subject("static", options={k: v for k, v in tested.options.items() if k in ("steps", "order")})

    def oracle(prompt: list[int], nets: Mapping[str, Net], **given: Any) -> list[int]:
        if cells:
            return plain.run(prompt, LENGTH, nets=nets, **given).texts[0]
        return greedy_text(nets["target"], prompt, LENGTH, **given)

    def same(prompt: list[int], nets: Mapping[str, Net], **given: Any) -> None:
        nonlocal runs
        runs += 1
        true = oracle(prompt, nets, **given)
        found = tested.run(prompt, LENGTH, nets=nets, **given).texts
        assert found == [true], f"prompt {prompt}, {given}: {found}, greedy is {true}"

    for prompt in PROMPTS:
        nets = tested.nets(tested.card, 13)
        same(prompt, nets)
        for eos in sorted(set(oracle(prompt, nets))):  # a token it really writes
            same(prompt, nets, eos=[eos])
    for place in range(LENGTH):  # and a token put at every place, in every net's answers; 12 is the mask
        same(PROMPTS[-1], nets, eos=[11], shape=planted(11, place))
    return f"{runs} texts"


def sampling_distances(tested: Subject) -> dict[str, tuple[int, float]]:
    """Verifier ("": the method has none) -> tokens of the texts, and the total variation of their enumerated
    law from the target's at temperature 1. Raises DoesNotApply."""
    if not tested.card.exact or tested.card.canvas != "row":
        raise DoesNotApply("the card says inexact" if not tested.card.exact else "the canvas is any-order")
    if tested.card.name == "greedy" or False not in tested.ways:
        raise DoesNotApply("the method does not sample")
    made = tested.nets(tested.card, 3)
    nets = {  # without caches, so that enumerating is quick; what fills holes is asked for more than the next
        name: net if "any-order" in net.can else ByText(partial(plain_line, net, text=()))
        for name, net in made.items()
    }
    prompt, eos, off = [0, 1, 0], [2], {}
    for verify in tested.verify:

        def run(chance: Any, length: int, verify: str = verify) -> tuple[int, ...]:
            given = {"greedy": False, "nets": nets, "eos": eos, "chance": chance, "verify": verify}
            return tuple(tested.run(prompt, length, **given).texts[0])

        for length in (3, 2, 0):
            if not length:
                raise ValueError(
                    f"{tested.card.name} draws too much to enumerate; check it with smaller options"
                )
            try:
                found = enumerate_outcomes(partial(run, length=length), MOST)
                break
            except TooMany:
                continue
        off[verify] = length, distance(found, law_of_text(nets["target"], prompt, length, eos=eos))
    return off


def sampling_law(tested: Subject) -> str:
    """Law 3. With V = 3, one token ending the text, the law of the text is the target's at temperature 1."""
    checked = []
    for verify, (length, off) in sampling_distances(tested).items():
        assert off < CLOSE, f"verify={verify}, texts of {length}: total variation {off:.3g} off the target"
        checked.append(f"{verify or 'its law'}: texts of {length}")
    return "; ".join(checked)


def stale_only_if_inexact(tested: Subject) -> str:
    """Law 7. A commit that keeps stale states has an inexact card."""
    count = 0
    for prompt in PROMPTS:
        for greedy in tested.ways:
            commits = tested.run(prompt, LENGTH, greedy=greedy).commits
            count += len(commits)
            stale = next((commit.keep for commit in commits if any(map(len, commit.keep))), None)
            assert not (stale and tested.card.exact), f"the card says exact, a commit keeps {stale}"
    return f"{count} commits"
