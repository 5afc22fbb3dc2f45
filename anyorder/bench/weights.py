"""Bytes of weights that one run of a net reads, for the roofline.

A run over few cells takes as long as reading every weight once, so weight bytes read per second over the
memory's bandwidth says how close a row is to what the machine can do at this precision. A model that fits
into the processor's caches can pass 1.
"""

from __future__ import annotations

from typing import Any

from anyorder.bench.record import Weights

BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "int4": 20 / 32}  # int4: 32 weights share 4 bytes of scales


def weights_of(module: Any, precision: str) -> Weights:
    """Of a loaded transformers model whose weights are held at this precision.

    All weights count once, a head tied to the input embedding too; an embedding of its own is only looked up.
    """
    count = sum(weight.numel() for weight in module.parameters())
    embedding, head = module.get_input_embeddings(), module.get_output_embeddings()
    if head is None or head.weight is not embedding.weight:
        count -= embedding.weight.numel()
    each = BYTES.get(precision)
    return Weights(precision, None if each is None else count * each)
