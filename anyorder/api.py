"""anyorder as a library.

>>> import anyorder
>>> model = anyorder.load()                                     # the embedded SmolLM2-135M-Instruct
>>> model.generate("Why is the sky blue?", method="token_recycling").text
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from anyorder import companions, constraints, holes, registry
from anyorder.card import Price, Setting
from anyorder.constraints import filled
from anyorder.core.canvas import Canvas, Stop
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, Watch, decode
from anyorder.core.types import Net
from anyorder.deltas import Deltas
from anyorder.engine.cost import known, load_or_measure
from anyorder.errors import UserError
from anyorder.nets import parallel
from anyorder.nets.adapter import Adapter
from anyorder.nets.causal import Causal
from anyorder.nets.graphs import Static
from anyorder.nets.lean import Lean, lean, plain
from anyorder.nets.load import give_back, load_any
from anyorder.nets.memory import Memory, parsed, share_of_machine, show
from anyorder.nets.stock import packs
from anyorder.nets.two_way import TwoWay
from anyorder.quick import NET as QUICK
from anyorder.recent import Recent
from anyorder.shapers import Sampling, compose
from anyorder.text import Prompt, stop_rule, templated, turns, unknown_words, written

KEPT = 512  # things that drafters and constraints keep between requests
NETS = 32  # nets besides the target


def in_4_bits(name: str) -> str:
    """What the cost of a model's quicker copy is kept under."""
    return f"{name}, 4-bit copy over its cache"


@dataclass
class Result:
    """What one request became."""

    text: str
    token_ids: list[int]
    method: str
    exact: bool
    model: str
    runs: int  # of the target
    cells: int  # fed to the target, the prompt's included
    seconds: float
    ended: str | None
    texts: list[str] = field(default_factory=list)  # every hypothesis, best first
    scores: list[float] = field(default_factory=list)  # their scores

    @property
    def tokens(self) -> int:
        return len(self.token_ids)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def tokens_per_run(self) -> float:
        return self.tokens / self.runs if self.runs else 0.0

    def figures(self) -> dict[str, Any]:
        """What the command line prints."""
        return {
            "text": self.text, "tokens": self.tokens, "runs": self.runs, "cells": self.cells,
            "seconds": round(self.seconds, 4), "tokens_per_second": round(self.tokens_per_second, 2),
            "tokens_per_run": round(self.tokens_per_run, 3), "method": self.method, "exact": self.exact,
            "model": self.model, "ended": self.ended,
            **({"texts": self.texts, "scores": self.scores} if len(self.texts) > 1 else {}),
        }  # fmt: skip


class Piece(str):
    """A bit of text that just became true; `.request` tells whose. `.cells`: which cells of an any-order
    canvas it stands in, counted from the end of the prompt; None: it continues the text."""

    request: Request
    cells: tuple[int, ...] | None

    def __new__(cls, text: str, request: Request, cells: tuple[int, ...] | None = None) -> Piece:
        piece = super().__new__(cls, text)
        piece.request, piece.cells = request, cells
        return piece


class Model:
    """A checkpoint ready to decode. Made by `anyorder.load`."""

    def __init__(
        self,
        name: str,
        precision: str,
        module: Any,
        tokenizer: Any,
        packed: bool = True,
        memory: int | None = None,
        adapter: Adapter | None = None,
    ):
        """`module`: a transformers model; packed, its weights move out of it. `memory`: bytes of all caches
        together. `adapter`: how an any-order model is asked. Raises UserError, and Disagrees if the packed
        body gave other answers than the module."""
        self.name, self.precision = name, precision
        self.module, self.tokenizer = module, tokenizer
        self.cache = Memory(memory or share_of_machine(module.device.type))
        try:
            body = lean(module, precision) if packed else plain(module, precision)
        except ValueError as error:
            raise UserError(str(error)) from error
        if body is None:
            raise Disagrees(name)
        self.adapter, packs = adapter, self._packs(body)
        self.filler = None if adapter is None else TwoWay(body, adapter, self.cache, packs)
        writes = adapter is None or adapter.attention == "hybrid"  # from left to right
        self.target = cast(Any, Causal(body, self.cache, packs) if writes else self.filler)
        self.memory: Any = Recent(most=KEPT)  # what drafters and constraints keep between requests
        self.cost = known(self.target, name, precision)  # measured by `anyorder bench --cost`, or None
        quick = known(self.target, in_4_bits(name), precision) if companions.has_quick(self) else None
        self.costs: dict[str, Price] = {} if quick is None else {QUICK: quick}
        self._others: MutableMapping[companions.Key, Net] = Recent(most=NETS, forget=self._leave)

    def measure(self) -> None:
        """Measure what runs of the target and of its copy in 4 bits cost, and keep it for this machine: some
        15 seconds each, the first time. Methods size their guesses by it. Raises UserError."""
        self.cost = load_or_measure(self.target, self.name, self.precision)
        with contextlib.suppress(UserError):  # not every model has one
            quick = self.net(QUICK, {})
            self.costs = {QUICK: load_or_measure(quick, in_4_bits(self.name), self.precision)}

    def _packs(self, body: Any) -> bool:
        """Whether a stock model reads texts side by side as it reads each alone; says so if it does not."""
        stock = body.stock if isinstance(body, Static) else body
        if isinstance(stock, Lean) or packs(stock):
            return True
        warnings.warn(
            f"{self.name} misreads texts that stand side by side, so its requests run one after the other "
            "and without guesses; methods that need more are refused",
            stacklevel=3,
        )
        return False

    # requests --------------------------------------------------------------------------------------------

    def request(
        self,
        prompt: Prompt,
        method: str = "auto",
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
        stop: Sequence[str] = (),
        chat: bool = True,
        trusted: bool = True,
        **options: Any,
    ) -> Request:
        """A request ready for `decode`.

        `prompt`: text, put into the model's chat template if it has one and `chat` is true; messages of a
        chat, [{"role": "user", "content": ...}, ...], put into it always, or lines of text if there is none;
        or token ids, taken as they are. `max_tokens`: 128, or the model's own number of cells. `options`:
        shaping (top_k, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty, logit_bias,
        banned), constraints (json_schema, which may be a dict, grammar, regex, choices, keywords, min_tokens,
        rhyme, constraint), of any-order canvases (block, template), and the method's own. `trusted`: options
        may name files, models and code of this machine. Raises UserError.
        """
        if temperature is not None:
            options["temperature"] = temperature
        card = self._card(method := self.chosen(method, temperature))
        ids = self.encode(prompt, chat)
        rule = stop_rule(self.tokenizer, stop) if stop else None
        cells = card.canvas == "cells"
        try:
            space, options = holes.taken(options) if cells else ({}, options)
            shaped, own = registry.shaping(method, constraints.written(options))
            setting = replace(self._setting(shaped["temperature"] == 0, prompt), trusted=trusted)
            canvas = self._canvas(ids, max_tokens, space, setting, rule)
            words = self._vocabulary(setting)
            grammar = filled.taken(shaped, constraints.OPTIONS, words, setting.greedy) if cells else None
            held = constraints.taken(shaped, words, canvas.budget)
            sampling = Sampling(**shaped, constraint=held)
            run = registry.build(method, own, replace(setting, forced=None if held is None else held.forced))
        except ValueError as error:
            raise UserError(str(error)) from error
        run = run if grammar is None else grammar(run)
        self._fits(len(ids), canvas.budget)
        if "tree" not in self.target.can and not cells and card.family != "autoregressive":
            raise UserError(
                f"method {method} asks for guesses or several rows, which {self.name} misreads; "
                "choose greedy or sample"
            )
        return Request(canvas, run, self._nets(method, setting), compose(sampling), Chance(seed))

    def _canvas(
        self,
        ids: list[int],
        tokens: int | None,
        space: Mapping[str, Any],
        setting: Setting,
        rule: Stop | None,
    ) -> Canvas:
        """`space`: options of an any-order canvas; empty: the canvas grows at its end. Raises UserError."""
        if tokens is not None and tokens < 1:
            raise UserError(f"max_tokens is {tokens}; allowed is 1 or more; ask for at least one token")
        if not space:
            return Canvas(ids, tokens or 128, eos=self.eos, stop=rule)
        assert self.adapter is not None
        assert setting.encode is not None
        return holes.canvas(ids, tokens, self.adapter, space, setting.encode, self.eos, rule)

    def chosen(self, method: str, temperature: float | None) -> str:
        """What `auto` stands for where a model cannot do what it does."""
        if method == "auto" and self.target is self.filler:
            return "static"
        if method == "auto" and "tree" not in self.target.can:
            return "sample" if temperature else "greedy"
        return method

    def _setting(self, greedy: bool, prompt: Prompt) -> Setting:
        return Setting(
            greedy=greedy, vocab=self.target.vocab, context=self.target.context,
            layers=self.module.config.num_hidden_layers, eos=self.eos,
            special=tuple(self.tokenizer.all_special_ids), memory=self.memory, cost=self.cost,
            costs=self.costs, load=lambda: self.target.load,
            encode=lambda text: list(self.tokenizer(text, add_special_tokens=False)["input_ids"]),
            spell=lambda tokens: self.tokenizer.decode(tokens, skip_special_tokens=True),
            spelling=self.spelling, prompt=written(prompt),
            attention=self.adapter.attention if self.adapter else "",
        )  # fmt: skip

    @property
    def vocabulary(self) -> constraints.Vocabulary:
        """What constraints must know."""
        return self._vocabulary(self._setting(True, ""))

    def _vocabulary(self, setting: Setting) -> constraints.Vocabulary:
        assert setting.encode is not None
        return constraints.Vocabulary(
            self.target.vocab, self.eos, self.tokenizer, setting.encode, setting.spell, self.memory,
            setting.trusted,
        )  # fmt: skip

    @cached_property
    def spelling(self) -> str:
        """Tells tokenizers apart: a digest of the vocabulary."""
        words = sorted(self.tokenizer.get_vocab().items(), key=lambda pair: pair[1])
        return hashlib.sha256(repr(words).encode()).hexdigest()[:16]

    def _nets(self, method: str, setting: Setting) -> dict[str, Net]:
        """The target and what the made drafters need. Raises UserError."""
        cells = registry.card(method).canvas == "cells"
        nets: dict[str, Net] = {"target": self.filler if cells and self.filler else self.target}
        for name, options in setting.nets:
            made = self.net(name, options)
            if nets.setdefault(name, made) is not made:
                raise UserError(
                    f"method {method} has two drafters that need different nets {name!r}; allowed is one; "
                    "give both the same options"
                )
        return nets

    def _card(self, method: str) -> Any:
        try:
            card = registry.card(method)
        except ValueError as error:
            raise UserError(str(error)) from error
        if card.canvas != "row" and self.filler is None:
            raise UserError(
                f"method {method} fills cells in any order and {self.name} writes from left to right; "
                "choose a method of another family, or a model such as list-diffusion; see: anyorder methods"
            )
        if card.canvas == "row" and self.target is self.filler:
            raise UserError(
                f"method {method} writes from left to right and {self.name} fills cells in any order; "
                "choose a method of family diffusion; see: anyorder methods"
            )
        return card

    def _fits(self, prompt: int, more: int) -> None:
        """Refuse a request that could not be decoded even alone. Raises UserError."""
        if prompt + more > self.target.context:
            raise UserError(
                f"the prompt has {prompt} tokens and {more} are asked for; {self.name} holds "
                f"{self.target.context} in all; shorten the prompt or ask for fewer"
            )
        need, most = (prompt + more) * self.target.cell_bytes, self.cache.budget
        if need > most:
            raise UserError(
                f"prompt and max_tokens make {prompt + more} tokens, which need {show(need)} of cache, and "
                f"{show(most)} are allowed; allow more memory, shorten the prompt or ask for fewer"
            )

    @property
    def eos(self) -> tuple[int, ...]:
        found = self.module.generation_config.eos_token_id if self.module.generation_config else None
        if found is None:
            found = self.tokenizer.eos_token_id
        if isinstance(found, (list, tuple)):
            return tuple(found)
        return () if found is None else (found,)

    def encode(self, prompt: Prompt, chat: bool = True) -> list[int]:
        """Token ids of a prompt, as for `request`. Raises UserError if there is nothing to continue."""
        said = turns(prompt)
        text = prompt if said is None else "\n".join(one["content"] for one in said)
        if isinstance(text, str) and said is None and chat:
            said = [{"role": "user", "content": text}]
        if not isinstance(text, str):
            ids = list(cast(Sequence[int], text))
        elif not text.strip():
            ids = []
        elif said is not None and self.tokenizer.chat_template:
            ids = templated(self.tokenizer, said)
        else:
            ids = list(self.tokenizer(text)["input_ids"])
        if isinstance(text, str) and (unknown := unknown_words(self.tokenizer, text)):
            raise UserError(
                f"the prompt has words that {self.name} does not know: {', '.join(unknown)}; allowed are "
                "those of its vocabulary; use others"
            )
        if not ids:
            raise UserError(
                "the prompt is empty; a prompt has at least one word; write something to continue"
            )
        return ids

    def net(self, name: str, options: Mapping[str, Any]) -> Net:
        """A net that a card names; see `companions`. Made once. Raises UserError."""
        if name == "target":
            return self.target
        key = companions.key(name, options)
        if key not in self._others:
            self._others[key] = companions.made(self, name, options)
        return self._others[key]

    def _leave(self, net: Any) -> None:
        """The net's cells are no longer counted; requests that use it go on."""
        if net in self.cache.holders:
            self.cache.holders.remove(net)

    # running ---------------------------------------------------------------------------------------------

    def generate(self, prompt: Prompt, method: str = "auto", **options: Any) -> Result:
        """Decode one prompt to its end. Options as in `request`."""
        return self.batch([prompt], method, **options)[0]

    def stream(self, prompt: Prompt, method: str = "auto", **options: Any) -> Iterator[Piece]:
        """Decode one prompt; its text piece by piece as it is committed. Options as in `request`.

        While a method keeps several hypotheses nothing is certain: the best one's text comes at the end.
        Pieces of an any-order canvas name their cells; a cell may be written again, and
        `Piece.request.canvas` is the whole.
        """
        request = self.request(prompt, method, **options)
        if request.canvas.mask is not None:
            yield from self._filled(request)
            return
        deltas = Deltas(self.tokenizer, request.canvas, options.get("stop", ()))
        for event in decode([request]):
            if text := deltas.add(event).text:
                yield Piece(text, request)
        if text := deltas.end(self.result(request, method, 0.0).text):
            yield Piece(text, request)

    def _filled(self, request: Request) -> Iterator[Piece]:
        """The commits of an any-order canvas."""
        for event in decode([request]):
            for token, at in zip(event.written.token, event.written.at or ()):
                if token:
                    cells = tuple(i - request.canvas.prompt for i in at)
                    yield Piece(self.tokenizer.decode(list(token)), request, cells)

    def batch(
        self, prompts: Sequence[Any], method: str = "auto", watch: Watch | None = None, **options: Any
    ) -> list[Result]:
        """Decode many prompts side by side, in shared runs. A prompt may be a mapping with its own `prompt`,
        `method` and options, which go before the common ones; so methods mix in one batch."""
        requests, names = [], []
        for prompt in prompts:
            own = dict(prompt) if isinstance(prompt, Mapping) else {"prompt": prompt}
            asked = {"method": method, **options, **own}
            names.append(asked["method"])
            requests.append(self.request(**asked))
        start = time.perf_counter()
        seconds: dict[Request, float] = {}
        for event in decode(deque(requests), watch):
            if event.request.canvas.done:
                seconds[event.request] = time.perf_counter() - start
        return [
            self.result(r, name, seconds.get(r, time.perf_counter() - start))
            for r, name in zip(requests, names, strict=True)
        ]

    def result(self, request: Request, method: str, seconds: float) -> Result:
        """The outcome of a finished request."""
        canvas = request.canvas
        method = self.chosen(method, None)
        order = ranked(canvas)
        texts = [self.spell(canvas, h) for h in order]
        best = order[0]
        return Result(
            text=texts[0], token_ids=canvas.generated(best), method=method, exact=registry.card(method).exact,
            model=self.name, runs=request.runs.get("target", 0), cells=request.cells.get("target", 0),
            seconds=seconds, ended=canvas.ended[best], texts=texts, scores=[canvas.score[h] for h in order],
        )  # fmt: skip

    def spell(self, canvas: Canvas, row: int = 0) -> str:
        """The text a row generated, cut before the stop string that ended it."""
        text = self.tokenizer.decode(canvas.generated(row), skip_special_tokens=True)
        if canvas.ended[row] == "stop" and canvas.stop is not None:
            text = canvas.stop.cut(text)  # type: ignore[attr-defined]
        return text


def ranked(canvas: Canvas) -> list[int]:
    """The rows, best first."""
    return sorted(range(len(canvas.rows)), key=lambda h: -canvas.score[h])


class Disagrees(Exception):
    """A packed body and the model it was made of gave different answers."""


def load(
    model: str | None = None,
    *,
    precision: str = "bf16",
    device: str = "cpu",
    packed: bool = True,
    memory: int | str | None = None,
) -> Model:
    """Load a model by short name, hub id, folder or GGUF file; the embedded SmolLM2-135M-Instruct by default.

    `precision`: fp32, bf16, int8 or int4. `packed=False` keeps the stock model's own computation. `memory`:
    of all caches together, bytes or "512MB"; a quarter of the machine's by default. Started by torchrun, the
    model lies on all processes and only rank 0 goes on from here. Raises UserError.
    """
    name, budget = model or "smollm2", None if memory is None else parsed(memory)
    if parallel.begin():
        module, tokenizer, budget = parallel.load(name, precision, device, budget)
        return Model(name, precision, module, tokenizer, False, budget)
    for pack in (packed, False):
        module, tokenizer, adapter = load_any(name, precision, device)
        with contextlib.suppress(Disagrees):
            made = Model(name, precision, module, tokenizer, pack, budget, adapter)
            give_back()
            return made
    raise AssertionError("a stock body agrees with itself")
