"""The words of the shipped diffusion model, and its tokenizer: one word is one token.

Names stand in alphabetical order, so of two names the smaller id is the first of a sorted list.
"""

from __future__ import annotations

from typing import Any

from anyorder.tasks import latin, lists, sudoku

NAMES = (
    "Abel", "Ada", "Amy", "Ann", "Ben", "Beth", "Bob", "Carl", "Cid", "Cora", "Dan", "Dora", "Ed", "Ella",
    "Emma", "Eric", "Eva", "Finn", "Fred", "Gail", "Gus", "Guy", "Hal", "Hugo", "Ida", "Ines", "Ivan", "Jack",
    "Jane", "Joe", "John", "Kate", "Kim", "Kurt", "Lea", "Leo", "Lily", "Lou", "Mae", "Mark", "Max", "Mia",
    "Nick", "Nina", "Noah", "Olga", "Omar", "Otto", "Paul", "Pia", "Ray", "Rosa", "Sam", "Sue", "Tess", "Tim",
    "Tom", "Uma", "Vera", "Zoe",
)  # fmt: skip
MASK, END, PAD, UNKNOWN, STOP = "[MASK]", "[EOS]", "[PAD]", "[UNK]", "="  # a question ends with STOP
WORDS = (
    MASK, END, PAD, UNKNOWN, STOP, *lists.TASKS, latin.TASK, sudoku.TASK, sudoku.BLANK, *"0123456789", *NAMES,
    *latin.POOL[:26],
)  # fmt: skip
IDS = {word: i for i, word in enumerate(WORDS)}
CHAT = "{% for message in messages %}{{ message['content'] }} {% endfor %}="


def tokenizer() -> Any:
    """The tokenizer. Commas, colons, quotes and brackets mean nothing; an unknown word is UNKNOWN."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel(dict(IDS), unk_token=UNKNOWN))
    made.normalizer = normalizers.Replace(Regex(r"[,:;\"'\[\]]"), " ")
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, mask_token=MASK, eos_token=END, pad_token=PAD, unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False, model_max_length=256, chat_template=CHAT,
    )  # fmt: skip
