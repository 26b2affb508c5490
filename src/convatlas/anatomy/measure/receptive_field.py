"""The receptive field: which pixels of the photo one position of a map can see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.anatomy.measure.macs import window
from convatlas.anatomy.measure.steps import ONE_FOR_ALL, SAME, Steps, steps_of, union
from convatlas.anatomy.measure.tracer import Operation, tensors_in

Sides = tuple[Steps | None, Steps | None]
"""Steps along rows and columns; None where every position reads the whole side."""

Span = tuple[int, int]
"""First and last index."""

Spans = tuple[Span, Span]
"""Rows and columns."""


@dataclass(frozen=True)
class Field:
    """What the positions of a map see of the photo, along rows and columns.

    Attributes:
        sides: For each side the pixels that each position sees, over the paths that keep a grid; None if there is no
            such path and the whole side is seen.
        whole: Whether some path sees the whole photo (a squeeze-and-excitation gate, say).
    """

    sides: Sides = (SAME, SAME)
    whole: bool = False

    def size(self, photo: tuple[int, int]) -> tuple[int, int] | None:
        """Height and width in pixels, what lies outside the photo included; None if it is the whole photo."""
        if self.sides == (None, None):
            return None
        rows, columns = (steps.side if steps else side for steps, side in zip(self.sides, photo, strict=True))
        return rows, columns

    @property
    def stride(self) -> tuple[float, float] | None:
        """Pixels between the fields of neighbouring positions, 0 along a side without a grid; None without any."""
        rows, columns = (steps.stride if steps else 0 for steps in self.sides)
        return (rows, columns) if rows or columns else None


def fields(operations: Sequence[Operation], photo: tuple[int, int]) -> list[Field]:
    """The field of each operation, by r' = r + (k - 1) d j and j' = j s along every path (Araujo et al. 2019).

    An enlargement by f divides: j' = j / f.
    """
    result: list[Field] = []
    for operation in operations:
        paths = [
            _behind(relative(operation, shape), Field() if number < 0 else result[number], shape, photo)
            for number, shape in zip(operation.inputs, operation.shapes_in, strict=True)
        ]
        result.append(Field(_joined(path.sides for path in paths), any(path.whole for path in paths)))
    return result


def _behind(sides: Sides, before: Field, shape: tuple[int, ...], photo: tuple[int, int]) -> Field:
    """The field of what reads a map of `shape`, whose field is `before`, by `sides`."""
    result: list[Steps | None] = []
    for steps, seen, size, pixels in zip(sides, before.sides, (1, 1, *shape)[-2:], photo, strict=True):
        if steps is not None:
            result.append(seen and steps.after(seen))
        elif seen is None:
            result.append(None)
        else:
            # All positions together may still leave out a part of the photo, behind a crop for one.
            first, last = seen.start_of(0), seen.end_of(size - 1)
            result.append(None if first <= 0 and last >= pixels - 1 else Steps((first,), (last,), 0))
    return Field((result[0], result[1]), before.whole or result == [None, None])


def _joined(paths: Iterable[Sides]) -> Sides:
    # A path that saw a whole side has lost its grid: it counts only where no other path has one.
    rows, columns = ([steps for steps in side if steps] for side in zip(*paths, strict=True))
    return union(rows) if rows else None, union(columns) if columns else None


def relative(operation: Operation, shape: tuple[int, ...]) -> Sides:
    """Steps from an operation's output to an input of `shape`: the rows and columns that each position reads."""
    if collapses(operation):
        return None, None
    steps_to: dict[int, Sides] = {}
    after: Sides = (SAME, SAME)
    moved = False
    for call in operation.calls:
        reads = [steps_to.get(id(tensor)) or _given(tensor) for tensor in tensors_in((call.args, call.kwargs))]
        paths = [path for path in reads if path is not None]
        # A call on weights alone is not on the photo's way.
        if not paths:
            continue
        # Two windows side by side (an average, and what it is divided by) see no more than one.
        before = _joined(paths)
        steps = steps_of(call)
        moved = moved or steps is not None
        after = before
        if steps is not None:
            rows, columns = (own and seen and own.after(seen) for own, seen in zip(steps, before, strict=True))
            after = rows, columns
        steps_to |= {id(tensor): after for tensor in tensors_in(call.output)}
    out = operation.shapes[0]
    if moved or len(shape) != 4 or len(out) != 4:
        return after
    rows, columns = (_resized(steps, shape[side], out[side]) for side, steps in zip((2, 3), after, strict=True))
    return rows, columns


def _given(tensor: Tensor) -> Sides | None:
    """The steps to a tensor that no call of the operation made: none if it is an input, None if it is a weight."""
    return None if tensor.ndim < 3 or isinstance(tensor, nn.Parameter) else (SAME, SAME)


def _resized(steps: Steps | None, size: int, after: int) -> Steps | None:
    """The steps along a side that no call is known to move: a single position stands for all, or all are one."""
    if size == 1 and after > 1:
        return ONE_FOR_ALL
    return None if after == 1 and size > 1 else steps


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
    """Whether there still are rows and columns; last, where channels were split or summed."""
    if len(shape) == 4:
        return shape[2] * shape[3] > 1
    return len(shape) in (3, 5, 6) and shape[-2:] in [other[2:] for other in maps]


@dataclass(frozen=True)
class Reach:
    """What one unit sees of the photo.

    Attributes:
        rows: First and last row.
        columns: First and last column.
        whole: Whether some path (through a gate, say) sees all of the photo, beside those that see these.
    """

    rows: Span
    columns: Span
    whole: bool


def reach(operations: Sequence[Operation], number: int, row: int, column: int, photo: tuple[int, int]) -> Reach:
    """What the unit at (`row`, `column`) of an operation's output sees of a photo of (height, width).

    It is followed backwards along every path, and cut at the borders of every map on the way.
    """
    needed: dict[int, Spans] = {number: ((row, row), (column, column))}
    whole = False
    for at in range(number, -1, -1):
        if at not in needed:
            continue
        operation = operations[at]
        for source, shape in zip(operation.inputs, operation.shapes_in, strict=True):
            spans = _back(operation, shape, needed[at])
            if spans is None:
                whole = True
                continue
            known = needed.get(source)
            needed[source] = spans if known is None else (_hull(known[0], spans[0]), _hull(known[1], spans[1]))
    everything = (0, photo[0] - 1), (0, photo[1] - 1)
    rows, columns = needed.get(-1, everything)
    return Reach(rows, columns, whole)


def _hull(first: Span, second: Span) -> Span:
    return min(first[0], second[0]), max(first[1], second[1])


def _back(operation: Operation, shape: tuple[int, ...], spans: Spans) -> Spans | None:
    """The rows and columns of an input of `shape` that those of the output need; None if they need all of them."""
    if len(shape) < 4 or len(operation.shapes[0]) < 4:
        return None
    if shape[-2:] == (1, 1) and operation.shapes[0][-2:] != (1, 1):
        return (0, 0), (0, 0)
    sides = relative(operation, shape)
    if sides == (None, None):
        return None
    result = []
    for steps, (first, last), size in zip(sides, spans, shape[-2:], strict=True):
        start, end = (0, size - 1) if steps is None else (steps.start_of(first), steps.end_of(last))
        # What lies in a border is not a pixel.
        result.append((min(max(start, 0), size - 1), min(max(end, 0), size - 1)))
    return result[0], result[1]
