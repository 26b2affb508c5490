"""Where the maps of a layer lie on the net's input: by the start and stride of its receptive field."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress

from torch import nn

from convatlas.anatomy.measure.find import find, outputs_maps
from convatlas.anatomy.measure.positions.steps import Steps
from convatlas.anatomy.measure.receptive_field import Field, Spans, fields, reach
from convatlas.anatomy.measure.shape_trace import trace_inputs
from convatlas.anatomy.measure.tracing.calls import Operation
from convatlas.base.errors import ConvAtlasError
from convatlas.nets.example_inputs import candidate_inputs
from convatlas.probes.attribution import Grid

Traced = tuple[Sequence[Operation], int]
"""The operations of a net, and the number of the one that makes a layer's maps."""

_known: weakref.WeakKeyDictionary[nn.Module, dict[object, tuple[Grid, Grid] | None]] = weakref.WeakKeyDictionary()
"""Grids that were traced, by the net and its description: a folder of photos is explained with one trace."""


def input_grid(size: tuple[int, int]) -> tuple[Grid, Grid]:
    """The grid of the input's own pixels."""
    return Grid(size[0], 0.5, 1.0), Grid(size[1], 0.5, 1.0)


def even_grid(cells: tuple[int, int], size: tuple[int, int]) -> tuple[Grid, Grid]:
    """A grid whose cells divide the input evenly."""
    rows, columns = (Grid(n, side / n / 2, side / n) for n, side in zip(cells, size, strict=True))
    return rows, columns


def layer_grid(net: nn.Module, shape: tuple[int, ...], layer: str, cells: tuple[int, int]) -> tuple[Grid, Grid]:
    """The grid of a layer's maps; one that divides the input evenly if its receptive field has no grid.

    Args:
        net: The net.
        shape: Shape of its input, (C, h, w).
        layer: Name of the layer.
        cells: Height and width of its maps.
    """
    return traced_grid(net, shape, layer, cells) or even_grid(cells, (shape[1], shape[2]))


def traced_grid(net: nn.Module, shape: tuple[int, ...], layer: str, cells: tuple[int, int]) -> tuple[Grid, Grid] | None:
    """The grid of a layer's maps, by starts and strides of its receptive field; None if these cannot be followed."""
    return traced_grids(net, shape, {layer: cells})[layer]


def traced_grids(
    net: nn.Module, shape: tuple[int, ...], cells: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[Grid, Grid] | None]:
    """The grids of several layers' maps, by one trace of the net; None for those that cannot be followed.

    Args:
        net: The net.
        shape: Shape of its input, (C, h, w).
        cells: Height and width of the maps of each layer, by the layer's name.
    """
    known, description = _known.setdefault(net, {}), str(net)
    keys = {layer: (shape, layer, each, description) for layer, each in cells.items()}
    new = {layer: each for layer, each in cells.items() if keys[layer] not in known}
    if new:
        known.update({keys[layer]: grid for layer, grid in _grids(net, shape, new).items()})
    return {layer: known[key] for layer, key in keys.items()}


def _grids(
    net: nn.Module, shape: tuple[int, ...], cells: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[Grid, Grid] | None]:
    grids: dict[str, tuple[Grid, Grid] | None] = dict.fromkeys(cells)
    with suppress(ConvAtlasError):
        _, operations = trace_inputs(net, candidate_inputs(net, input_shape=shape))
        sights = fields(operations, (shape[1], shape[2]))
        for layer, each in cells.items():
            with suppress(ConvAtlasError):
                grids[layer] = _grid(sights[_operation(operations, layer, each)], each)
    return grids


def _traced(net: nn.Module, shape: tuple[int, ...], layer: str, cells: tuple[int, int]) -> Traced | None:
    try:
        _, operations = trace_inputs(net, candidate_inputs(net, input_shape=shape))
        number = _operation(operations, layer, cells)
    except ConvAtlasError:
        return None
    return operations, number


def _grid_of(traced: Traced | None, shape: tuple[int, ...], cells: tuple[int, int]) -> tuple[Grid, Grid] | None:
    if traced is None:
        return None
    operations, number = traced
    try:
        sight = fields(operations, (shape[1], shape[2]))[number]
    except ConvAtlasError:
        return None
    return _grid(sight, cells)


def _grid(sight: Field, cells: tuple[int, int]) -> tuple[Grid, Grid] | None:
    rows, columns = (_axis(steps, count) for steps, count in zip(sight.sides, cells, strict=True))
    return None if rows is None or columns is None else (rows, columns)


def _operation(operations: Sequence[Operation], layer: str, cells: tuple[int, int]) -> int:
    """Index of the operation that a layer's name means: a module's, or a function's that the net itself calls.

    Raises:
        UnknownName: No operation with such maps has this name.
        ConvAtlasError: The module outputs no maps.
    """
    calls = [
        index
        for index, operation in enumerate(operations)
        if not operation.path
        and layer.startswith(operation.name)
        and outputs_maps(operation)
        and operation.shapes[0][2:] == cells
    ]
    if calls and not any(operation.path.split(".")[0] == layer for operation in operations):
        return calls[-1]
    return find(operations, layer, outputs_maps, "layer that outputs maps")[0]


def _axis(steps: Steps | None, cells: int) -> Grid | None:
    if steps is None or not steps.stride:
        return None
    first, last = ((steps.start_of(cell) + steps.end_of(cell) + 1) / 2 for cell in (0, cells - 1))
    return Grid(cells, first, (last - first) / (cells - 1) if cells > 1 else float(steps.stride))


class UnitField:
    """Which pixels of the net's input a unit of a layer sees: called with its row and column, both inclusive spans."""

    def __init__(self, net: nn.Module, shape: tuple[int, ...], layer: str, cells: tuple[int, int]):
        self.size, self.traced = (shape[1], shape[2]), _traced(net, shape, layer, cells)
        self.grid = _grid_of(self.traced, shape, cells) or even_grid(cells, self.size)

    def __call__(self, row: int, column: int) -> Spans:
        """First and last row, and first and last column, of the pixels that a unit sees."""
        if self.traced is not None:
            sight = reach(*self.traced, row, column, self.size)
            return sight.rows, sight.columns
        # Without a receptive field, the cell of an even grid.
        rows, columns = (
            (round(axis.start + (cell - 0.5) * axis.stride), round(axis.start + (cell + 0.5) * axis.stride) - 1)
            for axis, cell in zip(self.grid, (row, column), strict=True)
        )
        return rows, columns

    def centre(self, cell: int, side: int) -> float:
        """Centre of a unit along rows (0) or columns (1), in pixels from the edge."""
        return self.grid[side].start + cell * self.grid[side].stride
