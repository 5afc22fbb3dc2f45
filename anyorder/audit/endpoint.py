"""Any OpenAI-compatible endpoint before the judge, seen from outside.

One address is asked the way it speculates; a second address, or the same one with other fields in the body,
is the plain side. Nothing but texts and log probabilities is needed:

- texts at temperature 0, side against side and one side twice. At the first difference the margin is the
  plain side's log probability of its token less that of the other's, and the noise is the largest change of a
  difference of two log probabilities from one side to the other, over all that the texts have in common. A
  margin within the noise is a tie. Without log probabilities a tie cannot be told from a bug, and that is
  what the verdict says.
- draws: first tokens against the plain side's law, and every drawn token against the law the endpoint shows
  for its place, all of them one uniform sample of places on the line (see `sampling`).
- one seed twice.

>>> audit("http://127.0.0.1:8000/v1", plain_body={"method": "greedy"}, body={"method": "prompt_lookup"})
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp
from random import Random
from typing import Any

from anyorder.audit import draws as drawn
from anyorder.audit.asking import Answer, Endpoint, Refused, Step
from anyorder.audit.sampling import p_value
from anyorder.audit.ties import FACTOR
from anyorder.audit.verdict import NOT_EXACT, UNCHECKED, Found, Greedy, Sampling, Token, Verdict, judge

PROMPTS = (
    "Why is the sky blue?",
    "Repeat this sentence three times: the cat sat on the mat.",
    "Write a Python function that adds two numbers, and another that subtracts them.",
    "Count from one to twenty in words.",
)
DRAWS = 200
DRAWN = 8  # tokens of each draw: the first is seldom speculated
LIKELY = 4  # tokens of a place whose log probabilities measure the noise: further down nothing is decided
SAME = 1e-4  # log probabilities of one token differ by less, wherever they are shown
REST = None  # the outcome "none of the tokens shown"
UNKNOWN = "unknown"  # a difference that cannot be told to be a tie or a bug
SPECIAL = re.compile(r"<.*>|\[.*\]|")  # tokens that texts do not show


@dataclass(frozen=True)
class Parted:
    """Where two texts part. A token None: that text had ended there."""

    place: int  # tokens they have in common; characters, where no tokens are shown
    plain: str | None
    other: str | None
    margin: float | None  # None: not to be measured
    certain: bool = False  # one text broke off, which rounding does not explain


def audit(
    url: str,
    plain: str | None = None,
    *,
    model: str | None = None,
    key: str | None = None,
    plain_key: str | None = None,
    body: Mapping[str, Any] | None = None,
    plain_body: Mapping[str, Any] | None = None,
    prompts: Sequence[str] = PROMPTS,
    max_tokens: int = 48,
    draws: int = DRAWS,
    seed: int = 0,
    seeded: bool = False,
    chat: bool | None = None,
    timeout: float = 120.0,
    tell: Callable[[str], None] | None = None,
) -> list[Verdict]:
    """One verdict on the endpoint at `url`, in a list.

    `plain`: the address without speculation; None: the same. `body` and `plain_body`: fields added to each
    side's requests, e.g. `{"method": "greedy"}`. `key`: goes to `url`, and to `plain` if that is the same.
    `seeded`: the endpoint promises one text per seed. Raises UserError if an endpoint cannot be asked.
    """
    same = plain is None or plain.rstrip("/") == url.rstrip("/")
    sides = []
    try:
        for at, its_key, fields in (
            (url, key, body),
            (plain or url, plain_key or (key if same else None), plain_body),
        ):
            sides.append(Endpoint(at, model, its_key, dict(fields or {}), chat, timeout))
        return [examine(sides[0], sides[1], prompts, max_tokens, draws, seed, seeded, tell)]
    finally:
        for side in sides:
            side.close()


def examine(
    tested: Endpoint,
    plain: Endpoint,
    prompts: Sequence[str] = PROMPTS,
    max_tokens: int = 48,
    draws: int = DRAWS,
    seed: int = 0,
    seeded: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Verdict:
    """The verdict on one endpoint against another. Raises UserError if one of them cannot be asked."""
    name = " ".join(str(part) for part in (tested.url, tested.model, tested.body.get("method")) if part)
    say = tell or (lambda _: None)
    say(f"{name}: texts at temperature 0")
    greedy = texts(tested, plain, prompts, max_tokens)
    say(f"{name}: draws")
    sampling, remarks = sampled(tested, plain, prompts[0], draws, seed, seeded)
    unknown = sum(f.verdict == UNKNOWN for f in greedy.divergences)
    if unknown:
        reason = "no log probabilities of the differing tokens are shown"
        remarks.insert(0, f"{unknown} texts differ, and a tie cannot be told from a bug: {reason}")
    found = judge(name, "endpoint", True, greedy=greedy, sampling=sampling)
    why = "; ".join(part for part in (found.why, *remarks) if part)
    if unknown and found.verdict != NOT_EXACT:
        return Verdict(name, "endpoint", True, {}, greedy, sampling, UNCHECKED, why)
    return judge(name, "endpoint", True, greedy=greedy, sampling=sampling, why=why)


# texts at temperature 0 ----------------------------------------------------------------------------------


def texts(tested: Endpoint, plain: Endpoint, prompts: Sequence[str], room: int) -> Greedy:
    """Texts of both sides, and the first prompt's a second time, compared."""
    pairs = [(plain.ask(p, room, temperature=0), tested.ask(p, room, temperature=0)) for p in prompts]
    pairs.append((pairs[0][1], tested.ask(prompts[0], room, temperature=0)))  # the same request again
    noises = [change for a, b in pairs for change in changes(a, b)]
    noise = max(noises, default=None)
    found = []
    for number, (a, b) in enumerate(pairs):
        if (place := parted(a, b, room)) is not None:
            expected, emitted = (Token(None, "" if t is None else t) for t in (place.plain, place.other))
            which, said = number % len(prompts), verdict(place, noise)
            found.append(Found(which, place.place, expected, emitted, place.margin, noise, said))
    ties, bugs = (sum(f.verdict == kind for f in found) for kind in ("tie", "bug"))
    return Greedy(len(pairs), len(pairs) - len(found), ties, bugs, tuple(found))


def verdict(place: Parted, noise: float | None) -> str:
    """ "tie", "bug", or "unknown"."""
    if place.certain:
        return "bug"
    if place.margin is None or noise is None:
        return UNKNOWN
    return "tie" if place.margin <= FACTOR * noise else "bug"


def changes(a: Answer, b: Answer) -> Iterator[float]:
    """How much a difference of two log probabilities changes between two answers, where their texts agree."""
    for one, other in zip(a.steps or (), b.steps or ()):
        if one.token != other.token:
            return
        both = [t for t in one.top if t in other.top]
        for x, y in combinations(sorted(both, key=lambda t: -one.top[t])[:LIKELY], 2):
            yield abs((one.top[x] - one.top[y]) - (other.top[x] - other.top[y]))


def parted(plain: Answer, other: Answer, room: int) -> Parted | None:
    """Where the other text leaves the plain one; None: nowhere."""
    if plain.steps is None or other.steps is None:
        if plain.text == other.text:
            return None
        common = next((i for i, (x, y) in enumerate(zip(plain.text, other.text)) if x != y), None)
        at = min(len(plain.text), len(other.text)) if common is None else common
        return Parted(at, plain.text[at : at + 12] or None, other.text[at : at + 12] or None, None)
    a, b = plain.steps, other.steps
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x.token != y.token), min(len(a), len(b)))
    if at == len(a) == len(b):
        return None
    x, y = (side[at].token if at < len(side) else None for side in (a, b))
    if x is not None and y is not None:
        return Parted(at, x, y, margin(a[at], y))
    shorter = plain if x is None else other
    return Parted(at, x, y, None, certain=shorter.finish == "length" and at < room)


def margin(step: Step, other: str) -> float:
    """How much likelier the plain side's token is than another; at least so much if that is not shown."""
    return step.logprob - step.top.get(other, min(step.top.values(), default=step.logprob))


# draws ---------------------------------------------------------------------------------------------------


def sampled(
    tested: Endpoint, plain: Endpoint, prompt: str, draws: int, seed: int, seeded: bool
) -> tuple[Sampling | None, list[str]]:
    """What draws with different seeds say, and remarks."""
    law = first_law(plain, prompt)
    try:
        answers = [tested.ask(prompt, DRAWN, temperature=1, top_p=1, seed=seed + i) for i in range(draws)]
    except Refused as refusal:
        return None, [f"draws were refused: {refusal}"]
    again = [tested.ask(prompt, 24, temperature=1, top_p=1, seed=seed) for _ in range(2)]
    same = again[0].text == again[1].text
    remarks = [] if same or seeded else ["one seed wrote two texts, which it does not promise to avoid"]
    kept = True if same else (False if seeded else None)
    if law is None or not draws:
        return None, [*remarks, "draws cannot be tested: no log probabilities are shown"]
    first = drawn.compare(Counter(outcome(a, law) for a in answers), law)
    chance = Random(seed)
    steps = [step for a in answers for step in a.steps or () if not SPECIAL.fullmatch(step.token)]
    places = p_value([place(step, tested.logprobs or 0, chance) for step in steps])
    tests = [first.p_value] + ([] if places is None else [places])
    what = (
        f"first tokens against the plain side's law{'' if places is None else ', all against the law shown'}"
    )
    remarks.append(f"draws: first tokens, {first.told}")
    p = min(1.0, min(tests) * len(tests))  # of the worse of them (Bonferroni)
    return Sampling(first.tv, p, draws, kept, what), remarks


def first_law(plain: Endpoint, prompt: str) -> dict[str | None, float] | None:
    """Token -> probability after a prompt, what is not shown and what texts do not show together as REST."""
    tries = (plain.ask(prompt, 1, temperature=1, top_p=1, seed=seed).steps for seed in range(8))
    steps = next((found for found in tries if found), None)  # a text that ends at once shows nothing
    if steps is None or not steps[0].top:
        return None
    law: dict[str | None, float] = {
        t: exp(p) for t, p in likely(steps[0], plain.logprobs or 0).items() if not SPECIAL.fullmatch(t)
    }
    law[REST] = max(0.0, 1.0 - sum(law.values()))
    return law


def outcome(answer: Answer, law: Mapping[str | None, float]) -> str | None:
    """Which outcome of a law a drawn first token is."""
    if answer.steps is not None:
        first = answer.steps[0].token if answer.steps else None
    else:  # a text without tokens: the longest token that it begins with
        first = max((t for t in law if t and answer.text.startswith(t)), key=len, default=None)
    return first if first in law else REST


def likely(step: Step, most: int) -> dict[str, float]:
    """The likeliest tokens shown, best first, without the drawn one that some endpoints add to them."""
    return dict(sorted(step.top.items(), key=lambda pair: -pair[1])[:most])


def place(step: Step, most: int, chance: Random) -> float:
    """Where a drawn token lies on the line from 0 to 1 that its law fills from the likeliest down.

    Tokens that are not among the `most` likeliest share the end of the line, and so do those that read like
    one of them. Ends of texts are mostly not shown as tokens, so the law is the one of going on.
    """
    start, shown = 0.0, likely(step, most)
    whole = 1.0 - sum(exp(p) for token, p in shown.items() if SPECIAL.fullmatch(token))
    found = step.token in shown and abs(shown[step.token] - step.logprob) < SAME
    for token, p in shown.items():
        if SPECIAL.fullmatch(token):
            continue
        if found and token == step.token:
            return min(1.0, (start + exp(p) * chance.random()) / whole)
        start += exp(p)
    return min(1.0, (start + (whole - start) * chance.random()) / whole)
