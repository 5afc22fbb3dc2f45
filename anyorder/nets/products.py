"""Matrix products on a CPU whose weights are packed once, at load.

torch's `F.linear` reorders the weights for oneDNN at every call; for the embedded model that is most of a
step. A product takes what the fused operations wrote (`nets.fused`): rows of numbers and a scale for each
row, and returns the same. Which kernels these are was chosen by measuring: docs/performance.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

GROUP = 32  # weights that share a scale at 4 bits, as in GGUF's blocks
PARTS = 2  # 8-bit parts of a row
LEAST = 2  # rows of a product: oneDNN sums a lone row in another order than one of several


class Rows(NamedTuple):
    """Numbers [Q, N] times a scale for each row [Q], or two parts [Q, 2, N] with scales [Q, 2] whose sum they
    are. `flat` is the memory of `tensor` as the fused operations know it; beyond `cells` it is filled up."""

    tensor: Tensor
    flat: np.ndarray
    scale: np.ndarray
    cells: int

    def first(self, cells: int) -> Rows:
        """Only so many rows; those behind them may be garbage."""
        if cells == self.cells:
            return self
        here = slice(cells if self.tensor.dtype == torch.uint8 else max(cells, LEAST))
        return Rows(self.tensor[here], self.flat[here], self.scale[here], cells)


def rows(count: int, width: int, dtype: torch.dtype) -> Rows:
    """Room for rows, scale 1; of 8 bits, in two parts."""
    if dtype == torch.uint8:
        return of(torch.zeros(count, PARTS, width, dtype=dtype), np.ones((count, PARTS), np.float32), count)
    most = max(count, LEAST)
    return of(torch.zeros(most, width, dtype=dtype), np.ones(most, np.float32), count)


def nothing(like: np.ndarray) -> Rows:
    """No rows."""
    return of(torch.from_numpy(like[:0]), np.ones(0, np.float32), 0)


def of(tensor: Tensor, scale: np.ndarray, count: int) -> Rows:
    flat = tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor
    return Rows(tensor, flat.numpy(), scale, count)


class Product(ABC):
    """x [Q, in] -> x W + b [Q, out]."""

    takes: torch.dtype  # form of the rows it reads
    width: int  # their numbers
    size: int  # bytes of weights that a run reads

    @abstractmethod
    def __call__(self, x: Rows) -> Rows: ...


class Plain(Product):
    """float32 or bfloat16 weights, packed by oneDNN where this build of torch can."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.takes, self.width, self.size, self.bias = weight.dtype, weight.shape[1], weight.nbytes, bias
        self.packed = packs(weight.dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, None) if self.packed else weight

    def __call__(self, x: Rows) -> Rows:
        if self.packed:
            out = torch.ops.mkldnn._linear_pointwise(x.tensor, self.weight, self.bias, "none", [], "")
        else:
            out = functional.linear(x.tensor, self.weight, self.bias)
        return of(out, x.scale, x.cells)

    def part(self, outputs: Tensor) -> Plain:
        """A copy with these outputs alone."""
        weight = self.weight.to_dense() if self.packed else self.weight
        return Plain(weight[outputs], None if self.bias is None else self.bias[outputs])


class Eighth(Product):
    """8-bit weights, a scale for each output, times rows of two 8-bit parts each.

    One 8-bit part would round activations away that are small beside a row's largest; two keep 15 bits, and a
    product of few rows costs the same. Sums are whole numbers and therefore exact: a row's result does not
    depend on other rows or on the order of summing.
    """

    takes = torch.uint8

    def __init__(self, weight: Tensor, bias: Tensor | None):
        scale = weight.float().abs().amax(1).clamp_(min=1e-12) / 127
        self._pack((weight.float() / scale[:, None]).round().to(torch.int8), scale, bias)

    def _pack(self, whole: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        self.weight, self.scale = torch.ops.onednn.qlinear_prepack(whole, None), scale
        self.zero = torch.zeros(len(whole), dtype=torch.int32)
        self.width, self.size = whole.shape[1], whole.nbytes + scale.nbytes
        self.bias = None if bias is None else bias.float()

    def __call__(self, x: Rows) -> Rows:
        out = self._times(x.tensor.view(-1, self.width), self.scale).view(-1, PARTS, len(self.zero))
        if self.bias is not None:
            out[:, 0] += self.bias / torch.from_numpy(x.scale[:, :1])
        return of(out, x.scale, x.cells)

    def _times(self, x: Tensor, scale: Tensor) -> Tensor:
        made: Tensor = torch.ops.onednn.qlinear_pointwise(
            x, 1.0, 128, self.weight, scale, self.zero, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return made

    def part(self, outputs: Tensor) -> Eighth:
        """A copy with these outputs alone; the whole numbers are read off products with one 1 each."""
        ones = torch.full((self.width, self.width), 128, dtype=torch.uint8).fill_diagonal_(129)
        whole = self._times(ones, torch.ones_like(self.scale)).t().to(torch.int8)
        made = Eighth.__new__(Eighth)
        bias = None if self.bias is None else self.bias[outputs]
        made._pack(whole[outputs].contiguous(), self.scale[outputs], bias)
        return made


class Quarter(Product):
    """4-bit weights in groups of 32, w = (q - 8) * scale + zero, times bfloat16 rows."""

    takes = torch.bfloat16

    def __init__(self, weight: Tensor, bias: Tensor | None):
        whole, scale, zero = quartered(weight)
        self.weight = torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole, 1)
        self.grid = torch.stack([scale.t(), zero.t()], -1).to(torch.bfloat16).contiguous()  # [groups, out, 2]
        self.width, self.size = weight.shape[1], self.weight.nbytes + self.grid.nbytes
        self.bias = None if bias is None else bias.to(torch.bfloat16)

    def __call__(self, x: Rows) -> Rows:
        lone = x.tensor[:1] if x.cells == 1 else x.tensor  # this kernel sums it like any other
        out = torch.ops.aten._weight_int4pack_mm_for_cpu(lone, self.weight, GROUP, self.grid)
        return of(out if self.bias is None else out + self.bias, x.scale, x.cells)


def quartered(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [out, in] on 16 evenly spaced steps for each group: whole [out, in] (0 to 15), scale and zero
    [out, groups]. A Q4_1 file's weights lie on such steps already and come back as they were."""
    groups = weight.float().view(len(weight), -1, GROUP)
    low, high = groups.amin(-1), groups.amax(-1)
    scale = ((high - low) / 15).clamp_(min=1e-12)
    whole = ((groups - low[..., None]) / scale[..., None]).round().clamp_(0, 15)
    return whole.view(weight.shape).to(torch.int32), scale, low + 8 * scale


PACKED: dict[str, type[Eighth] | type[Quarter]] = {"int8": Eighth, "int4": Quarter}
STORED = {"fp32": torch.float32, "bf16": torch.bfloat16}  # how other weights are kept


def product(precision: str, *linears: nn.Linear) -> Product:
    """Linear layers of one input as one product, their outputs side by side."""
    weight = torch.cat([linear.weight.detach() for linear in linears])
    biases = [linear.bias for linear in linears]
    bias = None
    if any(b is not None for b in biases):
        zeros = [torch.zeros(linear.out_features).to(weight) for linear in linears]
        bias = torch.cat([z if b is None else b.detach() for b, z in zip(biases, zeros)])
    kind: type[Plain] | type[Eighth] | type[Quarter] = PACKED.get(precision, Plain)
    if kind is Quarter and (weight.shape[1] % GROUP or weight.shape[0] % 16):
        kind = Eighth  # shapes that the 4-bit kernel does not know
    return kind(weight if kind is not Plain else weight.to(STORED[precision]), bias)


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
