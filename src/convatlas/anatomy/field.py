"""The receptive field: which pixels of the photo one position of a map can see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convatlas.anatomy.arithmetic import window
from convatlas.anatomy.tracing import Operation


@dataclass(frozen=True)
class Field:
    """Side and stride in pixels of the photo, as (height, width); `whole` where some path sees all of the photo.

    Beside a path that sees everything (a squeeze-and-excitation gate) the side is that of the other paths.
    """

    side: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    whole: bool = False


def fields(operations: list[Operation]) -> list[Field]:
    """The field of each operation, by r' = r + (k - 1) d j and j' = j s along every path (Araujo et al. 2019)."""
    found: list[Field] = []
    for operation in operations:
        before = [Field() if number < 0 else found[number] for number in operation.inputs]
        found.append(_after(operation, _joined(before)))
    return found


def _joined(before: list[Field]) -> Field:
    # A path that saw the whole photo has lost its grid: it counts only where no other path has one.
    local = [one for one in before if one.side != (0, 0)] or before
    side = max(one.side[0] for one in local), max(one.side[1] for one in local)
    stride = max(one.stride[0] for one in local), max(one.stride[1] for one in local)
    return Field(side, stride, any(one.whole for one in before))


def _after(operation: Operation, joined: Field) -> Field:
    side, stride, whole = joined.side, joined.stride, joined.whole
    for call in operation.calls:
        seen = window(call)
        if seen is not None and side != (0, 0):
            side = (
                side[0] + (seen.kernel[0] - 1) * seen.dilation[0] * stride[0],
                side[1] + (seen.kernel[1] - 1) * seen.dilation[1] * stride[1],
            )
            stride = stride[0] * seen.stride[0], stride[1] * seen.stride[1]
    if _collapses(operation):
        return Field((0, 0), (0, 0), True)
    return Field(side, stride, whole)


def _collapses(operation: Operation) -> bool:
    """Whether maps of several positions became one vector, or one position."""
    maps = [shape for shape in operation.shapes_in if len(shape) == 4 and shape[2] * shape[3] > 1]
    declared = getattr(operation.module, "keeps_grid", None)
    if operation.is_leaf and isinstance(declared, bool):
        return not declared
    if not maps or any(window(call) is not None for call in operation.calls):
        return False
    return not any(_keeps_grid(shape, maps) for shape in operation.shapes)


def _keeps_grid(shape: tuple[int, ...], maps: Sequence[tuple[int, ...]]) -> bool:
    """Whether there still are rows and columns; a map with its channels split (a shuffle of them) has them last."""
    if len(shape) == 4:
        return shape[2] * shape[3] > 1
    return len(shape) > 4 and shape[-2:] in [one[2:] for one in maps]
