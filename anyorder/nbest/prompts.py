"""The prompts of HyPoradise (arXiv:2309.15701): an instruction, the best hypothesis, the others, a slot.

The words are ours; the paper's idea is kept: revise the best hypothesis using words of the other ones, and
write the true transcription only. A tuned model is shown the task alone, in training and afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from anyorder.nbest.lists import NBest, built

INSTRUCTION = (
    "A speech recogniser wrote several hypotheses of one spoken sentence, the best one first. Revise the "
    "best hypothesis, using words of the other ones where they fit better. Write the true transcription "
    "only, on one line."
)
BUILT_IN = (  # hypotheses, what was said; made by us
    (
        ("the whether was to cold for the beach", "the weather was too cold for the beach"),
        "the weather was too cold for the beach",
    ),
    (
        (
            "she red the hole letter twice",
            "she read the hole letter twice",
            "she read the whole ladder twice",
        ),
        "she read the whole letter twice",
    ),
    (
        ("please male the bill to my office", "please mail the build to my office"),
        "please mail the bill to my office",
    ),
)


def task(texts: Sequence[str]) -> str:
    """What a tuned model continues with the transcription.

    >>> print(task(["their it is", "there it is"]) + "there it is")
    ### Best hypothesis:
    their it is
    <BLANKLINE>
    ### Other hypotheses:
    there it is
    <BLANKLINE>
    ### Response:
    there it is
    """
    best, *others = texts
    parts = [f"### Best hypothesis:\n{best}"]
    if others:
        parts.append("### Other hypotheses:\n" + "\n".join(others))
    return "\n\n".join([*parts, "### Response:\n"])


def zero_shot(texts: Sequence[str]) -> str:
    return f"{INSTRUCTION}\n\n{task(texts)}"


def few_shot(texts: Sequence[str], examples: Sequence[NBest]) -> str:
    """The instruction, examples with their answers, then the task."""
    shown = [f"{task(one.texts)}{one.reference}" for one in examples]
    return "\n\n".join([INSTRUCTION, *shown, task(texts)])


def built_in(n: int) -> list[NBest]:
    """Our own examples as lists of `n`."""
    return [
        built(NBest.of(texts, reference, f"example-{i}"), n)
        for i, (texts, reference) in enumerate(BUILT_IN, start=1)
    ]


def shots(one: NBest, examples: Sequence[NBest], count: int) -> list[NBest]:
    """The first examples that are not this list itself, whose answer would then be given away."""
    others = [e for e in examples if set(e.texts) != set(one.texts) and e.reference != one.reference]
    return others[:count]
