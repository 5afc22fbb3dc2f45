"""Raster order: a grid of visual tokens, row by row (LlamaGen, arXiv:2406.06525). An order is data."""

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Flow, Method, Reader
from anyorder.filling import fill, look
from anyorder.layouts import raster as row_by_row

CARD = Card(
    name="raster",
    family="visual",
    paper="arXiv:2406.06525",
    exact=True,
    summary="a grid of tokens, row by row",
    cost="1 run per cell",
    canvas="cells",
    options=(Option("width", 0, "cells in a row of the grid; 0: the largest square", low=0),),
)


def grid(canvas: Canvas, waves: list[list[int]], read: Reader) -> Flow:
    for cells in waves:
        if any(holes := canvas.holes(cells)):
            seen = yield Ask(read, at=holes)
            yield fill(seen, [range(len(one)) for one in seen])


def raster(setting: Setting, width: int) -> Method:
    read = look(setting.greedy)

    def method(canvas: Canvas) -> Flow:
        columns = width or int(canvas.budget**0.5)
        if canvas.budget % columns:
            raise ValueError(
                f"the canvas has {canvas.budget} cells, which rows of {columns} do not fill; "
                "choose a width that divides it"
            )
        return grid(canvas, row_by_row(canvas.budget // columns, columns, canvas.prompt), read)

    return method
