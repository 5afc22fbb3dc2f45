"""Layouts: an order of cells as data. A wave is the cells that become true together."""

from __future__ import annotations


def raster(height: int, width: int, first: int = 0) -> list[list[int]]:
    """Row by row, one cell at a time; position `first` is the grid's upper left cell.

    >>> raster(2, 2)
    [[0], [1], [2], [3]]
    """
    return [[first + i] for i in range(height * width)]


def diagonals(height: int, width: int, first: int = 0) -> list[list[int]]:
    """Wavefronts: cells of equal row + column together, from the upper left corner.

    >>> diagonals(2, 2)
    [[0], [1, 2], [3]]
    """
    waves: list[list[int]] = [[] for _ in range(height + width - 1)]
    for i in range(height * width):
        waves[i // width + i % width].append(first + i)
    return waves
