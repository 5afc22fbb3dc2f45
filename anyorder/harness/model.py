"""`anyorder` as a model of lm-eval: texts by any method, likelihoods of texts by the target's own law."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from random import Random
from typing import Any

import lm_eval.models  # noqa: F401 (it looks for its own models only while it knows of none)
import torch
from jinja2.exceptions import TemplateError
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from anyorder import __version__, holes, registry
from anyorder.api import Model, load
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.errors import UserError
from anyorder.harness.likelihood import PART, Said, estimated, forced
from anyorder.harness.wanted import Wanted, wanted
from anyorder.text import unknown_words

AUTO = 16  # texts side by side where lm-eval is to choose
USUAL = 256  # tokens written where no task says, as by lm-eval's other models
TASKS = {"prompt", "max_tokens", "stop", "chat", "trusted"}  # of a request, but no model's arguments
log = logging.getLogger(__name__)

Pair = tuple[Any, list[int], list[int]]  # key of lm-eval's cache, context, continuation


def finished(requests: Iterable[Request], most: int) -> Iterator[Request]:
    """Decode requests, `most` side by side; each as it ends, when the next joins. Raises what one raises."""
    coming = iter(requests)
    waiting, over = deque(islice(coming, most)), deque[Request]()

    def left(request: Request, error: Exception | None) -> None:
        if error is not None:
            raise error
        over.append(request)
        waiting.extend(islice(coming, 1))

    for _ in decode(waiting, over=left):
        while over:
            yield over.popleft()
    yield from over


@register_model("anyorder")
class AnyorderLM(TemplateLM):
    """A model and a method. Arguments of no other meaning are options of the method and of shaping."""

    def __init__(
        self,
        model: str | Model = "smollm2",
        method: str = "auto",
        *,
        precision: str = "bf16",
        device: str | None = None,
        memory: int | str | None = None,
        batch: int | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        max_length: int | None = None,
        max_gen_toks: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
        samples: int = 128,
        **options: Any,
    ):
        """`batch`, or lm-eval's `batch_size`: texts side by side. `max_length`: tokens of context and text
        together, if fewer than the model holds. `max_gen_toks`, `temperature`, `seed`: where a task says
        none. `samples`: draws behind each likelihood of a diffusion model. Raises UserError."""
        super().__init__()
        sizes = {"batch": batch or _size(batch_size), "samples": samples, "max_length": max_length or 1}
        for name, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise UserError(f"{name} is {size!r}; allowed is a whole number from 1; give one")
        if taken := TASKS & options.keys():
            raise UserError(
                f"model arguments name {', '.join(sorted(taken))}, which is a task's affair; allowed is to "
                "say it by gen_kwargs: max_gen_toks, until; or by --apply_chat_template"
            )
        if isinstance(model, str):
            model = load(model, precision=precision, device=_there(device), memory=memory)
        self.model, self.method, self.batch, self.samples = model, method, sizes["batch"], samples
        self.tokenizer = model.tokenizer
        self.two_way = model.target is model.filler  # a diffusion model: its texts have no chain of laws
        self.max_length = min(model.target.context, max_length or model.target.context)
        self.window = self.max_length  # of tokens judged at once, behind one more; the last is never read
        if self.two_way and model.adapter:  # but here every cell is, and whole blocks are
            self.window -= max(1, model.adapter.block if model.adapter.attention == "block" else 1)
        tokens = max_gen_toks or (None if self.two_way else USUAL)
        self.usual = Wanted(tokens, temperature, seed, (), options)
        self.figures: Counter[str] = Counter()
        self.warned = False
        few = tokens and min(tokens, self.max_length - 1)
        self._request([0], replace(self.usual, tokens=few))  # refuses unknown methods, options and values now
        chosen = self._chosen(self.usual)
        space = holes.OPTIONS if registry.card(chosen).canvas == "cells" else ()
        self.allowed = {option.name for option in (*registry.SHAPING, *space, *registry.options(chosen))}

    # tokens ----------------------------------------------------------------------------------------------

    @property
    def eot_token_id(self) -> int:
        return next(iter(self.model.eos), self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text that has no context."""
        first = self.tokenizer.bos_token_id
        first = self.eot_token_id if first is None else first
        if first is None:
            raise UserError(
                f"a text without context is to be judged or continued, and {self.model.name} names no token "
                "that begins or ends texts; allowed is a tokenizer with one; choose another model or task"
            )
        return first

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """A text that already begins as the tokenizer begins texts gets no second beginning."""
        if unknown := unknown_words(self.tokenizer, string):
            raise UserError(
                f"a text has words that {self.model.name} does not know: {', '.join(unknown)}; allowed are "
                "those of its vocabulary; choose another task or model"
            )
        if add_special_tokens is None:
            begins = self.tokenizer.bos_token
            add_special_tokens = not (begins and string.startswith(begins))
        return list(self.tokenizer(string, add_special_tokens=add_special_tokens)["input_ids"])

    @property
    def tokenizer_name(self) -> str:
        return self.tokenizer.name_or_path.replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The conversation as the model's prompt. Raises UserError where its template cannot say it."""
        try:
            return self.tokenizer.apply_chat_template(
                chat_history, tokenize=False, add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )  # fmt: skip
        except (TemplateError, ValueError) as error:
            roles = ", ".join(dict.fromkeys(turn["role"] for turn in chat_history))
            raise UserError(
                f"the chat template of {self.model.name} refuses a talk of {roles} ({error}); allowed "
                "is what it was made for; leave out --system_instruction or --apply_chat_template"
            ) from error

    # texts -----------------------------------------------------------------------------------------------

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """A text for each context. One asked for several times gets another seed each time."""
        asked: Counter[str] = Counter()
        jobs: list[tuple[int, list[int], Wanted]] = []
        for i, (context, given) in enumerate(request.args for request in requests):
            want = wanted(given, self.usual, self.allowed)
            self._warn(given, want)
            key = repr((context, given))
            ids = self.tok_encode(context) or [self.prefix_token_id]
            jobs.append((i, self._shortened(ids, want), replace(want, seed=want.seed + asked[key])))
            asked[key] += 1
        jobs.sort(key=lambda job: (-len(job[1]), job[1]))
        texts, which = [""] * len(jobs), dict[Request, tuple[int, Wanted]]()

        def made() -> Iterator[Request]:
            for i, ids, want in jobs:
                request = self._request(ids, want)
                which[request] = i, want
                yield request

        bar = tqdm(total=len(jobs), disable=disable_tqdm, desc="Running generate_until requests")
        for request in finished(made(), self.batch):
            i, want = which.pop(request)
            result = self.model.result(request, self._chosen(want), 0.0)
            texts[i] = result.text
            self.figures.update(texts=1, tokens=result.tokens, runs=result.runs)
            self.cache_hook.add_partial("generate_until", requests[i].args, result.text)
            bar.update()
        bar.close()
        return texts

    def _chosen(self, want: Wanted) -> str:
        return self.model.chosen(self.method, want.temperature)

    def _request(self, ids: Sequence[int], want: Wanted) -> Request:
        request = self.model.request(
            ids, self.method, max_tokens=want.tokens, temperature=want.temperature, seed=want.seed,
            stop=want.stop, **want.options,
        )  # fmt: skip
        special = set(self.tokenizer.all_special_ids)  # they have no text in which a stop could be found
        ends = self.tokenizer.convert_tokens_to_ids(list(want.stop))
        request.canvas.eos |= special.intersection(ends)
        return request

    def _shortened(self, ids: list[int], want: Wanted) -> list[int]:
        """A context without as much of its beginning as the text needs room for. Raises UserError."""
        cells = self.model.adapter.cells if self.model.adapter else 0
        tokens = want.tokens or cells or holes.LONG
        room = self.max_length - tokens
        if room < 1:
            raise UserError(
                f"{tokens} tokens are to be written and {self.model.name} holds {self.max_length} together "
                "with the context; ask for fewer by max_gen_toks"
            )
        return self._cut(ids, room)

    def _cut(self, ids: list[int], room: int) -> list[int]:
        if len(ids) > room:
            log.warning("a context of %d tokens is cut to its last %d", len(ids), room)
        return ids[max(0, len(ids) - room) :]

    def _warn(self, given: Mapping[str, Any], want: Wanted) -> None:
        mine = self.usual.temperature
        if mine and want.temperature != mine and not self.warned:
            self.warned = True
            log.warning(
                "the task asks for %s, which goes before the model's temperature=%s; "
                "--gen_kwargs do_sample=true,temperature=%s changes the task",
                {k: given[k] for k in ("do_sample", "temperature") if k in given}, mine, mine,
            )  # fmt: skip

    # likelihoods -----------------------------------------------------------------------------------------

    def _loglikelihood_tokens(
        self, requests: Sequence[Pair], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """log p(continuation | context) in nats, and whether the model would have written it. Pairs with one
        context follow each other, so that it is read once."""
        order = sorted(range(len(requests)), key=lambda i: (-len(requests[i][1]), requests[i][1:]))
        said, which = [Said() for _ in requests], dict[Request, int]()

        def made() -> Iterator[Request]:
            for i in order:
                _, context, text = requests[i]
                if text:
                    request = self._judged(context, text, said[i])
                    which[request] = i
                    yield request

        bar = tqdm(total=len(requests), disable=disable_tqdm, desc="Running loglikelihood requests")
        for request in finished(made(), 1 if self.two_way else self.batch):
            i = which.pop(request)
            if requests[i][0] is not None:  # a window of a longer text has no key of its own
                answer = (said[i].logp, said[i].greedy)
                self.cache_hook.add_partial("loglikelihood", requests[i][0], answer)
            bar.update()
        bar.close()
        return [(one.logp, one.greedy) for one in said]

    def _judged(self, context: list[int], text: list[int], said: Said) -> Request:
        """A request that writes the text and listens. Raises UserError if the model cannot hold it."""
        room = self.window + 1 - len(text)
        if room < 1:
            raise UserError(
                f"a text of {len(text)} tokens is to be judged; {self.model.name} holds {self.max_length}; "
                "allowed is one that fits; choose another task or model"
            )
        context, target = self._cut(context, room), self.model.target
        if not self.two_way:
            width = PART if "tree" in target.can else 1
            return Request(Canvas(context, len(text)), forced(text, width, said), {"target": target})
        adapter = self.model.adapter
        assert adapter is not None
        block = adapter.block if adapter.attention == "block" else 0
        most = self.max_length - len(context)
        cells = max(len(text), min(adapter.cells, most))  # what it was trained on: the others stay holes
        cells += -(len(context) + cells) % block if block else 0
        canvas = Canvas(context, cells, mask=adapter.mask, block=block or None, origin=0 if block else None)
        draw = Random(repr((self.usual.seed, context, text)))  # the same in any company
        method = estimated(text, self.samples, self.batch, draw, said)
        return Request(canvas, method, {"target": target})

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """log p of whole texts, in windows as long as the model's context, each token in one of them."""
        pairs: list[Pair] = []
        ends = [0]
        for (text,) in (request.args for request in requests):
            windows = get_rolling_token_windows(
                self.tok_encode(text), self.prefix_token_id, self.window, context_len=1
            )
            pairs += [(None, *make_disjoint_window(window)) for window in windows]
            ends.append(len(pairs))
        said = self._loglikelihood_tokens(pairs, disable_tqdm)
        sums = [sum(logp for logp, _ in said[a:b]) for a, b in pairwise(ends)]
        for request, total in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return sums

    # facts -----------------------------------------------------------------------------------------------

    def get_model_info(self) -> dict[str, Any]:
        """What lm-eval writes beside the results."""
        method = self._chosen(self.usual)
        card = registry.card(method)
        runs, tokens = self.figures["runs"], self.figures["tokens"]
        judged = f"estimate from {self.samples} draws" if self.two_way else "exact"
        return {
            "anyorder": {
                "version": __version__, "model": self.model.name, "precision": self.model.precision,
                "method": method, "paper": card.paper, "exact": card.exact,
                "options": dict(self._options(method)),
                "temperature": self.usual.temperature, "seed": self.usual.seed, "batch": self.batch,
                "loglikelihood": judged, "texts": self.figures["texts"], "tokens": tokens, "runs": runs,
                "tokens_per_run": round(tokens / runs, 3) if runs else None,
            }
        }  # fmt: skip

    def _options(self, method: str) -> Iterator[tuple[str, Any]]:
        """Every option of the method with its value, and those of shaping and canvas that were given."""
        given = dict(self.usual.options)
        for option in registry.options(method):
            value: Any = option.parse(given.pop(option.name, option.default))
            yield option.name, getattr(value, "__name__", str(value)) if callable(value) else value
        for name, value in given.items():
            yield name, getattr(value, "__name__", str(value)) if callable(value) else value


def _there(device: str | None) -> str:
    """lm-eval's command names cuda:0 on every machine; without one its models compute on the CPU."""
    if device is not None and device.startswith("cuda") and not torch.cuda.is_available():
        log.info("there is no %s; computing on the CPU", device)
        return "cpu"
    return device or "cpu"


def _size(batch_size: int | str) -> Any:
    """lm-eval's batch size, which may be a number, one as text, or auto, with or without how often."""
    if isinstance(batch_size, str):
        return (
            AUTO if batch_size.startswith("auto") else int(batch_size) if batch_size.isdigit() else batch_size
        )
    return batch_size
