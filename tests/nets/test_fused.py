"""Fused operations against torch's, in every form of rows, and the same bits in any company."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from anyorder.nets import fused
from anyorder.nets.products import rows

KINDS = [(torch.float32, 2e-6), (torch.bfloat16, 6e-3), (torch.uint8, 5e-5)]
EPS = np.float32(1e-5)


def numbers(said, count: int) -> torch.Tensor:
    if said.tensor.dtype == torch.uint8:
        parts = (said.tensor.float() - 128) * torch.from_numpy(said.scale)[..., None]
        return parts.sum(1)[:count]
    return said.tensor.float()[:count]


@pytest.mark.parametrize("kind, close", KINDS)
@pytest.mark.parametrize("count", [1, 3, 40])
def test_norm_adds_and_scales(kind, close: float, count: int) -> None:
    torch.manual_seed(count)
    x, y, weight = torch.randn(count, 96), torch.randn(count, 96), torch.rand(96) + 0.5
    want = functional.rms_norm(x + y, (96,), weight, float(EPS))
    out, sums = rows(count, 96, kind), x.numpy().copy()
    fused.norm(sums, y.numpy(), np.ones(count, np.float32), weight.numpy(), EPS, out.flat, out.scale)
    np.testing.assert_allclose(sums, (x + y).numpy(), rtol=1e-6)
    assert (numbers(out, count) - want).abs().max() < close * want.abs().max()


@pytest.mark.parametrize("kind, close", KINDS)
@pytest.mark.parametrize("count", [1, 20])
def test_gate_is_silu_times_up(kind, close: float, count: int) -> None:
    torch.manual_seed(count)
    both = torch.randn(count, 128) * 6
    want = functional.silu(both[:, :64]) * both[:, 64:]
    out = rows(count, 64, kind)
    fused.gate(both.numpy(), np.ones(count, np.float32), out.flat, out.scale, count)
    assert (numbers(out, count) - want).abs().max() < close * want.abs().max()


@pytest.mark.parametrize("width", [8, 64, 80])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_attention_looks_along_each_way(width: int, kind) -> None:
    said, want, _ = attended(width, kind, [0, 1, 2, 3, 4])
    assert (said - want).abs().max() < (2e-6 if kind == torch.float32 else 1.5e-2) * want.abs().max()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_cell_has_the_same_bits_alone_and_in_company(kind) -> None:
    _, _, whole = attended(64, kind, [0, 1, 2, 3, 4])
    for cells in ([0], [2], [4], [1, 3], [4, 0]):
        _, _, part = attended(64, kind, cells)
        assert np.array_equal(part, whole[cells]), cells


def attended(width: int, kind, cells: list[int]):
    """Five cells whose ways lie scattered and share slots, their own last; those chosen are run. Heads 6 over
    2 groups."""
    heads, groups, size = 6, 2, 65
    rng = np.random.default_rng(width)
    ways = [[*rng.permutation(60)[:n], 60 + i] for i, n in enumerate((0, 3, 7, 13, 41))]
    slots = [int(way[-1]) for way in ways]
    rotation = rng.random((5, width // 2)).astype(np.float32)
    cos, sin = (np.tile(f(rotation), 2).astype(np.float32) for f in (np.cos, np.sin))
    qkv = torch.from_numpy(rng.standard_normal((5, (heads + 2 * groups) * width)).astype(np.float32))
    cache = [
        torch.from_numpy(rng.standard_normal((size, groups, width)).astype(np.float32)).to(kind) for _ in "kv"
    ]
    view = torch.uint16 if kind == torch.bfloat16 else kind
    keys, values = (x.view(view).numpy() for x in cache)
    given = qkv.to(kind)[cells]
    table = np.concatenate([ways[i] for i in cells]).astype(np.int32)
    count = np.array([len(ways[i]) for i in cells], np.int32)
    start = (np.cumsum(count) - count).astype(np.int32)
    out = rows(len(cells), heads * width, torch.float32)
    scratch = [np.empty((len(cells), heads, n), np.float32) for n in (width, int(count.max()), width)]
    fused.attention(width)(
        given.view(view).numpy(), np.ones(len(cells), np.float32), cos[cells], sin[cells], keys, values,
        np.array([slots[i] for i in cells], np.int32), table, start, count, *scratch, out.flat, out.scale,
    )  # fmt: skip
    wants = []
    for c, i in enumerate(cells):
        turned = given[c].float().view(-1, width)
        half = width // 2
        cat = torch.cat([-turned[:, half:], turned[:, :half]], 1)
        turned[: heads + groups] = (turned * torch.from_numpy(cos[i]) + cat * torch.from_numpy(sin[i]))[
            : heads + groups
        ]
        k, v = (x.float()[ways[i]] for x in cache)
        k, v = (x.transpose(0, 1).repeat_interleave(heads // groups, 0) for x in (k, v))
        wants.append(functional.scaled_dot_product_attention(turned[:heads, None], k, v).flatten())
    return out.tensor[: len(cells)], torch.stack(wants), out.flat[: len(cells)].copy()


@pytest.mark.parametrize("kind, close", KINDS)
def test_what_is_broken_stays_visible(kind, close) -> None:
    out, x = rows(1, 16, kind), np.ones((1, 16), np.float32)
    x[0, 3] = np.nan
    fused.norm(x, x[:0], np.ones(0, np.float32), np.ones(16, np.float32), EPS, out.flat, out.scale)
    assert numbers(out, 1).isnan().any()


def test_exp_is_exp() -> None:
    x = np.linspace(-87, 0, 1001, dtype=np.float32)
    said = np.array([fused._exp(v) for v in x])
    np.testing.assert_allclose(said, np.exp(x.astype(np.float64)), rtol=3e-7)
