"""transformers' assisted generation before the judge: is its text its own plain `generate`'s?

Every way of drafting that 5.23 offers is tried on tiny models: draws against the target's law, which is
enumerated after temperature and top_k, and texts at temperature 0. The ways that need no special checkpoint
are tried on a real model, too: what `generate` emitted with drafting is decoded again one cell at a time by
transformers itself, and every token that is not the likeliest is a tie or a bug, see `ties`.

>>> [v.method for v in audit(model=None) if v.alarm]
['transformers: universal assistant', 'transformers: single-position assistant']

A drafter may guess by any rule, if it reports the distribution its guesses were drawn from. One that takes
the likeliest token and reports its logits as that distribution has it accepted as often as if it were drawn
less often than it is, and what replaces a refused guess makes up for guesses that are never made.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from anyorder.audit import draws as drawn
from anyorder.audit import tiny
from anyorder.audit.ties import FACTOR
from anyorder.audit.tiny import LENGTH, PROMPT, Pair
from anyorder.audit.verdict import NOT_EXACT, UNCHECKED, Found, Greedy, Sampling, Token, Verdict, judge
from anyorder.errors import UserError

DRAWS = 1000
SHAPE = {"temperature": 0.7, "top_k": 3}  # so that a drafter must report its distribution as it was shaped
LONG = 16  # tokens of tiny greedy texts
ARGMAX = (
    "SinglePositionMultiTokenCandidateGenerator drafts the likeliest token, whatever do_sample says, and "
    "reports its raw logits as the distribution that token was drawn from (huggingface/transformers#47932)"
)
ORDER = (
    "AssistantToTargetTranslator prunes the assistant's head in the order of a dictionary of words and "
    "spreads its logits in the order of their ids, so the distribution reported is another token's"
)
SUBSET = (
    "AssistantToTargetTranslator prunes the head only if the assistant has words the target lacks, and looks "
    "up the pruned ids in any case"
)
WIDTHS = (3, 8, 16)  # cells of the runs that the noise of a real model is measured with
PROMPTS = (
    "Why is the sky blue?",
    "Repeat this sentence three times: the cat sat on the mat.",
    "def add(a, b):\n    return a + b\n\ndef sub(a, b):",
)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """One way of drafting. `real`: the arguments that make a real model draft so; None: it needs another
    checkpoint. `cause`: what the source of 5.23 does that explains a finding, told only if there is one."""

    name: str
    tiny: Callable[[], Pair]
    claims: bool = True
    real: Callable[[Any, Any], dict[str, Any]] | None = None
    cause: str = ""


def ways() -> list[Way]:
    """Everything 5.23 offers, and two of our own methods inside it."""
    from anyorder.hf import for_transformers

    mine = partial(tiny.ours, for_transformers=for_transformers)
    dynamic = {
        "num_assistant_tokens": 4,
        "assistant_confidence_threshold": 0.4,
        "num_assistant_tokens_schedule": "heuristic",
    }
    return [
        Way("plain", tiny.plain),
        Way("prompt lookup", tiny.prompt_lookup, real=lambda m, t: {"prompt_lookup_num_tokens": 8}),
        Way("assistant", tiny.assistant, real=partial(_assisted, num_assistant_tokens=4)),
        Way("assistant, dynamic", partial(tiny.assistant, **dynamic), real=partial(_assisted, **dynamic)),
        Way("assistant, ensemble", partial(tiny.assistant, assistant_ensemble_weight=0.5), claims=False),
        Way("early exit", tiny.early_exit, real=lambda m, t: {"assistant_early_exit": _half(m)}),
        Way("universal assistant", tiny.universal, real=_universal, cause=ORDER),
        Way("universal assistant, fewer words", tiny.subset, cause=SUBSET),
        Way("multi-token prediction", tiny.multi_token),
        Way("block assistant", tiny.block),
        Way("single-position assistant", tiny.single_position, cause=ARGMAX),
        Way("anyorder sample", partial(mine, "sample")),
        Way("anyorder token_recycling", partial(mine, "token_recycling"), real=lambda m, t: _ours()),
    ]


def audit(
    *,
    model: str | None = "smollm2",
    precision: str = "fp32",
    prompts: Sequence[str] = PROMPTS,
    max_tokens: int = 48,
    draws: int = DRAWS,
    seed: int = 0,
    only: Sequence[str] = (),
    tell: Tell | None = None,
) -> list[Verdict]:
    """A verdict on each way. `model`: for texts at temperature 0, None: tiny models alone. `only`: names of
    ways. `tell`: hears what is being tried. Raises UserError for unknown ways and models."""
    names = [way.name for way in ways()]
    if unknown := [name for name in only if name not in names]:
        raise UserError(
            f"unknown way of drafting {unknown[0]!r}; allowed is {', '.join(names)}; choose among them"
        )
    chosen = [way for way in ways() if not only or way.name in only]
    with _quietly():
        real = None if model is None else _load(model, precision)
        found = []
        for way in chosen:
            if tell:
                tell(f"transformers: {way.name}")
            texts = partial(_real_greedy, way, *real, prompts, max_tokens) if real and way.real else None
            verdict = check(f"transformers: {way.name}", way.tiny, way.claims, texts, draws, seed)
            if way.cause and verdict.verdict in (NOT_EXACT, UNCHECKED):
                verdict = replace(verdict, why=f"{verdict.why}; {way.cause}")
            found.append(verdict)
    return found


def check(
    name: str,
    make: Callable[[], Pair],
    claims: bool = True,
    texts: Callable[[], Greedy] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Verdict:
    """A verdict on any way of drafting, given as a maker of tiny models; also on one of your own.

    `texts`: gives what was found on a real model at temperature 0. Each part gets fresh models, as some ways
    change their assistant for good.
    """
    with torch.random.fork_rng():
        try:
            greedy = _tiny_greedy(make())
            if texts is not None:
                greedy = _sum(greedy, texts())
            sampling, told = _sampled(make(), draws, seed)
        except Exception as error:  # whatever a library says while it drafts is the finding
            why = f"transformers stopped with {type(error).__name__}: {error}"
            return Verdict(name, "transformers", claims, verdict=UNCHECKED, why=why)
    found = judge(name, "transformers", claims, greedy=greedy, sampling=sampling)
    reason = "; ".join(part for part in (found.why, told) if part)
    return judge(name, "transformers", claims, greedy=greedy, sampling=sampling, why=reason)


# draws ---------------------------------------------------------------------------------------------------


def _sampled(pair: Pair, draws: int, seed: int) -> tuple[Sampling, str]:
    """Draws of whole texts against the target's law, and what was found in words."""
    target, ids = pair.target, torch.tensor([PROMPT])
    eos = target.generation_config.eos_token_id

    def draw(i: int) -> tuple[int, ...]:
        return _generated(target, ids, max_new_tokens=LENGTH, do_sample=True, **SHAPE, **pair.given(i))

    torch.manual_seed(seed)
    counts = drawn.count(draw, draws)
    law = drawn.law_of_texts(lambda text: _shaped(target, [*PROMPT, *text]), LENGTH, (eos,))
    found = drawn.compare(counts, law)
    again = []
    for _ in range(2):
        torch.manual_seed(seed)
        again.append([draw(i) for i in range(8)])
    what = f"texts of {LENGTH} tokens at temperature {SHAPE['temperature']}, top_k {SHAPE['top_k']}"
    return Sampling(found.tv, found.p_value, draws, again[0] == again[1], what), f"draws: {found.told}"


@torch.no_grad()
def _shaped(target: Any, text: list[int]) -> list[float]:
    """[V] the target's law of the next token, shaped as SHAPE says."""
    logits = target(torch.tensor([text])).logits[0, -1].double() / SHAPE["temperature"]
    least = logits.topk(int(SHAPE["top_k"])).values[-1]
    return logits.masked_fill(logits < least, -torch.inf).softmax(-1).tolist()


def _generated(target: Any, ids: Tensor, **given: Any) -> tuple[int, ...]:
    out = target.generate(ids, attention_mask=torch.ones_like(ids), **given)
    return tuple(out[0, ids.shape[1] :].tolist())


# texts at temperature 0 ----------------------------------------------------------------------------------


def _tiny_greedy(pair: Pair) -> Greedy:
    prompts = [[a, b, 0, a, b] for a in range(2) for b in range(3)]
    return _greedy(pair.target, pair.given(0), prompts, LONG, str)


def _real_greedy(way: Way, module: Any, tokenizer: Any, prompts: Sequence[str], room: int) -> Greedy:
    assert way.real is not None
    ids = [list(tokenizer(prompt)["input_ids"]) for prompt in prompts]
    return _greedy(module, way.real(module, tokenizer), ids, room, lambda t: str(tokenizer.decode([t])))


def _greedy(
    target: Any, given: dict[str, Any], prompts: Sequence[list[int]], room: int, spell: Callable[[int], str]
) -> Greedy:
    """Texts with drafting against plain `generate`'s; those that differ are decoded again cell by cell."""
    found: list[Found] = []
    for number, prompt in enumerate(prompts):
        ids = torch.tensor([prompt], device=target.device)
        how = {"max_new_tokens": room, "do_sample": False}
        plain, text = _generated(target, ids, **how), _generated(target, ids, **how, **given)
        if text != plain:
            found += again(target, prompt, text, room, number=number, spell=spell)
    ties = sum(f.verdict == "tie" for f in found)
    off = len({f.prompt for f in found})
    return Greedy(len(prompts), len(prompts) - off, ties, len(found) - ties, tuple(found))


def again(
    target: Any,
    prompt: Sequence[int],
    text: Sequence[int],
    room: int,
    *,
    number: int = 0,
    spell: Callable[[int], str] = str,
) -> list[Found]:
    """Every place where an emitted text is not what the model, fed it one cell at a time, likes best."""
    ends = _ends(target)
    lines = cells(target, [*prompt, *text], len(prompt), 1)  # [len(text) + 1, V]
    best, noise, found = lines.argmax(-1).tolist(), None, []
    for place, token in enumerate([*text, None][: room if len(text) < room else len(text)]):
        ended = place > 0 and text[place - 1] in ends
        if ended and token is None:
            break
        expected = None if ended else best[place]
        if token == expected:
            continue
        margin = None
        if token is not None and expected is not None:
            margin = float(lines[place, expected] - lines[place, token])
            noise = rounding(target, [*prompt, *text], len(prompt)) if noise is None else noise
        tie = margin is not None and noise is not None and margin <= FACTOR * noise
        a, b = (Token(t, "" if t is None else spell(t)) for t in (expected, token))
        found.append(Found(number, place, a, b, margin, noise, "tie" if tie else "bug"))
    return found


def _ends(target: Any) -> tuple[int, ...]:
    eos = target.generation_config.eos_token_id
    return () if eos is None else tuple(eos) if isinstance(eos, list) else (eos,)


@torch.no_grad()
def cells(target: Any, text: Sequence[int], start: int, width: int) -> Tensor:
    """[len(text) - start + 1, V] float logits after text[:start], text[:start + 1], ...: text[:start] at once
    and the rest in runs of `width` cells over the cache."""
    ids = torch.tensor([list(text)], device=target.device)
    out = target(ids[:, :start], use_cache=True)
    lines = [out.logits[0, -1:]]
    for at in range(start, len(text), width):
        out = target(ids[:, at : at + width], past_key_values=out.past_key_values, use_cache=True)
        lines.append(out.logits[0])
    return torch.cat(lines).float().cpu()


def rounding(target: Any, text: Sequence[int], start: int) -> float:
    """The largest change of the two likeliest tokens' difference from runs of one cell to runs of many."""
    one = cells(target, text, start, 1)
    top = one.topk(2).indices
    gap = one.gather(1, top).diff()
    return max(float((cells(target, text, start, w).gather(1, top).diff() - gap).abs().max()) for w in WIDTHS)


def _sum(a: Greedy, b: Greedy) -> Greedy:
    """Two suites as one; prompts of the second are numbered after the first's."""
    moved = tuple(
        Found(f.prompt + a.prompts, f.position, f.expected, f.emitted, f.margin, f.noise, f.verdict)
        for f in b.divergences
    )
    return Greedy(
        a.prompts + b.prompts, a.equal + b.equal, a.ties + b.ties, a.bugs + b.bugs, (*a.divergences, *moved)
    )


# a real model --------------------------------------------------------------------------------------------


def _load(model: str, precision: str) -> tuple[Any, Any]:
    from anyorder.nets.load import load

    return load(model, precision)


def _half(module: Any) -> int:
    return int(module.config.get_text_config().num_hidden_layers) // 2


def _assisted(module: Any, tokenizer: Any, **settings: Any) -> dict[str, Any]:
    """An assistant that is often right and sometimes not: the model with its small weights shaken. The large
    ones are shared, so it takes no memory."""
    drafts = copy.deepcopy(module, memo={id(p): p for p in module.parameters() if p.dim() > 1})
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for value in drafts.parameters():
            if value.dim() == 1:
                value *= 1 + 0.1 * torch.randn_like(value)
    for name, value in settings.items():
        setattr(drafts.generation_config, name, value)
    return {"assistant_model": drafts}


def _universal(module: Any, tokenizer: Any) -> dict[str, Any]:
    """A random assistant that reads single characters."""
    words = "".join(map(chr, range(32, 127)))
    drafts = tiny.llama(5, len(words) + 1)
    drafts.generation_config.num_assistant_tokens = 3  # as none of them is likely to be right
    return {"assistant_model": drafts, "tokenizer": tokenizer, "assistant_tokenizer": tiny.letters(words)}


def _ours() -> dict[str, Any]:
    from anyorder.hf import for_transformers

    return {"custom_generate": for_transformers("token_recycling")}


@contextmanager
def _quietly() -> Any:
    """Without transformers' advice and progress bars, which are not the audit's."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
