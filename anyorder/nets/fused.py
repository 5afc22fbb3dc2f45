"""The small operations of a step on a CPU, fused: between two matrix products there is one call.

Compiled by numba on first use and kept on disk. They share torch's thread pool: numba's OpenMP layer finds
torch's library in the process. Sums are float32; arrays may be float32 or bfloat16, which numba knows as
uint16. Every row is computed by the same instructions whatever stands beside it, and attention sums along
the text, wherever its cells lie: so a cell has the same bits alone, among guesses and in company.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
import torch  # noqa: F401  its OpenMP library must be in the process before numba looks for one
from numba import njit, prange, types
from numba.extending import overload

numba.config.THREADING_LAYER = "omp"  # type: ignore[attr-defined]
MANY = 16  # rows from which on the threads share the work of an operation on rows
FAST = {"reassoc", "contract", "nsz", "arcp", "afn"}  # not nnan, ninf: what is broken stays visible
F = np.float32


def _float(x): ...


@overload(_float, inline="always")
def _of_any(x):
    if x is types.uint16:
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


def _read(rows, scale, i, j): ...


@overload(_read, inline="always")
def _of_parts(rows, scale, i, j):
    """Number j of row i, of rows [Q, N] or of rows in two parts [Q, 2, N]."""
    if rows.ndim == 3:
        return lambda rows, scale, i, j: rows[i, 0, j] * scale[i, 0] + rows[i, 1, j] * scale[i, 1]
    return lambda rows, scale, i, j: _float(rows[i, j]) * scale[i]


def _pour(row, out, scales, i): ...


@overload(_pour)
def _into_any(row, out, scales, i):
    """Write a float32 row as the next product takes it: float32, bfloat16, or two parts of 8 bits each."""
    if out.dtype is types.uint16:

        def half(row, out, scales, i):
            for j in range(len(row)):
                x = row[j]
                bits = np.int64(np.float32(x).view(np.uint32))
                near = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
                out[i, j] = np.uint16(near if x == x else 0x7FC0)

        return half
    if out.dtype is types.uint8:

        def eighths(row, out, scales, i):
            most, broken = F(0), 0
            for j in range(len(row)):
                most = max(most, abs(row[j]))
                broken += not abs(row[j]) < F(3e38)
            if broken:  # let it be seen
                scales[i] = F(np.nan)
                return
            scale = most / F(127) if most > F(0) else F(1)
            scales[i, 0], scales[i, 1] = scale, scale / F(254)  # the rest is at most half a step
            back = F(1) / scale
            for j in range(len(row)):
                x = row[j] * back
                whole = np.rint(x)
                out[i, 0, j] = np.uint8(np.int32(whole) + 128)
                out[i, 1, j] = np.uint8(np.int32(np.rint((x - whole) * F(254))) + 128)

        return eighths

    def whole(row, out, scales, i):
        for j in range(len(row)):
            out[i, j] = row[j]

    return whole


@njit(fastmath=FAST, cache=True)
def _exp(x):
    """e^x for x <= 0 (Cephes' polynomial, 2 ulp)."""
    if x < F(-87):
        x = F(-87)
    n = np.floor(x * F(1.44269504) + F(0.5))
    r = x - n * F(0.693359375) + n * F(2.12194440e-4)
    p = F(1.9875691500e-4)
    p = p * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    p = p * r * r + r + F(1)
    return p * np.int32(np.int32(np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


# rows ------------------------------------------------------------------------------------------------------


@njit(fastmath=FAST, cache=True)
def _norm_row(x, y, y_scale, weight, epsilon, out, scales, i):
    square = F(0)
    if len(y):
        for j in range(x.shape[1]):
            x[i, j] += _read(y, y_scale, i, j)
    for j in range(x.shape[1]):
        square += x[i, j] * x[i, j]
    by = F(1) / np.sqrt(square / F(x.shape[1]) + epsilon)
    row = np.empty(x.shape[1], np.float32)
    for j in range(x.shape[1]):
        row[j] = x[i, j] * by * weight[j]
    _pour(row, out, scales, i)


def _norm(x, y, y_scale, weight, epsilon, out, scales):
    for i in prange(len(x)):
        _norm_row(x, y, y_scale, weight, epsilon, out, scales, i)


@njit(fastmath=FAST, cache=True)
def _gate_row(gate_up, scale, out, scales, i):
    width = gate_up.shape[-1] // 2
    row = np.empty(width, np.float32)
    for j in range(width):
        gate = _read(gate_up, scale, i, j)
        e = _exp(-abs(gate))
        row[j] = gate * (F(1) if gate >= F(0) else e) / (F(1) + e) * _read(gate_up, scale, i, width + j)
    _pour(row, out, scales, i)


def _gate(gate_up, scale, out, scales, cells):
    for i in prange(cells):
        _gate_row(gate_up, scale, out, scales, i)


def _both(loop: Callable[..., None]) -> tuple[Any, Any]:
    """The loop for one thread and for all."""
    return njit(loop, fastmath=FAST, cache=True), njit(loop, fastmath=FAST, cache=True, parallel=True)


NORM, GATE = _both(_norm), _both(_gate)


def norm(x, y, y_scale, weight, epsilon, out, scales) -> None:
    """x [Q, D] += y * y_scale (unless y is empty); out = x / rms(x) * weight."""
    NORM[len(x) >= MANY](x, y, y_scale, weight, epsilon, out, scales)


def gate(gate_up, scale, out, scales, cells: int) -> None:
    """out [Q, D] = silu(gate) * up, of gate_up [Q, 2 D] * scale."""
    GATE[cells >= MANY](gate_up, scale, out, scales, cells)


# attention -------------------------------------------------------------------------------------------------


@cache
def attention(width: int) -> Any:
    """`attend(...)` for heads of a width; as a constant it lets the compiler unroll."""

    @njit(fastmath=FAST, cache=True)
    def turn(rows, scale, i, first, cos, sin, out):
        """Rotate the head [W] that begins at number `first` of row i by its position."""
        half = width // 2
        for d in range(half):
            a, b = _read(rows, scale, i, first + d), _read(rows, scale, i, first + half + d)
            out[d] = a * cos[d] - b * sin[d]
            out[half + d] = b * cos[half + d] + a * sin[half + d]

    @njit(fastmath=FAST, cache=True)
    def look(query, keys, values, group, way, scores, out):
        """Attention of a few heads [h, W] of one cell over its way, four slots at a time."""
        heads, count = len(query), len(way)
        whole = count - count % 4
        for j in range(0, whole, 4):
            a, b, c, e = way[j], way[j + 1], way[j + 2], way[j + 3]
            for h in range(heads):
                s0, s1, s2, s3 = F(0), F(0), F(0), F(0)
                for d in range(width):
                    q = query[h, d]
                    s0 += q * _float(keys[a, group, d])
                    s1 += q * _float(keys[b, group, d])
                    s2 += q * _float(keys[c, group, d])
                    s3 += q * _float(keys[e, group, d])
                scores[h, j], scores[h, j + 1], scores[h, j + 2], scores[h, j + 3] = s0, s1, s2, s3
        for j in range(whole, count):
            for h in range(heads):
                s = F(0)
                for d in range(width):
                    s += query[h, d] * _float(keys[way[j], group, d])
                scores[h, j] = s
        for h in range(heads):
            top, total = scores[h, 0], F(0)
            for j in range(count):
                top = max(top, scores[h, j])
            for j in range(count):
                scores[h, j] = _exp(scores[h, j] - top)
                total += scores[h, j]
            for j in range(count):
                scores[h, j] /= total
            for d in range(width):
                out[h, d] = F(0)
        for j in range(0, whole, 4):
            a, b, c, e = way[j], way[j + 1], way[j + 2], way[j + 3]
            for h in range(heads):
                p0, p1, p2, p3 = scores[h, j], scores[h, j + 1], scores[h, j + 2], scores[h, j + 3]
                for d in range(width):
                    out[h, d] += (
                        p0 * _float(values[a, group, d]) + p1 * _float(values[b, group, d])
                        + p2 * _float(values[c, group, d]) + p3 * _float(values[e, group, d])
                    )  # fmt: skip
        for j in range(whole, count):
            for h in range(heads):
                for d in range(width):
                    out[h, d] += scores[h, j] * _float(values[way[j], group, d])

    @njit(fastmath=FAST, cache=True, parallel=True)
    def attend(
        qkv, scale, cos, sin, keys, values, slot, table, start, count, query, scores, sums, out, scales
    ):
        """Attention of a run's cells over their ways, after their keys and values went to their slots.

        qkv [Q, (H + 2 G) W] times scale [Q], or in two parts; cos, sin [Q, W]; keys, values [slots, G, W];
        slot, start, count [Q]; table [T]; scratch: query, sums [Q, H, W], scores [Q, H, longest way]; out
        [Q, H W] in the next product's form. `part` heads of one cell are one piece of work.
        """
        cells, groups = len(slot), keys.shape[1]
        heads = query.shape[1]
        share = heads // groups
        for i in prange(cells):
            for h in range(heads):
                turn(qkv, scale, i, h * width, cos[i], sin[i], query[i, h])
                for d in range(width):
                    query[i, h, d] *= F(width**-0.5)
            for g in range(groups):
                first = (heads + g) * width
                row = np.empty((2, width), np.float32)
                turn(qkv, scale, i, first, cos[i], sin[i], row[0])
                first += groups * width
                for d in range(width):
                    row[1, d] = _read(qkv, scale, i, first + d)
                _pour(row[0], keys[slot[i]], scales, g)
                _pour(row[1], values[slot[i]], scales, g)
        part = 1 if cells == 1 else share
        pieces = heads // part
        for item in prange(cells * pieces):
            i, h = item // pieces, item % pieces * part
            way = table[start[i] : start[i] + count[i]]
            mine = slice(h, h + part)
            look(query[i, mine], keys, values, h // share, way, scores[i, mine], sums[i, mine])
        for i in range(cells):
            _pour(sums[i].reshape(heads * width), out, scales, i)

    return attend
