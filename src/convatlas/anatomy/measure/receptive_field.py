"""Follow the receptive field: which pixels of the photo each position of a map sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

from torch import Tensor, nn

from convatlas.anatomy.measure.positions.kept import channels_come_last, sums_over_all
from convatlas.anatomy.measure.positions.mixing import mixes_all, rearranges
from convatlas.anatomy.measure.positions.steps import ONE_FOR_ALL, SAME, Steps, steps_of, union
from convatlas.anatomy.measure.tracing.calls import Operation, tensors_in
from convatlas.anatomy.measure.window import window

Sides = tuple[Steps | None, Steps | None]
"""Steps along rows and columns; None for a side that every position reads whole."""

Span = tuple[int, int]
"""First and last index, both inclusive."""

Spans = tuple[Span, Span]
"""Spans of rows and columns."""

CONCATENATING = ("cat", "concat", "concatenate")


@dataclass(frozen=True)
class Field:
    """Receptive field of the positions of a map.

    Attributes:
        sides: Steps from the map to the photo along rows and columns, over all paths that keep a grid; None for a side
            that every path reads whole.
        whole: Whether some path sees the whole photo, such as a squeeze-and-excitation gate.
        cut_from: For tokens and windows cut out of a map, whose places are not followed: the number of positions of
            that map. 0 for maps, and once the whole photo is seen.
        channels_last: Whether rows and columns are the second and third side of the map, and channels the last.
    """

    sides: Sides = (SAME, SAME)
    whole: bool = False
    cut_from: int = 0
    channels_last: bool = False

    def size(self, photo: tuple[int, int]) -> tuple[int, int] | None:
        """Height and width in pixels, those outside the photo included; None for the whole photo, and if unknown."""
        if self.sides == (None, None):
            return None
        rows, columns = (steps.side if steps else side for steps, side in zip(self.sides, photo, strict=True))
        return rows, columns

    @property
    def stride(self) -> tuple[float, float] | None:
        """Pixels between the fields of neighbouring positions, 0 along a side without a grid; None if there is none."""
        rows, columns = (steps.stride if steps else 0 for steps in self.sides)
        return (rows, columns) if rows or columns else None


NOTHING = Field((Steps((0,), (-1,), 0), Steps((0,), (-1,), 0)))
"""Field of what is computed without the photo."""

UNKNOWN = Field((None, None))
"""Field of what is computed from other inputs than photos."""


def fields(operations: Sequence[Operation], photo: tuple[int, int]) -> list[Field]:
    """Receptive field of each operation, by r' = r + (k - 1) d j and j' = j s along every path (Araujo et al. 2019).

    Upsampling by f divides the stride: j' = j / f.
    """
    result: list[Field] = []
    for operation in operations:
        paths = [
            _path(operation, Field() if number < 0 else result[number], shape, photo)
            for number, shape in zip(operation.inputs, operation.shapes_in, strict=True)
        ]
        whole = any(path.whole for path in paths)
        cut_from = max((path.cut_from for path in paths), default=0)
        maps = [path for path in paths if not path.cut_from]
        # A concatenation of maps with tokens still has the grid of the maps; a sum mixes both.
        if cut_from and not (maps and any(call.name in CONCATENATING for call in operation.calls)):
            result.append(Field((None, None), whole, 0 if whole else cut_from))
            continue
        # In a table of maps with different strides, such as the boxes of a detector, each row has the field of its map.
        join = _join if len(operation.shapes[0]) == 4 else _widest
        channels_last = any(path.channels_last for path in maps)
        result.append(Field(join(path.sides for path in maps), whole, channels_last=channels_last))
    return result


def _path(operation: Operation, before: Field, shape: tuple[int, ...], photo: tuple[int, int]) -> Field:
    """Field of an operation through one of its inputs alone: a tensor of `shape` whose field is `before`."""
    if before.cut_from:
        return Field((None, None), True) if mixes_all(operation, before.cut_from) else before
    if len(shape) == 4 and collapses(operation) and rearranges(operation):
        return Field((None, None), before.whole, 0 if before.whole else shape[2] * shape[3])
    if before.sides == (None, None) or len(shape) < 3 or collapses(operation):
        return _composed(relative(operation, shape), before, shape, photo)
    channels_last = channels_come_last(operation, shape, before.channels_last)
    if channels_last is None:
        return Field((None, None), before.whole, 0 if before.whole else prod(shape[1:]))
    sides = relative(operation, shape)
    if before.channels_last and len(shape) == 4:
        shape = (*shape[:1], *shape[3:], *shape[1:3])
        out = operation.shapes[0]
        kept = out[1:3] if channels_last and len(out) == 4 else out[-2:]
        rows, columns = (_resized(SAME, size, after) for size, after in zip(shape[2:], kept, strict=True))
        sides = rows, columns
    path = _composed(sides, before, shape, photo)
    return replace(path, whole=path.whole or sums_over_all(operation), channels_last=channels_last)


def _composed(sides: Sides, before: Field, shape: tuple[int, ...], photo: tuple[int, int]) -> Field:
    """Field of positions that read, by the steps `sides`, a map of `shape` whose own field is `before`."""
    result: list[Steps | None] = []
    for steps, previous, size, pixels in zip(sides, before.sides, (1, 1, *shape)[-2:], photo, strict=True):
        if steps is not None:
            result.append(previous and steps.after(previous))
        elif previous is None:
            result.append(None)
        else:
            # All positions together may still miss a part of the photo, for example behind a crop.
            first, last = previous.start_of(0), previous.end_of(size - 1)
            result.append(None if first <= 0 and last >= pixels - 1 else Steps((first,), (last,), 0))
    return Field((result[0], result[1]), before.whole or result == [None, None])


def _join(paths: Iterable[Sides]) -> Sides:
    """Join parallel paths; one that reads a side whole counts only if no other path has a grid along it."""
    rows, columns = ([steps for steps in side if steps] for side in zip(*paths, strict=True))
    return union(rows) if rows else None, union(columns) if columns else None


def _widest(paths: Iterable[Sides]) -> Sides:
    """The path with the largest field, for each side; None for a side that all paths read whole."""
    rows, columns = (
        max((steps for steps in side if steps), key=lambda steps: steps.side, default=None)
        for side in zip(*paths, strict=True)
    )
    return rows, columns


def relative(operation: Operation, shape: tuple[int, ...]) -> Sides:
    """Steps from an operation's output to an input of `shape`: the rows and columns that each output position reads."""
    if collapses(operation):
        return None, None
    steps_to: dict[int, Sides] = {}
    after: Sides = (SAME, SAME)
    is_known = False
    for call in operation.calls:
        reads = [steps_to.get(id(tensor)) or _initial_steps(tensor) for tensor in tensors_in((call.args, call.kwargs))]
        paths = [path for path in reads if path is not None]
        # A call on weights alone does not read the photo.
        if not paths:
            continue
        # Parallel windows, such as an average and its divisor, are joined: they see no more than the larger one.
        before = _join(paths)
        steps = steps_of(call)
        is_known = is_known or steps is not None
        after = before
        if steps is not None:
            rows, columns = (
                own and previous and own.after(previous) for own, previous in zip(steps, before, strict=True)
            )
            after = rows, columns
        steps_to |= {id(tensor): after for tensor in tensors_in(call.output)}
    out = operation.shapes[0]
    if is_known or len(shape) != 4 or len(out) != 4:
        return after
    rows, columns = (_resized(steps, shape[side], out[side]) for side, steps in zip((2, 3), after, strict=True))
    return rows, columns


def _initial_steps(tensor: Tensor) -> Sides | None:
    """Steps to a tensor that no call of the operation computed: identical positions for an input, None for a weight."""
    return None if tensor.ndim < 3 or isinstance(tensor, nn.Parameter) else (SAME, SAME)


def _resized(steps: Steps | None, size: int, after: int) -> Steps | None:
    """Steps along a side whose size changed although no call is known to move positions.

    A single input position is broadcast to all; a single output position reads all.
    """
    if size == 1 and after > 1:
        return ONE_FOR_ALL
    return None if after == 1 and size > 1 else steps


def collapses(operation: Operation) -> bool:
    """Whether an operation turns maps of several positions into a vector or a single position."""
    maps = [shape for shape in operation.shapes_in if len(shape) == 4 and shape[2] * shape[3] > 1]
    declared = getattr(operation.module, "keeps_grid", None)
    if operation.is_leaf and isinstance(declared, bool):
        return not declared
    if not maps or any(window(call) is not None for call in operation.calls):
        return False
    return not any(_keeps_grid(shape, maps) for shape in operation.shapes)


def _keeps_grid(shape: tuple[int, ...], maps: Sequence[tuple[int, ...]]) -> bool:
    """Whether a shape still has rows and columns; they come last if channels were split or summed."""
    if len(shape) == 4:
        return shape[2] * shape[3] > 1
    return len(shape) in (3, 5, 6) and shape[-2:] in [other[2:] for other in maps]


@dataclass(frozen=True)
class Reach:
    """Pixels of the photo that one unit sees.

    Attributes:
        rows: First and last row, over the paths that keep a grid; over all paths if none does.
        columns: First and last column, over the same paths.
        whole: Whether some path without a grid, such as one through a gate, sees the whole photo.
    """

    rows: Span
    columns: Span
    whole: bool


def reach(operations: Sequence[Operation], number: int, row: int, column: int, photo: tuple[int, int]) -> Reach:
    """Find what the unit at (`row`, `column`) of an operation's output sees of a photo of (height, width).

    The unit is followed backwards along every path, and its field is cut at the border of each map on the way.
    """
    grid: dict[int, Spans] = {number: ((row, row), (column, column))}
    # On paths without a grid, every position of an operation's input is read.
    pooled: dict[int, Spans] = {}
    for index in range(number, -1, -1):
        operation = operations[index]
        for needed in (grid, pooled):
            if index not in needed:
                continue
            for source, shape in zip(operation.inputs, operation.shapes_in, strict=True):
                spans = _read_spans(operation, shape, needed[index])
                _add(pooled if spans is None else needed, source, spans or _all_of(shape))
    everything = _all_of(photo)
    rows, columns = grid.get(-1) or pooled.get(-1, everything)
    return Reach(rows, columns, pooled.get(-1) == everything)


def _all_of(shape: tuple[int, ...]) -> Spans:
    height, width = (1, 1, *shape)[-2:]
    return (0, height - 1), (0, width - 1)


def _add(needed: dict[int, Spans], index: int, spans: Spans) -> None:
    known = needed.get(index, spans)
    needed[index] = _hull(known[0], spans[0]), _hull(known[1], spans[1])


def _hull(first: Span, second: Span) -> Span:
    return min(first[0], second[0]), max(first[1], second[1])


def _read_spans(operation: Operation, shape: tuple[int, ...], spans: Spans) -> Spans | None:
    """Rows and columns of an input of `shape` that `spans` of the output read; None if they read all."""
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
        # Positions in a border are not pixels.
        result.append((min(max(start, 0), size - 1), min(max(end, 0), size - 1)))
    return result[0], result[1]
