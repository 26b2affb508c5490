"""Where the maps of a layer lie on the net's input: by the start and stride of its receptive field."""

from __future__ import annotations

from torch import nn

from convatlas.anatomy.measure.find import find, outputs_maps
from convatlas.anatomy.measure.positions.steps import Steps
from convatlas.anatomy.measure.receptive_field import fields
from convatlas.anatomy.measure.shape_trace import trace_inputs
from convatlas.base.errors import ConvAtlasError
from convatlas.nets.example_inputs import candidate_inputs
from convatlas.probes.attribution import Grid


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
    even = even_grid(cells, (shape[1], shape[2]))
    try:
        _, operations = trace_inputs(net, candidate_inputs(net, input_shape=shape))
        index, _ = find(operations, layer, outputs_maps, "layer that outputs maps")
        sides = fields(operations, (shape[1], shape[2]))[index].sides
    except ConvAtlasError:
        return even
    rows, columns = (_axis(*pair) for pair in zip(sides, cells, even, strict=True))
    return rows, columns


def _axis(steps: Steps | None, cells: int, even: Grid) -> Grid:
    if steps is None or not steps.stride:
        return even
    first, last = ((steps.start_of(cell) + steps.end_of(cell) + 1) / 2 for cell in (0, cells - 1))
    return Grid(cells, first, (last - first) / (cells - 1) if cells > 1 else float(steps.stride))
