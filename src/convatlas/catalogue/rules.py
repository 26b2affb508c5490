"""Rules by which published figures follow from measured ones, tried in a fixed order.

Published sizes are those of weight files in Keras' HDF5 layout, where each layer is a group, and each array a dataset
in a subgroup with the layer's name. A file holds 4 bytes per parameter and the overhead of HDF5, about 1 kB per
group and 0.3 kB per array. Per layer with weights that is 3.58 to 4.02 kB in published files with plain layer names
(2.2 to 3.0 kB in those of VGG and Xception, which are older and have too few layers for it to show). Scoped names need
more groups: 7.4 to 7.5 kB in the files of NASNet, 5.9 kB with names such as conv2/block1/0_bn. The size of the groups'
tables depends on every name in the file, so the rules allow an interval.

Sources: keras-team/keras, pull request 7837 (sizes of the files on disk); keras-team/keras-io, pull request 788 (depth
counts layers with parameters; parameters in millions).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from convatlas.base.errors import unknown
from convatlas.catalogue.data_files import read

OVERHEAD = {"plain": (3550.0, 4050.0), "scoped": (5800.0, 7600.0)}
"""Smallest and largest overhead of HDF5 in bytes per layer with weights, by the scheme of the weights' names."""

MB, MIB, GIB = 1e6, 2.0**20, 2.0**30


@dataclass(frozen=True)
class Rule:
    """A rule by which published figures follow from measured ones.

    Attributes:
        name: Short name.
        meaning: Explanation in one line.
        columns: Columns of the cards that it applies to.
        needs: Measured numbers that it reads.
        prints: Function from these numbers to the texts that the rule allows; several if a number is known only to lie
            in an interval.
        unit: Measured units in one printed unit, such as bytes in a MiB.
    """

    name: str
    meaning: str
    columns: tuple[str, ...]
    needs: tuple[str, ...]
    prints: Callable[..., Iterable[str]]
    unit: float = 1.0


@dataclass(frozen=True)
class UnexplainedFigure:
    """A published figure that no rule reproduces, and why, as far as known."""

    net: str
    column: str
    printed: str
    why: str


def explain(column: str, printed: str, measured: Mapping[str, Any], names: str = "plain") -> Rule | None:
    """Find the first rule by which the measured numbers give the printed figure.

    Args:
        column: Column of the card.
        printed: Characters published there.
        measured: Any of `parameters` (all arrays, running statistics included), `trainable` (trainable parameters),
            `depth` (layers with weights), `main_path` (convolutions and dense layers on the path from input to output,
            without projection shortcuts), `macs` (multiply-adds for one photo, each counted once), `connections` and
            `units` (as in `Anatomy`) and `activation` (its name). Rules that need a missing number are skipped.
        names: The card's `weight_names`.

    Returns:
        The rule, or None if no rule fits; see `exceptions()`. Accuracies and errors are not measured and have no rules.

    Raises:
        UnknownName: `names` is neither "plain" nor "scoped".
    """
    if names not in OVERHEAD:
        raise unknown("way of naming weights", names, OVERHEAD)
    numbers = dict(measured)
    if "parameters" in measured and "depth" in measured:
        overheads = (measured["depth"] * bytes_per_layer for bytes_per_layer in OVERHEAD[names])
        low, high = (4 * measured["parameters"] + overhead for overhead in overheads)
        numbers |= {"min_bytes": low, "max_bytes": high}
    for rule in RULES:
        applies = column in rule.columns and all(number in numbers for number in rule.needs)
        if applies and printed in rule.prints(*(numbers[number] for number in rule.needs)):
            return rule
    return None


@cache
def exceptions() -> tuple[UnexplainedFigure, ...]:
    """Return the published figures that no rule reproduces; the list is complete."""
    return tuple(UnexplainedFigure(**entry) for entry in read("exceptions")["exceptions"])


def _rounded(unit: float, digits: int, suffix: str) -> Callable[[float], list[str]]:
    return lambda number: [f"{number / unit:.{digits}f}{suffix}"]


def _truncated(unit: float, digits: int, suffix: str) -> Callable[[float], list[str]]:
    return lambda number: [f"{math.floor(number / unit * 10**digits) / 10**digits:.{digits}f}{suffix}"]


def _between(unit: float, whole: Callable[[float], int], show: Callable[[int], str] = str) -> Callable[..., list[str]]:
    """Return a function to the texts of all sizes between two bounds in `unit`, rounded to integers by `whole`."""
    return lambda low, high: [show(number) for number in range(whole(low / unit), whole(high / unit) + 1)]


def _thousands(number: float) -> list[str]:
    return [f"{number / 1e3:.0f},000", f"{number / 1e3:.0f}K"]


_BYTES = ("min_bytes", "max_bytes")

RULES: tuple[Rule, ...] = (
    Rule(
        "layers with weights", "number of layers that own weights", ("depth", "layers"), ("depth",), _rounded(1, 0, "")
    ),
    Rule(
        "layers on the main path",
        "convolutions and dense layers from input to output, also with fixed weights; normalizations, subsampling and "
        "projection shortcuts are not counted",
        ("layers",),
        ("main_path",),
        _rounded(1, 0, ""),
    ),
    Rule(
        "rounding, all parameters",
        "parameters and running statistics, in millions, rounded",
        ("parameters",),
        ("parameters",),
        _rounded(1e6, 1, "M"),
    ),
    Rule(
        "rounding, trainable parameters",
        "parameters without running statistics, in millions, rounded",
        ("parameters",),
        ("trainable",),
        _rounded(1e6, 1, "M"),
    ),
    Rule(
        "truncation, all parameters",
        "parameters and running statistics, in millions, truncated",
        ("parameters",),
        ("parameters",),
        _truncated(1e6, 1, "M"),
    ),
    Rule(
        "truncation to thousands, all parameters",
        "parameters and running statistics, in thousands, truncated",
        ("parameters",),
        ("parameters",),
        _truncated(1e3, 0, "K"),
    ),
    Rule(
        "rounding to millions, all parameters",
        "parameters and running statistics, rounded to whole millions",
        ("parameters_short",),
        ("parameters",),
        _rounded(1e6, 0, "M"),
    ),
    Rule(
        "trainable parameters, all digits",
        "trainable parameters, not rounded",
        ("parameters",),
        ("trainable",),
        lambda trainable: [f"{trainable:,}"],
    ),
    Rule(
        "rounding to thousands, trainable parameters",
        "trainable parameters, rounded to whole thousands",
        ("parameters", "parameters_short"),
        ("trainable",),
        _thousands,
    ),
    Rule(
        "connections, all digits",
        "connections between units, including biases and fixed weights; a shared weight counts at each position",
        ("connections",),
        ("connections",),
        lambda connections: [f"{connections:,}"],
    ),
    Rule(
        "connections, rounding to ten thousands",
        "connections between units, rounded to whole ten thousands",
        ("connections",),
        ("connections",),
        lambda connections: [f"{round(connections, -4):,}"],
    ),
    Rule(
        "units, all digits",
        "pixels, units of all layers with weights, and the constant 1 of the biases",
        ("units",),
        ("units",),
        lambda units: [f"{units:,}"],
    ),
    Rule(
        "function without its constants",
        "name of the activation function, without the scales of its input and output",
        ("activation",),
        ("activation",),
        lambda activation: [activation.removeprefix("scaled ")],
    ),
    Rule(
        "truncation to millions, all parameters",
        "parameters and running statistics, in whole millions, truncated",
        ("parameters_short",),
        ("parameters",),
        _truncated(1e6, 0, "M"),
    ),
    Rule(
        "MiB, rounded",
        "4 bytes per parameter, in units of 2^20 bytes, rounded",
        ("size",),
        ("parameters",),
        lambda parameters: [str(round(4 * parameters / MIB))],
        MIB,
    ),
    Rule(
        "MiB with HDF5 overhead, rounded",
        "4 bytes per parameter and HDF5's overhead for each layer, in units of 2^20 bytes, rounded",
        ("size",),
        _BYTES,
        _between(MIB, round),
        MIB,
    ),
    Rule(
        "decimal MB with HDF5 overhead, rounded",
        "4 bytes per parameter and HDF5's overhead for each layer, in units of 10^6 bytes, rounded",
        ("size",),
        _BYTES,
        _between(MB, round),
        MB,
    ),
    Rule(
        "MiB with HDF5 overhead, rounded up",
        "4 bytes per parameter and HDF5's overhead, in units of 2^20 bytes, rounded up as by `ls -lh`",
        ("size",),
        _BYTES,
        _between(MIB, math.ceil),
        MIB,
    ),
    Rule(
        "decimal MB with HDF5 overhead, rounded up",
        "4 bytes per parameter and HDF5's overhead, in units of 10^6 bytes, rounded up as by `ls -l --si`",
        ("size",),
        _BYTES,
        _between(MB, math.ceil),
        MB,
    ),
    Rule(
        "MiB with HDF5 overhead, two decimals",
        "4 bytes per parameter and HDF5's overhead, in units of 2^20 bytes, to two decimals",
        ("size",),
        _BYTES,
        _between(MIB / 100, round, lambda hundredths: f"{hundredths / 100:.2f}"),
        MIB,
    ),
    Rule(
        "GiB with HDF5 overhead, two decimals, times 1000",
        "4 bytes per parameter and HDF5's overhead, in units of 2^30 bytes to two decimals, read as thousands of MB",
        ("size",),
        _BYTES,
        _between(GIB / 100, round, lambda hundredths: str(10 * hundredths)),
        GIB / 1000,
    ),
    Rule(
        "multiply-adds counted once, rounding",
        "multiply-adds counted once, not as two operations, in units of 10^9, rounded",
        ("flops",),
        ("macs",),
        _rounded(1e9, 1, "×10^9"),
    ),
    Rule(
        "multiply-adds counted once, truncation",
        "multiply-adds counted once, not as two operations, in units of 10^9, truncated",
        ("flops",),
        ("macs",),
        _truncated(1e9, 1, "×10^9"),
    ),
    Rule(
        "two operations per multiply-add, rounding",
        "multiplications and additions counted separately, in units of 10^9, rounded to two decimals",
        ("flops",),
        ("macs",),
        _rounded(0.5e9, 2, " Bn"),
    ),
)
"""All rules, in the order in which they are tried."""
