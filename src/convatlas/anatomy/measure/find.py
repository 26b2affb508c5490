"""Find the operation that a user means by its name, its number, or the name of a module that contains it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convatlas.anatomy.measure.tracing.calls import Operation
from convatlas.base.errors import ConvAtlasError, unknown


def find(
    operations: Sequence[Operation], layer: str, fits: Callable[[Operation], bool], description: str
) -> tuple[int, Operation]:
    """Find the last operation that fits among those called `layer` or inside a module of that name.

    Args:
        operations: Operations in the order of execution.
        layer: Name of an operation or module, or number of an operation, from 1.
        fits: Whether an operation is of the kind looked for.
        description: Name of that kind, for the error message.

    Returns:
        The operation's index, from 0, and the operation.

    Raises:
        UnknownName: No operation or module has this name.
        ConvAtlasError: No operation with this name fits.
    """
    paths = enumerate(operation.path for operation in operations)
    matches = [index for index, path in paths if path == layer or path.startswith(f"{layer}.")]
    if not matches and layer.isdecimal() and 1 <= int(layer) <= len(operations):
        matches = [int(layer) - 1]
    if not matches:
        parts = [operation.path.split(".") for operation in operations if operation.path]
        raise unknown(
            "layer", layer, {".".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1)}
        )
    fitting = [index for index in matches if fits(operations[index])]
    if not fitting:
        raise ConvAtlasError(f"{layer} is not a {description}")
    return fitting[-1], operations[fitting[-1]]


def outputs_maps(operation: Operation) -> bool:
    """Whether an operation outputs maps of more than one position."""
    shape = operation.shapes[0] if operation.shapes else ()
    return len(shape) == 4 and shape[2] * shape[3] > 1


def runs_conv2d(operation: Operation) -> bool:
    """Whether an operation runs a 2-d convolution."""
    return any(call.name == "conv2d" for call in operation.calls)


def unit_at(shape: Sequence[int], row: int | None, column: int | None) -> tuple[int, int]:
    """Row and column of a unit in maps of `shape` (N, C, H, W); by default the middle ones.

    Raises:
        ConvAtlasError: The maps have no such unit.
    """
    place = shape[2] // 2 if row is None else row, shape[3] // 2 if column is None else column
    if not (0 <= place[0] < shape[2] and 0 <= place[1] < shape[3]):
        raise ConvAtlasError(
            f"the map has rows 0 to {shape[2] - 1} and columns 0 to {shape[3] - 1}; got {place[0]},{place[1]}"
        )
    return place
