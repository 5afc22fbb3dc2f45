"""The ways to make one text of an N-best list (HyPoradise, arXiv:2309.15701, and re-ranking beside it).

`choose` re-ranks: the hypothesis with the highest (1 - weight) log p(text) + weight * the recogniser's score.
`channel` also considers texts put together from several hypotheses: the highest log p(text) +
beta * log p(hypotheses | text), a noisy channel of mistyped characters. `zero_shot` and `few_shot` ask the
model for the transcription by a prompt; `tuned` asks a checkpoint trained for it (`anyorder.recipes.ger`).
What these write is not trusted blindly: a text too far from every hypothesis is refused, and what `choose`
says stands instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyorder.card import Option
from anyorder.errors import UserError
from anyorder.nbest import prompts
from anyorder.nbest.lists import NBest, said
from anyorder.nbest.noise import channel, distance
from anyorder.nbest.parts import compositions

if TYPE_CHECKING:
    from anyorder.api import Model

WAYS = {
    "first": "the recogniser's best hypothesis, as it is",
    "choose": "the hypothesis that is likeliest to the model, and to the recogniser",
    "channel": "the likeliest text put together from the hypotheses, through a noisy channel",
    "zero_shot": "what the model writes when it is asked",
    "few_shot": "the same, with solved examples in the prompt",
    "tuned": "what a checkpoint writes that was trained for it",
}
WRITES = ("zero_shot", "few_shot", "tuned")
CONTEXT = "Write down a sentence that somebody said."
BATCH = Option("batch", 8, "lists side by side", low=1)
SEED = Option("seed", 0, "of what is drawn")
GATE = Option("gate", 0.5, "refuse texts with more edits for each character of a hypothesis; 0: never", low=0)
SHOTS = Option("shots", 3, "examples in the prompt", low=1)
JUDGING = Option("context", CONTEXT, "what the model is asked before it judges a text")
MEAN = Option("per_token", False, "re-rank by the mean log-probability of a token instead of the sum")
OPTIONS = {  # of each way, by name or --set; a way that writes re-ranks what the gate refuses
    "first": (BATCH, SEED),
    "choose": (BATCH, SEED, JUDGING, MEAN),
    "channel": (
        BATCH, SEED, JUDGING,
        Option("beta", 1.0, "weight of the channel against the model", low=0, high=100),
        Option("rate", 0.05, "share of mistaken characters", low=1e-6, high=0.5),
        Option("candidates", 32, "most texts put together", low=1, high=4096),
    ),
    "zero_shot": (BATCH, SEED, GATE, JUDGING, MEAN),
    "few_shot": (BATCH, SEED, SHOTS, GATE, JUDGING, MEAN),
    "tuned": (BATCH, SEED, GATE, JUDGING, MEAN),
}  # fmt: skip
WEIGHT = Option("weight", 0.5, "share of the recogniser's score", low=0, high=1)
MOST = 256  # tokens written, as in the paper


@dataclass(frozen=True)
class Corrected:
    """What one list became."""

    id: str | int
    text: str
    chosen: int | None  # which hypothesis it is, by its place in the list as given from 0; None: none of them
    refused: str | None = None  # what the model wrote and the gate did not let pass
    scores: tuple[float, ...] = ()  # way choose: of the built list's hypotheses

    def line(self) -> dict[str, Any]:
        """As a line of output."""
        line: dict[str, Any] = {"id": self.id, "text": self.text, "chosen": self.chosen}
        if self.refused is not None:
            line["refused"] = self.refused
        if self.scores:
            line["scores"] = [round(score, 4) for score in self.scores]
        return line


@dataclass(frozen=True)
class Plan:
    """What was asked for, checked."""

    way: str
    own: Mapping[str, Any]  # the way's options
    method: str
    rest: Mapping[str, Any]  # the method's options
    weight: float | None = None
    solved: tuple[NBest, ...] = ()  # few_shot: the examples

    def share(self, one: NBest) -> float:
        """Of the recogniser's score."""
        if self.weight is None:
            return WEIGHT.default if one.scored else 0.0
        return self.weight


def correct(
    model: Model | None, lists: Sequence[NBest], way: str = "choose", **options: Any
) -> list[Corrected]:
    """One text for each list. See `corrected`."""
    return list(corrected(model, lists, way, **options))


def corrected(
    model: Model | None, lists: Sequence[NBest], way: str = "choose", **options: Any
) -> Iterator[Corrected]:
    """One text for each list, as they are made. `options` are those of `planned`; only the way `first` needs
    no model. Raises UserError at once."""
    plan = planned(lists, way, **options)
    if model is None and way != "first":
        raise UserError(f"way {way} needs a model; allowed without one is first; load a model")
    return _corrected(model, lists, plan)


def planned(
    lists: Sequence[NBest],
    way: str,
    *,
    method: str = "auto",
    weight: float | None = None,
    examples: Sequence[NBest] | None = None,
    **options: Any,
) -> Plan:
    """Everything checked that can be before a model is loaded.

    `weight`: share of the recogniser's score in `choose`; None: half where all hypotheses of a list have one,
    else none. `examples`: lists with references, for `few_shot`; None: our own. `method` and further options
    are as in `Model.generate`, for the ways that write; `OPTIONS` names each way's own. Raises UserError.
    """
    own, rest = settled(way, options)
    if method != "auto" and way not in WRITES:
        raise UserError(f"way {way} takes no method; allowed are {', '.join(WRITES)}; leave method out")
    if examples is not None and way != "few_shot":
        raise UserError(f"way {way} takes no examples; allowed is few_shot; leave examples out")
    return Plan(way, own, method, rest, _weight(weight, way, lists), _solved(way, examples, lists))


def settled(way: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The way's options with their values, and those left for the method. Raises UserError."""
    if way not in WAYS:
        raise UserError(f"unknown way {way!r}; allowed is {', '.join(WAYS)}; choose one")
    rest = dict(options)
    own = {option.name: _parsed(option, rest.pop(option.name, option.default)) for option in OPTIONS[way]}
    if rest and way not in WRITES:
        raise UserError(
            f"way {way} has no option {next(iter(rest))!r}; its options: {', '.join(own)}; methods and their "
            f"options are for the ways that write: {', '.join(WRITES)}"
        )
    return own, rest


def _weight(weight: float | None, way: str, lists: Sequence[NBest]) -> float | None:
    if weight is None:
        return None
    if way in ("first", "channel"):
        raise UserError(f"way {way} takes no weight; allowed are the other ways; leave weight out")
    share: float = _parsed(WEIGHT, weight)
    bare = next((one for one in lists if not one.scored), None)
    if share and bare is not None:
        raise UserError(
            f"weight is {share:g} and list {bare.id!r} has a hypothesis without score; allowed is 0 there; "
            "leave weight out to use scores where they are"
        )
    return share


def _parsed(option: Option, value: Any) -> Any:
    try:
        return option.parse(value)
    except ValueError as error:
        raise UserError(f"{error}; correct it") from error


def _solved(way: str, examples: Sequence[NBest] | None, lists: Sequence[NBest]) -> tuple[NBest, ...]:
    if way != "few_shot":
        return ()
    if examples is None:
        return tuple(prompts.built_in(max((len(one.hypotheses) for one in lists), default=1)))
    solved = tuple(one for one in examples if one.reference)
    if not solved:
        raise UserError("no example has a reference; few_shot shows solved lists; give some with references")
    return solved


def _corrected(model: Any, lists: Sequence[NBest], plan: Plan) -> Iterator[Corrected]:
    size = plan.own["batch"]
    for start in range(0, len(lists), size):
        some = lists[start : start + size]
        if plan.way == "first":
            yield from (_as(one, one.texts[0]) for one in some)
        elif plan.way == "choose":
            yield from _chosen(model, some, plan)
        elif plan.way == "channel":
            yield from _channel(model, some, plan)
        else:
            yield from _gated(model, some, _written(model, some, plan), plan)


def _as(one: NBest, text: str, **more: Any) -> Corrected:
    place = next((h.place for h in one.hypotheses if h.text == text), None)
    return Corrected(one.id, said(text), place, **more)


# ways that judge --------------------------------------------------------------------------------------


def _chosen(model: Model, lists: Sequence[NBest], plan: Plan) -> Iterator[Corrected]:
    """Re-ranking; the first of equals."""
    likely = _likely(model, [one.texts for one in lists], plan)
    for one, found in zip(lists, likely, strict=True):
        share, scores = plan.share(one), []
        for hypothesis, (logp, tokens) in zip(one.hypotheses, found, strict=True):
            mine = logp / tokens if plan.own["per_token"] else logp
            scores.append((1 - share) * mine + (share * (hypothesis.score or 0.0) if share else 0.0))
        best = max(range(len(scores)), key=scores.__getitem__)
        yield _as(one, one.texts[best], scores=tuple(scores))


def _channel(model: Model, lists: Sequence[NBest], plan: Plan) -> Iterator[Corrected]:
    """argmax log p(text) + beta * mean over the hypotheses of log p(hypothesis | text)."""
    groups = [compositions(one.texts, plan.own["candidates"]) for one in lists]
    for one, texts, found in zip(lists, groups, _likely(model, groups, plan), strict=True):
        seen = list(dict.fromkeys(one.texts))
        scores = [
            logp + plan.own["beta"] * sum(channel(h, text, plan.own["rate"]) for h in seen) / len(seen)
            for text, (logp, _) in zip(texts, found, strict=True)
        ]
        yield _as(one, texts[max(range(len(scores)), key=scores.__getitem__)])


def _likely(model: Model, groups: Sequence[Sequence[str]], plan: Plan) -> Iterator[list[tuple[float, int]]]:
    from anyorder.nbest.likelihood import log_likelihoods  # imports torch; the command's refusals need none

    return log_likelihoods(model, groups, plan.own["context"])


# ways that write --------------------------------------------------------------------------------------


def _written(model: Model, lists: Sequence[NBest], plan: Plan) -> list[str]:
    """The first line that the model writes after each prompt, at most about twice the longest hypothesis."""
    asked = []
    for one in lists:
        longest = max(len(model.tokenizer(text)["input_ids"]) for text in one.texts)
        most = plan.rest.get("max_tokens", min(2 * longest + 8, MOST))
        asked.append({"prompt": _prompt(one, plan), "max_tokens": most})
    # only the bare instruction is for a chat template: examples are a pattern to be continued
    common = {"stop": ("\n",), "chat": plan.way == "zero_shot", "seed": plan.own["seed"], **plan.rest}
    return [cleaned(result.text) for result in model.batch(asked, plan.method, **common)]


def _prompt(one: NBest, plan: Plan) -> str:
    if plan.way == "tuned":
        return prompts.task(one.texts)
    if plan.way == "zero_shot":
        return prompts.zero_shot(one.texts)
    return prompts.few_shot(one.texts, prompts.shots(one, plan.solved, plan.own["shots"]))


def cleaned(text: str) -> str:
    """The text without quotation marks around it."""
    text = " ".join(text.split())
    for a, b in ('""', "''", "“”", "‘’", "``"):
        if len(text) > 2 and text[0] == a and text[-1] == b:
            return text[1:-1].strip()
    return text


def _gated(model: Model, lists: Sequence[NBest], texts: Sequence[str], plan: Plan) -> Iterator[Corrected]:
    """Texts that are near enough to a hypothesis, and re-ranking's choice instead of the others."""
    pairs = list(zip(lists, texts, strict=True))
    bad = [one for one, text in pairs if not _near(one, text, plan.own["gate"])]
    able = "tree" in model.target.can  # a model that cannot judge leaves it to the recogniser
    spare = _chosen(model, bad, plan) if able else iter([_as(one, one.texts[0]) for one in bad])
    for one, text in pairs:
        if bad and one is bad[0]:
            bad, choice = bad[1:], next(spare)
            yield Corrected(one.id, choice.text, choice.chosen, text)
        else:
            yield _as(one, text)


def _near(one: NBest, text: str, gate: float) -> bool:
    """Whether some hypothesis becomes the text by at most `gate` edits for each of its characters."""
    plain = text.casefold()
    return not gate or any(distance(h.casefold(), plain) <= gate * len(h) for h in map(said, one.texts))
