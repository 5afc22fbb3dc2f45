"""A classifier or reward model of transformers: the probability that the text has a label.

With one output, as reward models have, the number is that output. A long text loses its beginning.
"""

import os
from typing import Any

import torch

from anyorder.card import Card, Option, Setting
from anyorder.scoring import Scorer, of_texts

CARD = Card(
    name="classifier",
    family="scorer",
    paper="",
    exact=False,
    summary="the probability that a classifier gives to a label, or a reward model's number",
    cost="",
    nets=(),
    options=(
        Option("model", "", "folder or hub id of a sequence classification model", needed=True, local=True),
        Option("label", "", "its name or number; the last one if none is given"),
        Option("log", True, "log-probability instead of probability"),
        Option("prompt", False, "the text is judged together with the prompt before it"),
        Option("batch", 16, "texts in a run", low=1),
    ),
)


def load(name: str) -> tuple[Any, Any]:
    """Model and tokenizer. Raises ValueError."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        model, told = AutoModelForSequenceClassification.from_pretrained(name, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(name, truncation_side="left")
    except (OSError, ValueError, KeyError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"classifier got model={name!r}, which cannot be loaded ({why}); name another"
        ) from None
    if told["missing_keys"]:
        raise ValueError(
            f"classifier got model={name!r}, which has no trained {', '.join(sorted(told['missing_keys']))}; "
            "allowed are models trained to classify; name another"
        )
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model.eval(), tokenizer


def place(model: Any, label: str) -> int:
    """A label's number. Raises ValueError."""
    names = {str(name): int(i) for i, name in model.config.id2label.items()}
    known = {str(i): i for i in names.values()} | names
    if label and label not in known:
        there = ", ".join(names)
        raise ValueError(f"classifier got label={label!r}; its labels: {there}; choose one of these")
    return known[label] if label else len(names) - 1


def classifier(setting: Setting, model: str, label: str, log: bool, prompt: bool, batch: int) -> Scorer:
    if not model:
        raise ValueError("classifier has no model; give model= with a folder or hub id")
    key = f"scorer classifier {os.path.realpath(model)} {model}"
    if key not in setting.memory:
        setting.memory[key] = load(model)
    net, tokenizer = setting.memory[key]
    at, single = place(net, label), net.config.num_labels == 1
    most = min(tokenizer.model_max_length, getattr(net.config, "max_position_embeddings", 1 << 30))

    @torch.inference_mode()
    def some(texts: list[str]) -> list[float]:
        given = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=most)
        logits = net(**given).logits.float()  # [B, L]
        law = logits if single else logits.log_softmax(-1) if log else logits.softmax(-1)
        return law[:, at].tolist()

    def score(texts: list[str], before: str) -> list[float]:
        whole = [before + text if prompt else text for text in texts]
        width = batch if tokenizer.pad_token is not None else 1
        return [n for i in range(0, len(whole), width) for n in some(whole[i : i + width])]

    bounds = None if single else (float("-inf"), 0.0) if log else (0.0, 1.0)
    return of_texts(score, setting, "classifier", bounds=bounds)
