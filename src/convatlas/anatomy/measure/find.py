"""Find the operation that a user means: by its name, its number, or the name of a module that holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convatlas.anatomy.measure.tracer import Operation
from convatlas.base.errors import ConvAtlasError, unknown


def find(
    operations: Sequence[Operation], layer: str, fits: Callable[[Operation], bool], what: str
) -> tuple[int, Operation]:
    """Return the index and the last operation called `layer`, or inside a module of that name, that fits.

    A number that is not a name is that of an operation, from 1.

    Raises:
        UnknownName: No operation or module has this name.
        ConvAtlasError: None of those with this name is a `what`.
    """
    paths = enumerate(operation.path for operation in operations)
    matches = [number for number, path in paths if path == layer or path.startswith(f"{layer}.")]
    if not matches and layer.isdecimal() and 1 <= int(layer) <= len(operations):
        matches = [int(layer) - 1]
    if not matches:
        parts = [operation.path.split(".") for operation in operations if operation.path]
        raise unknown(
            "layer", layer, {".".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1)}
        )
    fitting = [number for number in matches if fits(operations[number])]
    if not fitting:
        raise ConvAtlasError(f"{layer} is not a {what}")
    return fitting[-1], operations[fitting[-1]]


def gives_maps(operation: Operation) -> bool:
    """Whether an operation gives maps of more than one position."""
    shape = operation.shapes[0] if operation.shapes else ()
    return len(shape) == 4 and shape[2] * shape[3] > 1


def convolves(operation: Operation) -> bool:
    """Whether an operation runs a 2-d convolution."""
    return any(call.name == "conv2d" for call in operation.calls)


def unit(shape: Sequence[int], row: int | None, column: int | None) -> tuple[int, int]:
    """Row and column of a unit of a map (N, C, H, W); the middle ones by default.

    Raises:
        ConvAtlasError: The map has no such unit.
    """
    chosen = shape[2] // 2 if row is None else row, shape[3] // 2 if column is None else column
    if not (0 <= chosen[0] < shape[2] and 0 <= chosen[1] < shape[3]):
        raise ConvAtlasError(
            f"the map has rows 0 to {shape[2] - 1} and columns 0 to {shape[3] - 1}; got {chosen[0]},{chosen[1]}"
        )
    return chosen
