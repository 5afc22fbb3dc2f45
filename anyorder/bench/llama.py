"""The peer llama.cpp, through llama-cpp-python, on the GGUF file our own weights come from.

It gets token ids, no chat template and no penalties, and computes with the file's own weights at whatever
precision they have. The text cached from an earlier prompt is forgotten before each run. Its threads come
from torch's pool, the two sharing one OpenMP library, and sleep when it does not run.
"""

from __future__ import annotations

import ctypes
import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from anyorder.bench.entries import Entry, Plan
from anyorder.bench.record import Run, Weights
from anyorder.errors import UserError
from anyorder.nets.load import embedded_file

WHOLE = 256  # it rounds its context up to these, and its own buffers do not follow


def check(plan: Plan, rows: Sequence[Entry]) -> None:
    """Refuse what cannot run, before anything is loaded. Raises UserError."""
    for row in rows:
        if row.method.startswith("llama.cpp"):
            gguf_file(plan.model, row.label)
            if importlib.util.find_spec("llama_cpp") is None:
                raise UserError(
                    f"row {row.label} needs llama-cpp-python, which is not installed; pip install "
                    "llama-cpp-python (it builds from source: some minutes and a C++ compiler)"
                )


def gguf_file(model: str, label: str) -> Path:
    """The GGUF file a model comes from. Raises UserError if it comes from anything else."""
    path = Path(model).expanduser()
    file = embedded_file() if model == "smollm2" else path if path.suffix == ".gguf" else None
    if file is None:
        raise UserError(
            f"row {label} runs GGUF files and --model {model} comes from none; "
            "give a .gguf file or leave the row out"
        )
    return file


class LlamaCpp:
    """A loaded file. `guessed`: its own prompt lookup, so many tokens a run."""

    def __init__(self, plan: Plan, eos: Sequence[int], room: int, guessed: int | None = None):
        """`room`: tokens of the longest text. Raises UserError for a file it cannot load."""
        import llama_cpp
        from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

        file, threads = gguf_file(plan.model, "llama.cpp"), torch.get_num_threads()
        room += -(room + (guessed or 0)) % WHOLE + (guessed or 0)
        draft = LlamaPromptLookupDecoding(num_pred_tokens=guessed) if guessed else None
        try:
            llama: Any = llama_cpp.Llama(
                model_path=str(file), n_ctx=room, n_threads=threads, n_threads_batch=threads, verbose=False,
                draft_model=draft, logits_all=bool(guessed),  # else it keeps too few lines for its guesses
            )  # fmt: skip
        except ValueError as error:
            raise UserError(f"llama.cpp cannot load {file} ({error}); leave its rows out") from error
        self.llama = llama
        name = ctypes.create_string_buffer(128)
        llama_cpp.llama_model_desc(self.llama.model, name, len(name))
        precision = name.value.decode().split(" ", 2)[-1]  # architecture, size, kind of weights
        self.weights = Weights(precision, llama_cpp.llama_model_size(self.llama.model))
        self.eos, self.seed, self.runs = frozenset(eos), plan.seed, 0
        self.how = {"temp": plan.temperature, "top_k": 0 if plan.temperature else 1, "top_p": 1.0}
        self.how |= {"min_p": 0.0, "repeat_penalty": 1.0}
        self._eval = self.llama.eval
        self.llama.eval = self._counted

    def _counted(self, tokens: Sequence[int]) -> None:
        self.runs += 1
        self._eval(tokens)

    def __call__(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> Run:
        (prompt,) = prompts
        self.llama.set_seed(self.seed)
        self.runs = 0
        start = time.perf_counter()
        self.llama.reset()  # an empty cache: nothing of an earlier prompt is reused
        text: list[int] = []
        for token in self.llama.generate(prompt, **self.how):
            text.append(token)
            if token in self.eos or len(text) == max_tokens:
                break
        return Run([text], time.perf_counter() - start, self.runs, None)
