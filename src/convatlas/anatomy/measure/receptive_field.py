"""The receptive field: which pixels of the photo one position of a map can see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from convatlas.anatomy.measure.macs import argument, window
from convatlas.anatomy.measure.tracer import Call, Operation, tensors_in


@dataclass(frozen=True)
class Field:
    """Side, stride and start in pixels of the photo, as (height, width); `whole` where some path sees all of the photo.

    The start is the first pixel that position 0 sees; it is negative where its window begins in a border. Beside a path
    that sees everything (a squeeze-and-excitation gate) the side is that of the other paths.
    """

    side: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    start: tuple[int, int] = (0, 0)
    whole: bool = False


def fields(operations: list[Operation]) -> list[Field]:
    """The field of each operation, by r' = r + (k - 1) d j and j' = j s along every path (Araujo et al. 2019)."""
    found: list[Field] = []
    for operation in operations:
        before = [Field() if number < 0 else found[number] for number in operation.inputs]
        joined = _joined(before)
        if collapses(operation):
            found.append(Field((0, 0), (0, 0), (0, 0), True))
        else:
            found.append(joined if joined.side == (0, 0) else within(operation, joined))
    return found


def within(operation: Operation, given: Field) -> Field:
    """The field of an operation's output if that of its input is `given`, over all ways through its calls."""
    made: dict[int, Field] = {}
    after = given
    for call in operation.calls:
        # Two windows side by side (an average, and what it is divided by) see no more than one.
        read = [made.get(id(tensor), given) for tensor in tensors_in((call.args, call.kwargs))]
        after = _through(call, _joined(read or [given]))
        made |= {id(tensor): after for tensor in tensors_in(call.output)}
    return after


def _joined(before: Iterable[Field]) -> Field:
    # A path that saw the whole photo has lost its grid: it counts only where no other path has one.
    every = list(before)
    local = [one for one in every if one.side != (0, 0)] or every
    return Field(
        (max(one.side[0] for one in local), max(one.side[1] for one in local)),
        (max(one.stride[0] for one in local), max(one.stride[1] for one in local)),
        (min(one.start[0] for one in local), min(one.start[1] for one in local)),
        any(one.whole for one in every),
    )


def _through(call: Call, field: Field) -> Field:
    """After one call: a window widens the field, a border moves it."""
    side, stride, start = field.side, field.stride, field.start
    seen = window(call)
    if seen is not None:
        return replace(
            field,
            side=(
                side[0] + (seen.kernel[0] - 1) * seen.dilation[0] * stride[0],
                side[1] + (seen.kernel[1] - 1) * seen.dilation[1] * stride[1],
            ),
            stride=(stride[0] * seen.stride[0], stride[1] * seen.stride[1]),
            start=(start[0] - seen.padding[0] * stride[0], start[1] - seen.padding[1] * stride[1]),
        )
    border = list(argument(call, 1, "pad")) if call.name == "pad" else []
    if len(border) >= 4:
        return replace(field, start=(start[0] - border[2] * stride[0], start[1] - border[0] * stride[1]))
    return field


def collapses(operation: Operation) -> bool:
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
