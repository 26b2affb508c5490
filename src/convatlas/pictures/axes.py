"""The axes of charts: linear, logarithmic or a list of names, each with its ticks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10


@dataclass(frozen=True)
class Axis:
    """One side of a chart.

    Attributes:
        low: The value at its left or lower end; above `high` on an axis that runs from top to bottom.
        high: The value at its right or upper end.
        ticks: Values with their texts.
        label: What the axis shows, and its unit.
        logarithmic: Whether equal distances are equal ratios.
        grid: Whether a line runs through the chart at each tick.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    label: str = ""
    logarithmic: bool = False
    grid: bool = True

    def share(self, value: float) -> float:
        """Return where a value lies: 0 at the low end, 1 at the high end."""
        if self.logarithmic:
            return log10(value / self.low) / log10(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear(
    values: Iterable[float],
    label: str = "",
    *,
    zero: bool = False,
    whole: bool = False,
    unit: str = "",
    margin: float = 0.04,
) -> Axis:
    """Return an axis around `values`, with about seven ticks at round numbers.

    Args:
        values: The values to be shown; those that are not finite are left out.
        label: The axis' label.
        zero: Whether the axis begins at 0.
        whole: Whether ticks are whole numbers.
        unit: A text behind each number.
        margin: Free space at both ends, as a share of the axis.
    """
    finite = [value for value in values if isfinite(value)] or [0.0, 1.0]
    low, high = (min(0.0, *finite) if zero else min(finite)), max(finite)
    if low == high:
        low, high = (low, low + 1) if zero else (low - 0.5, high + 0.5)
    step = _round_step((high - low) / 8)
    step = max(step, 1.0) if whole else step
    low, high = low - (0 if zero and low == 0 else margin * (high - low)), high + margin * (high - low)
    digits = max(0, -floor(log10(step)))
    places = range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)
    return Axis(low, high, tuple((at * step, f"{at * step:,.{digits}f}{unit}") for at in places), label)


def logarithmic(values: Iterable[float], label: str = "", *, unit: str = "", margin: float = 0.04) -> Axis:
    """Return a logarithmic axis around positive `values`, with ticks at 1, 2 and 5 times powers of ten."""
    finite = [value for value in values if isfinite(value) and value > 0] or [1.0, 10.0]
    low, high = log10(min(finite)), log10(max(finite))
    space = max(margin * (high - low), 0.02)
    low, high = low - space, high + space
    numbers = [digit * 10.0**power for power in range(floor(low), ceil(high) + 1) for digit in (1, 2, 5)]
    ticks = tuple((number, f"{number:g}{unit}") for number in numbers if low <= log10(number) <= high)
    return Axis(10**low, 10**high, ticks, label, logarithmic=True)


def categories(names: Sequence[str], label: str = "", *, downward: bool = False) -> Axis:
    """Return an axis of names at 0, 1, 2, ...; `downward`, for the vertical axis, has the first at the top."""
    ends = -0.5, len(names) - 0.5
    low, high = reversed(ends) if downward else ends
    return Axis(low, high, tuple((float(at), name) for at, name in enumerate(names)), label, grid=False)


def _round_step(step: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is not below `step`."""
    power = 10.0 ** floor(log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step * (1 - 1e-9))
