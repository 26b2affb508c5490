"""Pictures of the error table: printed errors beside ours, and what the boosted net's fellows are good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from convatlas.catalogue.cards import find
from convatlas.studies.mnist_errors.rows import ROWS
from convatlas.studies.mnist_errors.table import NAMES, mean_curve
from convatlas.training.plots import saved

COLOURS = {"published": "tab:blue", "modern": "tab:orange"}
TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


def draw(folder: Path, rows: Sequence[Mapping[str, Any]], suffix: str = "") -> list[Path]:
    """Writes errors.png and, if the boosted net is among the rows, boosted.png; gives their paths.

    Args:
        folder: Where.
        rows: Of an `Errors`.
        suffix: Of the names, before the ending.

    Raises:
        TrainingError: They cannot be written.
    """
    drawn = {folder / f"errors{suffix}.png": errors(rows)}
    if curves := {row["reading"]: row["curve"] for row in rows if "curve" in row}:
        drawn[folder / f"boosted{suffix}.png"] = boosting(curves)
    return [saved(path, figure) for path, figure in drawn.items()]


def errors(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Printed errors beside ours of both readings, on a logarithmic scale: mean and spread, and a dot for each seed."""
    there = [row for row in ROWS if any(one["row"] == row.key for one in rows)]
    figure = Figure((8, 0.45 * len(there) + 1.6), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(there):
        for one in rows:
            if one["row"] != row.key:
                continue
            at, colour = place + (-0.14 if one["reading"] == "published" else 0.14), COLOURS[one["reading"]]
            axes.plot(one["errors"], [at] * len(one["errors"]), ".", color=colour, alpha=0.4)
            axes.errorbar(one["mean"], at, xerr=one["deviation"], fmt="o", markersize=4, capsize=3, color=colour)
            axes.plot(one["printed"], place, "k|", markersize=20)
    axes.plot([], [], "k|", markersize=12, linestyle="none", label="printed")
    for reading, colour in COLOURS.items():
        axes.plot([], [], "o", markersize=4, color=colour, label=NAMES[reading])
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [tick for tick in TICKS if low / 1.5 <= tick <= high * 1.5]
    axes.set_xticks(ticks, [f"{tick:g} %" for tick in ticks])
    axes.minorticks_off()
    names = [find(row.net).published_name + ("" if row.data == "plain" else f" ({row.data})") for row in there]
    axes.set_yticks(range(len(there)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set(xlabel="error on MNIST's 10,000 test digits")
    axes.legend()
    return figure


def boosting(curves: Mapping[str, Sequence[Sequence[Mapping[str, float]]]]) -> Figure:
    """The boosted net's error by the share of digits that go on, and the time beside that of all three nets.

    Args:
        curves: By reading, of each seed; thin lines are seeds, thick ones their mean.
    """
    figure = Figure((8, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for reading, each in curves.items():
        colour, mean = COLOURS[reading], mean_curve(each)
        for points in each if len(each) > 1 else []:
            left.plot([100 * p["share"] for p in points], [p["error"] for p in points], color=colour, alpha=0.3, lw=1)
        shares = [point["share"] for point in mean]
        left.plot(shares, [point["error"] for point in mean], "o-", color=colour, label=NAMES[reading], markersize=4)
        right.plot(shares, [point["time"] for point in mean], "o-", color=colour, label=NAMES[reading], markersize=4)
    left.set(ylabel="error in percent", ylim=(0, None))
    right.set(ylabel="time, in percent of that of three nets", ylim=(0, None))
    for axes in (left, right):
        axes.set(xlabel="digits that nets 2 and 3 see, in percent")
        axes.grid(alpha=0.3)
    left.legend()
    return figure
