"""Steps along one side of a map: which input positions each output position of a call reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, gcd, lcm
from typing import Any

from torch import Tensor

from convatlas.anatomy.measure.macs import TRANSPOSED, argument, window
from convatlas.anatomy.measure.tracer import Call

CUBIC = ("bicubic",)


@dataclass(frozen=True)
class Steps:
    """First and last input position of each output position, both included.

    They are listed for as many output positions as there are before the pattern repeats, `advance` input positions
    further on: (0,), (2,), 2 is a window of 3 at stride 2; (0, 0), (0, 0), 1 is a nearest neighbour at twice the size.
    Positions outside the map, where borders lie, follow the same rule.
    """

    first: tuple[int, ...] = (0,)
    last: tuple[int, ...] = (0,)
    advance: int = 1

    @property
    def side(self) -> int:
        """The largest number of input positions that an output position reads, gaps included."""
        return max(last - first for first, last in zip(self.first, self.last, strict=True)) + 1

    @property
    def stride(self) -> float:
        """Input positions from one output position to the next, on average; an int if it is whole."""
        stride = self.advance / len(self.first)
        return int(stride) if stride.is_integer() else stride

    def start_of(self, position: int) -> int:
        """The first input position that an output position reads."""
        repeats, place = divmod(position, len(self.first))
        return self.first[place] + repeats * self.advance

    def end_of(self, position: int) -> int:
        """The last input position that an output position reads."""
        repeats, place = divmod(position, len(self.last))
        return self.last[place] + repeats * self.advance

    def after(self, before: Steps) -> Steps:
        """These steps on the outputs of others: what output positions read of the others' inputs."""
        repeats = len(before.first) // gcd(len(before.first), self.advance)
        positions = range(repeats * len(self.first))
        return Steps(
            tuple(before.start_of(self.start_of(position)) for position in positions),
            tuple(before.end_of(self.end_of(position)) for position in positions),
            repeats * self.advance // len(before.first) * before.advance,
        )


SAME = Steps()
ONE_FOR_ALL = Steps(advance=0)
"""All output positions read the one input position."""


def union(paths: Iterable[Steps]) -> Steps:
    """Join the steps of several paths; only those of the largest stride count."""
    every = list(paths)
    stride = max(steps.stride for steps in every)
    every = [steps for steps in every if steps.stride == stride]
    period = lcm(*(len(steps.first) for steps in every))
    return Steps(
        tuple(min(steps.start_of(position) for steps in every) for position in range(period)),
        tuple(max(steps.end_of(position) for steps in every) for position in range(period)),
        round(stride * period),
    )


def steps_of(call: Call) -> tuple[Steps, Steps] | None:
    """The steps of a call along rows and columns; None if it does not move or mix positions in a known way."""
    seen = window(call)
    if seen is not None:
        rows, columns = (
            Steps((-border,), (-border + (kernel - 1) * dilation,), stride)
            for border, kernel, dilation, stride in zip(
                seen.padding, seen.kernel, seen.dilation, seen.stride, strict=True
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
"""Input and output positions along one side."""


def _sides(call: Call) -> tuple[Sizes, Sizes] | None:
    """Sizes of the first tensor and of the result along rows and columns, if both are maps."""
    given = next((value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)), None)
    output = call.output[0] if isinstance(call.output, tuple | list) and call.output else call.output
    if given is None or not isinstance(output, Tensor) or given.ndim < 3 or output.ndim < 3:
        return None
    return (given.shape[-2], output.shape[-2]), (given.shape[-1], output.shape[-1])


def _each(sides: tuple[Sizes, Sizes], steps: Callable[[int, int], Steps]) -> tuple[Steps, Steps]:
    return steps(*sides[0]), steps(*sides[1])


def _shift(offset: int, stride: int = 1) -> Steps:
    return Steps((offset,), (offset,), stride)


def _crop(call: Call) -> tuple[Steps, Steps] | None:
    """The steps of slices `x[..., 1::2, :5]`."""
    given = call.args[0]
    if not isinstance(given, Tensor) or given.ndim != 4:
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
    (top, _, rows), (left, _, columns) = (slices[side].indices(given.shape[side]) for side in (2, 3))
    return _shift(top, rows), _shift(left, columns)


def _ratio(size: int, after: int) -> tuple[int, int]:
    """How many output positions repeat, and by how many input positions."""
    common = gcd(size, after)
    return after // common, size // common


def _nearest(size: int, after: int) -> Steps:
    period, advance = _ratio(size, after)
    places = tuple(position * advance // period for position in range(period))
    return Steps(places, places, advance)


def _area(size: int, after: int) -> Steps:
    period, advance = _ratio(size, after)
    return Steps(
        tuple(position * advance // period for position in range(period)),
        tuple(-(-(position + 1) * advance // period) - 1 for position in range(period)),
        advance,
    )


def _interpolation(call: Call) -> Callable[[int, int], Steps]:
    mode = argument(call, 3, "mode", "nearest") if call.name == "interpolate" else call.name
    if "nearest" in mode:
        return _nearest
    if mode == "area":
        return _area
    corners = bool(argument(call, 4 if call.name == "interpolate" else 2, "align_corners", False))
    wide = 1 if mode in CUBIC or "bicubic" in mode else 0

    def steps(size: int, after: int) -> Steps:
        if corners and after > 1:
            period, advance = after, size
            places = [position * (size - 1) / (after - 1) for position in range(period)]
        else:
            period, advance = _ratio(size, after)
            places = [(position + 0.5) * advance / period - 0.5 for position in range(period)]
        return Steps(
            tuple(floor(place) - wide for place in places), tuple(ceil(place) + wide for place in places), advance
        )

    return steps


def _transposed(call: Call, side: int) -> Steps:
    kernel = argument(call, 1, "weight").shape[2 + side]
    places = {"stride": 3, "padding": 4, "dilation": 7 if call.name in TRANSPOSED else 5}
    stride, padding, dilation = (
        _one(argument(call, place, name, 0 if name == "padding" else 1), side) for name, place in places.items()
    )
    spans = []
    for position in range(stride):
        reads = [position + padding - tap * dilation for tap in range(kernel)]
        whole = [place // stride for place in reads if place % stride == 0]
        # A position between the windows reads nothing; its neighbour stands for it.
        spans.append((min(whole), max(whole)) if whole else ((position + padding) // stride,) * 2)
    return Steps(tuple(first for first, _ in spans), tuple(last for _, last in spans), 1)


def _one(value: Any, side: int) -> int:
    values: Sequence[int] = [value] if isinstance(value, int) else value
    return int(values[side % len(values)])
