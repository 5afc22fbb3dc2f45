"""Matrix products whose weights are packed once, at load.

torch's `F.linear` on a CPU reorders the weights for oneDNN in each call; for the embedded model that is most
of a step. A `Product` holds them reordered. Where the operator is missing it is `F.linear`.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional


class Product:
    """x [Q, in] -> x W + b [Q, out]."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.bias = bias
        self.packed = packs(weight.dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, None) if self.packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return functional.linear(x, self.weight, self.bias)


def product(*linears: nn.Linear) -> Product:
    """Linear layers of one input as one product, their outputs side by side."""
    weight = torch.cat([linear.weight.detach() for linear in linears])
    biases = [linear.bias for linear in linears]
    if all(bias is None for bias in biases):
        return Product(weight, None)
    zeros = [torch.zeros(linear.out_features).to(weight) for linear in linears]
    return Product(weight, torch.cat([z if b is None else b.detach() for b, z in zip(biases, zeros)]))


@cache
def packs(dtype: torch.dtype) -> bool:
    """Whether this build of torch packs weights of this kind, asked by doing it once."""
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    weight, x = torch.ones(4, 8, dtype=dtype), torch.ones(2, 8, dtype=dtype)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        out = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return bool((out == 8).all())
