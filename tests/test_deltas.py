"""What is shown as it comes is the text, and is never taken back."""

from __future__ import annotations

from typing import Any

import pytest

import anyorder
from anyorder.core.decode import decode
from anyorder.deltas import Deltas, revises


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: anyorder.load(name, precision="fp32") for name in ("smollm2", "list-diffusion")}


CASES = [
    ("smollm2", "greedy", {"max_tokens": 20}),
    ("smollm2", "greedy", {"max_tokens": 40, "stop": ("it", "is a")}),
    ("smollm2", "prompt_lookup", {"max_tokens": 20}),
    ("smollm2", "beam", {"max_tokens": 8}),
    ("smollm2", "best_of_n", {"max_tokens": 8}),
    ("list-diffusion", "static", {}),
    ("list-diffusion", "threshold", {"stop": ("Cid",)}),
    ("list-diffusion", "wino", {"temperature": 0.8}),
    ("list-diffusion", "remdm", {"temperature": 1.0}),
    ("list-diffusion", "dkv_cache", {"then": "edit"}),
]


@pytest.mark.parametrize("name, method, options", CASES)
def test_the_bits_make_the_text(models: Any, name: str, method: str, options: dict[str, Any]) -> None:
    model = models[name]
    prompt = "Why is the sky blue? 🙂" if name == "smollm2" else "reverse: Ann, Ben, Cid, Dan, Eva"
    request = model.request(prompt, method, **options)
    sure = not revises(method, options)
    deltas, bits, cells = Deltas(model.tokenizer, request.canvas, options.get("stop", ()), sure), [], {}
    for event in decode([request]):
        delta = deltas.add(event)
        bits.append(delta.text)
        cells |= dict(zip(delta.cells, delta.texts, strict=True))
    text = model.result(request, method, 1.0).text
    bits.append(deltas.end(text))
    assert "".join(bits) == text
    if name == "list-diffusion":
        if "stop" not in options:
            assert " ".join(t for _, t in sorted(cells.items()) if t) == text
        assert sure or not any(bits[:-1]), "nothing is certain while cells may be written again"
    if method in ("greedy", "static"):
        assert sum(map(bool, bits[:-1])) >= 2, "text comes as it is committed"


def test_what_revises_is_known_through_options_too() -> None:
    assert revises("wino", {})
    assert revises("dkv_cache", {"then": "(edit)"})
    assert not revises("dkv_cache", {"then": "threshold"})
    assert not revises("greedy", {"stop": "wino is a word\n"})
