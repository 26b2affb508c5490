"""Determine which input positions each output position of a call reads, along one side of a map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, gcd, lcm
from typing import Any

from torch import Tensor

from convatlas.anatomy.measure.products import TRANSPOSED
from convatlas.anatomy.measure.tracing.calls import Call, argument
from convatlas.anatomy.measure.window import window


@dataclass(frozen=True)
class Steps:
    """First and last input position that each output position reads, both inclusive.

    They are listed for one period of output positions, after which the pattern repeats `advance` input positions
    further on: (0,), (2,), 2 is a window of 3 at stride 2; (0, 0), (0, 0), 1 is nearest-neighbour upsampling by 2.
    Positions may lie outside the map, in its border.

    Attributes:
        first: First input position of each output position of a period.
        last: Last input position of each output position of a period.
        advance: Input positions from one period to the next.
    """

    first: tuple[int, ...] = (0,)
    last: tuple[int, ...] = (0,)
    advance: int = 1

    @property
    def side(self) -> int:
        """Largest number of input positions that an output position reads, gaps included."""
        return max(last - first for first, last in zip(self.first, self.last, strict=True)) + 1

    @property
    def stride(self) -> float:
        """Average number of input positions from one output position to the next; an int if it is whole."""
        stride = self.advance / len(self.first)
        return int(stride) if stride.is_integer() else stride

    def start_of(self, position: int) -> int:
        """First input position that an output position reads."""
        repeats, place = divmod(position, len(self.first))
        return self.first[place] + repeats * self.advance

    def end_of(self, position: int) -> int:
        """Last input position that an output position reads."""
        repeats, place = divmod(position, len(self.last))
        return self.last[place] + repeats * self.advance

    def after(self, before: Steps) -> Steps:
        """Compose two calls: the steps from the outputs of this call to the inputs of the one before it."""
        repeats = len(before.first) // gcd(len(before.first), self.advance)
        positions = range(repeats * len(self.first))
        return Steps(
            tuple(before.start_of(self.start_of(position)) for position in positions),
            tuple(before.end_of(self.end_of(position)) for position in positions),
            repeats * self.advance // len(before.first) * before.advance,
        )


SAME = Steps()
ONE_FOR_ALL = Steps(advance=0)
"""All output positions read the same single input position."""


def union(paths: Iterable[Steps]) -> Steps:
    """Join the steps of several paths; only those with the largest stride count."""
    candidates = list(paths)
    stride = max(steps.stride for steps in candidates)
    candidates = [steps for steps in candidates if steps.stride == stride]
    period = lcm(*(len(steps.first) for steps in candidates))
    return Steps(
        tuple(min(steps.start_of(position) for steps in candidates) for position in range(period)),
        tuple(max(steps.end_of(position) for steps in candidates) for position in range(period)),
        round(stride * period),
    )


def steps_of(call: Call) -> tuple[Steps, Steps] | None:
    """Steps of a call along rows and columns; None if it is not known to move or mix positions."""
    extent = window(call)
    if extent is not None:
        rows, columns = (
            Steps((-border,), (-border + (kernel - 1) * dilation,), stride)
            for border, kernel, dilation, stride in zip(
                extent.padding, extent.kernel, extent.dilation, extent.stride, strict=True
            )
        )
        return rows, columns
    if call.name in ("getitem", "narrow"):
        return _crop(call)
    if call.name == "pad":
        border = list(argument(call, 1, "pad"))
        return (_shift(-border[2]), _shift(-border[0])) if len(border) >= 4 else None
    sides = _sides(call)
    if sides is None:
        return None
    if call.name in ("conv_transpose2d", "convolution"):
        return _transposed(call, 0), _transposed(call, 1)
    if call.name == "interpolate" or call.name.startswith("upsample"):
        return _each(sides, _interpolation(call))
    if call.name in ("adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices"):
        return _each(sides, _area)
    if call.name in ("pixel_shuffle", "channel_shuffle"):
        return _each(sides, _nearest)
    if call.name == "pixel_unshuffle":
        return _each(sides, _area)
    return None


Sizes = tuple[int, int]
"""Numbers of input and output positions along one side."""


def _sides(call: Call) -> tuple[Sizes, Sizes] | None:
    """Sizes of the first tensor and of the result along rows and columns; None if one of them is not a map."""
    x = next((value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)), None)
    output = call.output[0] if isinstance(call.output, tuple | list) and call.output else call.output
    if x is None or not isinstance(output, Tensor) or x.ndim < 3 or output.ndim < 3:
        return None
    return (x.shape[-2], output.shape[-2]), (x.shape[-1], output.shape[-1])


def _each(sides: tuple[Sizes, Sizes], steps: Callable[[int, int], Steps]) -> tuple[Steps, Steps]:
    return steps(*sides[0]), steps(*sides[1])


def _shift(offset: int, stride: int = 1) -> Steps:
    return Steps((offset,), (offset,), stride)


def _crop(call: Call) -> tuple[Steps, Steps] | None:
    """Steps of slices, such as `x[..., 1::2, :5]`; None for any other index."""
    x = call.args[0]
    if not isinstance(x, Tensor) or x.ndim != 4:
        return None
    slices = [slice(None)] * 4
    if call.name == "narrow":
        slices[argument(call, 1, "dim")] = slice(argument(call, 2, "start"), None)
    else:
        index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
        if not all(isinstance(part, slice) or part is Ellipsis for part in index):
            return None
        place = index.index(Ellipsis) if Ellipsis in index else len(index)
        front, back = index[:place], index[place + 1 :]
        slices = [*front, *[slice(None)] * (4 - len(front) - len(back)), *back]
    (first_row, _, row_step), (first_column, _, column_step) = (slices[side].indices(x.shape[side]) for side in (2, 3))
    return _shift(first_row, row_step), _shift(first_column, column_step)


def _ratio(size: int, output: int) -> tuple[int, int]:
    """Output positions of a period, and input positions from one period to the next."""
    common = gcd(size, output)
    return output // common, size // common


def _nearest(size: int, output: int) -> Steps:
    """Steps of nearest-neighbour resizing from `size` to `output` positions."""
    period, advance = _ratio(size, output)
    places = tuple(position * advance // period for position in range(period))
    return Steps(places, places, advance)


def _area(size: int, output: int) -> Steps:
    """Steps of an average over equal areas, from `size` to `output` positions."""
    period, advance = _ratio(size, output)
    return Steps(
        tuple(position * advance // period for position in range(period)),
        tuple(-(-(position + 1) * advance // period) - 1 for position in range(period)),
        advance,
    )


def _antialiased(size: int, output: int, corners: bool, reach: int) -> Steps:
    """Steps of a resizing whose windows grow as the output shrinks; `reach` is half a window at the same size."""
    period, advance = (output, size) if corners else _ratio(size, output)
    scale = (size - 1) / (output - 1) if corners and output > 1 else size / output
    half = reach * max(scale, 1)
    middles = [scale * (position + 0.5) for position in range(period)]
    # Positions at the very end of a window have the weight 0.
    first = tuple(floor(middle - half - 0.5) + 1 for middle in middles)
    return Steps(first, tuple(ceil(middle + half - 0.5) - 1 for middle in middles), advance)


def _interpolation(call: Call) -> Callable[[int, int], Steps]:
    """Function from sizes of input and output to the steps of a resizing call."""
    mode = argument(call, 3, "mode", "nearest") if call.name == "interpolate" else call.name
    if "nearest" in mode:
        return _nearest
    if mode == "area":
        return _area
    corners = bool(argument(call, 4 if call.name == "interpolate" else 2, "align_corners", False))
    extra = 1 if "bicubic" in mode else 0
    if call.name == "interpolate" and argument(call, 6, "antialias", False):
        return lambda size, output: _antialiased(size, output, corners, 1 + extra)

    def steps(size: int, output: int) -> Steps:
        if corners and output > 1:
            period, advance = output, size
            places = [position * (size - 1) / (output - 1) for position in range(period)]
        else:
            period, advance = _ratio(size, output)
            places = [(position + 0.5) * advance / period - 0.5 for position in range(period)]
        return Steps(
            tuple(floor(place) - extra for place in places), tuple(ceil(place) + extra for place in places), advance
        )

    return steps


def _transposed(call: Call, side: int) -> Steps:
    """Steps of a transposed convolution along rows (0) or columns (1)."""
    kernel = argument(call, 1, "weight").shape[2 + side]
    places = {"stride": 3, "padding": 4, "dilation": 7 if call.name in TRANSPOSED else 5}
    stride, padding, dilation = (
        _on_side(argument(call, place, name, 0 if name == "padding" else 1), side) for name, place in places.items()
    )
    spans = []
    for position in range(stride):
        reads = [position + padding - tap * dilation for tap in range(kernel)]
        whole = [place // stride for place in reads if place % stride == 0]
        # A position between the windows reads nothing; it gets the steps of its neighbour.
        spans.append((min(whole), max(whole)) if whole else ((position + padding) // stride,) * 2)
    return Steps(tuple(first for first, _ in spans), tuple(last for _, last in spans), 1)


def _on_side(value: Any, side: int) -> int:
    """Value of an argument, one number or a pair, for rows (0) or columns (1)."""
    values: Sequence[int] = [value] if isinstance(value, int) else value
    return int(values[side % len(values)])
