"""The pixels of the photo that one unit sees, found from the unit backwards along every way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convatlas.anatomy.measure.macs import TRANSPOSED, argument, window
from convatlas.anatomy.measure.receptive_field import Field, collapses, within
from convatlas.anatomy.measure.tracer import Call, Operation

Span = tuple[int, int]
"""First and last index."""

Spans = tuple[Span, Span]
"""Rows and columns."""


@dataclass(frozen=True)
class Reach:
    """What a unit sees: `rows` and `columns` of the photo, first and last.

    `whole` if some way sees all of the photo (through a gate, say), beside those that see these rows and columns.
    """

    rows: Span
    columns: Span
    whole: bool


def reach(operations: Sequence[Operation], at: int, row: int, column: int, photo: tuple[int, int]) -> Reach:
    """What the unit at (`row`, `column`) of an operation's output sees of a photo of (height, width)."""
    wanted: dict[int, Spans] = {at: ((row, row), (column, column))}
    whole = False
    for number in range(at, -1, -1):
        if number not in wanted:
            continue
        operation = operations[number]
        for source, shape in zip(operation.inputs, operation.shapes_in, strict=True):
            spans = _back(operation, shape, wanted[number])
            if spans is None:
                whole = True
                continue
            known = wanted.get(source)
            wanted[source] = spans if known is None else (_hull(known[0], spans[0]), _hull(known[1], spans[1]))
    everything = (0, photo[0] - 1), (0, photo[1] - 1)
    rows, columns = wanted.get(-1, everything)
    return Reach(rows, columns, whole)


def _hull(first: Span, second: Span) -> Span:
    return min(first[0], second[0]), max(first[1], second[1])


def _back(operation: Operation, shape: tuple[int, ...], spans: Spans) -> Spans | None:
    """The rows and columns of an input of `shape` that those of the output need; None if they need all of them."""
    out = operation.shapes[0]
    if len(shape) < 4 or len(out) < 4 or collapses(operation):
        return None
    if shape[-2:] == (1, 1) and out[-2:] != (1, 1):
        # What was one number a map is the same for every unit.
        return (0, 0), (0, 0)
    seen = within(operation, Field())
    found = []
    for side in (0, 1):
        size, after, span = shape[-2 + side], out[-2 + side], spans[side]
        up = next((call for call in operation.calls if call.name in (*TRANSPOSED, "interpolate", "upsample")), None)
        if any(call.name == "pad" or window(call) is not None for call in operation.calls):
            first = span[0] * seen.stride[side] + seen.start[side]
            last = span[1] * seen.stride[side] + seen.start[side] + seen.side[side] - 1
        elif up is not None and up.name in TRANSPOSED:
            first, last = _transposed(up, side, span)
        elif after != size and after % size == 0:
            # Each pixel stands for several; one between them may be mixed of its neighbours.
            mixed = 0 if up is None or argument(up, 3, "mode", "nearest") == "nearest" else 1
            first, last = span[0] * size // after - mixed, span[1] * size // after + mixed
        elif after == size:
            first, last = span
        else:
            return None
        # What lies in a border is no pixel.
        found.append((min(max(first, 0), size - 1), min(max(last, 0), size - 1)))
    return found[0], found[1]


def _transposed(call: Call, side: int, span: Span) -> Span:
    kernel = argument(call, 1, "weight").shape[2 + side]
    stride, padding = _one(argument(call, 3, "stride", 1), side), _one(argument(call, 4, "padding", 0), side)
    wide = (kernel - 1) * _one(argument(call, 7, "dilation", 1), side)
    return -(-(span[0] + padding - wide) // stride), (span[1] + padding) // stride


def _one(value: int | Sequence[int], side: int) -> int:
    return value if isinstance(value, int) else value[side % len(value)]
