"""How published figures were got from what can be measured: a few rules, each with a mechanism, in a fixed order.

The sizes were read off weight files in the HDF5 layout of Keras: each layer is a group, each array a dataset in a group
of its layer's name within it. So a file holds 4 bytes a parameter and the bookkeeping of HDF5, about 1 kB a group and
0.3 kB an array. Per layer that owns weights this comes to 3.58 - 4.02 kB in the published files whose layers carry
plain names (2.2 - 3.0 kB in those of VGG and Xception, which are older and have too few layers for it to show). Names
in scopes cost more groups: 7.4 - 7.5 kB in the files of NASNet, 5.9 kB for names such as conv2/block1/0_bn. How far
the groups' tables grow depends on every name in the file, which is why the rules allow an interval.

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
from convatlas.catalogue.reading import read

BOOKKEEPING = {"plain": (3550.0, 4050.0), "scoped": (5800.0, 7600.0)}
"""Least and most bytes of HDF5 for each layer that owns weights, by the way the weights are named in the file."""

MB, MIB, GIB = 1e6, 2.0**20, 2.0**30


@dataclass(frozen=True)
class Rule:
    """One way in which a column was printed.

    Attributes:
        name: Short.
        meaning: In one line.
        columns: Of the cards, to which it applies.
        needs: The measured numbers it reads.
        prints: From these, in their order, to all that could have been printed; several if a number is known to lie in
            an interval only.
        unit: How many of the measured ones make one of the printed ones: bytes of a MiB, say.
    """

    name: str
    meaning: str
    columns: tuple[str, ...]
    needs: tuple[str, ...]
    prints: Callable[..., Iterable[str]]
    unit: float = 1.0


@dataclass(frozen=True)
class Exceptional:
    """A published figure that no rule reproduces, and what is known of the reason."""

    net: str
    column: str
    printed: str
    why: str


def explain(column: str, printed: str, measured: Mapping[str, Any], names: str = "plain") -> Rule | None:
    """The first rule by which the measured numbers give what is printed.

    Args:
        column: Of a card's figures.
        printed: The characters published there.
        measured: Any of `parameters` (all arrays: running statistics count), `trainable` (parameters that training
            changes), `depth` (layers that own weights), `main_path` (convolutions and dense layers on the way from
            input to output, projections of shortcuts left out), `macs` (multiply-adds for one photo, each counted
            once), `connections` and `units` (as in `Anatomy`) and `activation` (its name). A rule is passed over if
            what it needs is missing.
        names: The card's `weight_names`.

    Returns:
        The rule, or None if none fits: see `exceptions()`. Measured nowhere, and so without a rule: accuracies and
        errors.

    Raises:
        UnknownName: For `names` that are neither plain nor scoped.
    """
    if names not in BOOKKEEPING:
        raise unknown("way of naming weights", names, BOOKKEEPING)
    numbers = dict(measured)
    if "parameters" in measured and "depth" in measured:
        least, most = (4 * measured["parameters"] + each * measured["depth"] for each in BOOKKEEPING[names])
        numbers |= {"least_bytes": least, "most_bytes": most}
    for rule in RULES:
        known = column in rule.columns and all(number in numbers for number in rule.needs)
        if known and printed in rule.prints(*(numbers[number] for number in rule.needs)):
            return rule
    return None


@cache
def exceptions() -> tuple[Exceptional, ...]:
    """The closed list of published figures that no rule reproduces."""
    return tuple(Exceptional(**each) for each in read("exceptions")["exceptions"])


def _rounded(unit: float, digits: int, suffix: str) -> Callable[[float], list[str]]:
    return lambda number: [f"{number / unit:.{digits}f}{suffix}"]


def _cut(unit: float, digits: int, suffix: str) -> Callable[[float], list[str]]:
    return lambda number: [f"{math.floor(number / unit * 10**digits) / 10**digits:.{digits}f}{suffix}"]


def _between(unit: float, whole: Callable[[float], int], show: Callable[[int], str] = str) -> Callable[..., list[str]]:
    """All that sizes between two would print in `unit`, made a whole number by `whole`."""
    return lambda least, most: [show(number) for number in range(whole(least / unit), whole(most / unit) + 1)]


def _thousands(number: float) -> list[str]:
    return [f"{number / 1e3:.0f},000", f"{number / 1e3:.0f}K"]


_BYTES = ("least_bytes", "most_bytes")

RULES: tuple[Rule, ...] = (
    Rule("layers with weights", "the layers that own weights", ("depth", "layers"), ("depth",), _rounded(1, 0, "")),
    Rule(
        "layers on the main path",
        "convolutions and dense layers from input to output, one of fixed weights too; neither normalizations nor "
        "subsampling nor projections of shortcuts count",
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
        "parameters and running statistics, in millions, the further digits dropped",
        ("parameters",),
        ("parameters",),
        _cut(1e6, 1, "M"),
    ),
    Rule(
        "truncation to thousands, all parameters",
        "parameters and running statistics, in thousands, the further digits dropped",
        ("parameters",),
        ("parameters",),
        _cut(1e3, 0, "K"),
    ),
    Rule(
        "rounding to millions, all parameters",
        "parameters and running statistics, rounded to whole millions",
        ("parameters_short",),
        ("parameters",),
        _rounded(1e6, 0, "M"),
    ),
    Rule(
        "trainable parameters, one by one",
        "parameters that training changes, all digits",
        ("parameters",),
        ("trainable",),
        lambda trainable: [f"{trainable:,}"],
    ),
    Rule(
        "rounding to thousands, trainable parameters",
        "parameters that training changes, rounded to whole thousands",
        ("parameters", "parameters_short"),
        ("trainable",),
        _thousands,
    ),
    Rule(
        "connections, one by one",
        "links between units, those of biases and of fixed weights too; a shared weight counts at each place",
        ("connections",),
        ("connections",),
        lambda connections: [f"{connections:,}"],
    ),
    Rule(
        "connections, rounding to ten thousands",
        "the same, rounded to whole ten thousands",
        ("connections",),
        ("connections",),
        lambda connections: [f"{round(connections, -4):,}"],
    ),
    Rule(
        "units, one by one",
        "pixels, units of all layers with weights, and the constant 1 on which biases hang",
        ("units",),
        ("units",),
        lambda units: [f"{units:,}"],
    ),
    Rule(
        "a function without its constants",
        "the transfer function's name, the scales of its input and output left out",
        ("activation",),
        ("activation",),
        lambda activation: [activation.removeprefix("scaled ")],
    ),
    Rule(
        "truncation to millions, all parameters",
        "parameters and running statistics, in whole millions, the further digits dropped",
        ("parameters_short",),
        ("parameters",),
        _cut(1e6, 0, "M"),
    ),
    Rule(
        "MiB, rounded",
        "4 bytes a parameter, in units of 2^20 bytes, rounded",
        ("size",),
        ("parameters",),
        lambda parameters: [str(round(4 * parameters / MIB))],
        MIB,
    ),
    Rule(
        "MiB with HDF5 overhead, rounded",
        "4 bytes a parameter and HDF5's bookkeeping for each layer, in units of 2^20 bytes, rounded",
        ("size",),
        _BYTES,
        _between(MIB, round),
        MIB,
    ),
    Rule(
        "decimal MB with HDF5 overhead, rounded",
        "4 bytes a parameter and HDF5's bookkeeping for each layer, in units of 10^6 bytes, rounded",
        ("size",),
        _BYTES,
        _between(MB, round),
        MB,
    ),
    Rule(
        "MiB with HDF5 overhead, rounded up",
        "the same in units of 2^20 bytes, rounded up as `ls -lh` does",
        ("size",),
        _BYTES,
        _between(MIB, math.ceil),
        MIB,
    ),
    Rule(
        "decimal MB with HDF5 overhead, rounded up",
        "the same in units of 10^6 bytes, rounded up as `ls -l --si` does",
        ("size",),
        _BYTES,
        _between(MB, math.ceil),
        MB,
    ),
    Rule(
        "MiB with HDF5 overhead, two decimals",
        "the same in units of 2^20 bytes, to two decimals",
        ("size",),
        _BYTES,
        _between(MIB / 100, round, lambda hundredths: f"{hundredths / 100:.2f}"),
        MIB,
    ),
    Rule(
        "GiB with HDF5 overhead, two decimals, times 1000",
        "the same in units of 2^30 bytes to two decimals, then taken for thousands of MB",
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
        "multiply-adds counted once, not as two operations, in units of 10^9, the further digits dropped",
        ("flops",),
        ("macs",),
        _cut(1e9, 1, "×10^9"),
    ),
    Rule(
        "two operations a multiply-add, rounding",
        "multiplications and additions, each an operation, in units of 10^9, rounded to two decimals",
        ("flops",),
        ("macs",),
        _rounded(0.5e9, 2, " Bn"),
    ),
)
"""In the order in which they are tried."""
