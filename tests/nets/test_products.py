"""Packed products against exact arithmetic, and rows that do not depend on each other."""

import numpy as np
import pytest
import torch
from torch import nn

from anyorder.nets import fused
from anyorder.nets.products import Eighth, Plain, Product, Quarter, product, quartered, rows

IN, OUT = 96, 64


def poured(values: torch.Tensor, kind: torch.dtype):
    """Rows in the form that a product takes, written by the fused norm with a weight that undoes it."""
    out = rows(len(values), values.shape[1], kind)
    for i, row in enumerate(values.numpy()):
        rms = np.sqrt(np.mean(row**2) + 1e-6)
        one = rows(1, values.shape[1], kind)
        fused.norm(
            row[None].copy(), row[:0, None], np.ones(0, np.float32), np.full(len(row), rms, np.float32),
            np.float32(1e-6), one.flat, one.scale,
        )  # fmt: skip
        out.flat[i], out.scale[i] = one.flat[0], one.scale[0]
    return out


def numbers(said) -> torch.Tensor:
    if said.tensor.ndim == 3:
        return (said.tensor * torch.from_numpy(said.scale)[..., None]).sum(1)
    return said.tensor.float() * torch.from_numpy(said.scale)[:, None]


@pytest.mark.parametrize("precision, close", [("fp32", 1e-5), ("bf16", 2e-2), ("int8", 2e-2), ("int4", 2e-1)])
@pytest.mark.parametrize("biased", [False, True])
def test_a_product_is_near_the_exact_one(precision: str, close: float, biased: bool) -> None:
    torch.manual_seed(1)
    linear = nn.Linear(IN, OUT, bias=biased)
    made = product(precision, linear)
    x = torch.randn(5, IN)
    said = numbers(made(poured(x, made.takes)))[:5]
    exact = linear(x).detach()
    assert (said - exact).abs().max() < close * exact.abs().max()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_a_row_has_the_same_bits_in_any_company(precision: str) -> None:
    torch.manual_seed(2)
    made = product(precision, nn.Linear(IN, OUT, bias=False))
    x = torch.randn(40, IN)
    whole = numbers(made(poured(x, made.takes)))
    for first, last in ((0, 1), (3, 5), (7, 24), (39, 40)):
        part = numbers(made(poured(x[first:last], made.takes)))[: last - first]
        assert torch.equal(part, whole[first:last]), f"rows {first} to {last}"


def test_8_bit_rows_in_two_parts_keep_what_is_small_beside_the_largest() -> None:
    x = torch.full((1, IN), 0.01)
    x[0, 0] = 100.0
    poured_x = poured(x, torch.uint8)
    kept = ((poured_x.flat.astype(np.float32) - 128) * poured_x.scale[..., None]).sum(1)
    assert np.abs(kept - x.numpy()).max() < 100 / 127 / 254
    assert kept[0, 1] == pytest.approx(0.01, abs=0.004)


def test_4_bit_weights_of_a_file_come_back_as_they_were() -> None:
    torch.manual_seed(3)
    d = (torch.rand(OUT, IN // 32) * 0.1 + 0.01).half().float()
    m = -(torch.rand(OUT, IN // 32)).half().float()
    q = torch.randint(0, 16, (OUT, IN // 32, 32))
    q[..., 0], q[..., 1] = 0, 15  # a block's least and largest weight are on the grid's ends
    weight = (d[..., None] * q + m[..., None]).view(OUT, IN)
    whole, scale, zero = quartered(weight)
    assert torch.equal(whole, q.view(OUT, IN).int())
    torch.testing.assert_close(scale, d)
    torch.testing.assert_close(zero, m + 8 * d)


def test_shapes_that_the_4_bit_kernel_does_not_know_take_8_bits() -> None:
    assert isinstance(product("int4", nn.Linear(40, 64)), Eighth)
    assert isinstance(product("int4", nn.Linear(64, 24)), Eighth)
    assert isinstance(product("int4", nn.Linear(64, 32)), Quarter)
    assert isinstance(product("bf16", nn.Linear(64, 32)), Plain)


def test_linears_of_one_input_lie_side_by_side() -> None:
    a, b = nn.Linear(8, 4), nn.Linear(8, 6, bias=False)
    made: Product = product("fp32", a, b)
    x = torch.randn(2, 8)
    said = numbers(made(poured(x, torch.float32)))
    torch.testing.assert_close(said, torch.cat([a(x), b(x)], 1).detach(), atol=1e-4, rtol=1e-4)
