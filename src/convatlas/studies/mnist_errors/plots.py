"""Draw the charts of the error table: printed and reproduced errors, and the error curve of the boosted net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convatlas.catalogue.cards import find_card
from convatlas.pictures.axes import categories, linear, logarithmic
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Curve, Dots, Intervals, Mark
from convatlas.pictures.palette import SERIES
from convatlas.pictures.shapes import INK
from convatlas.studies.mnist_errors.rows import ROWS
from convatlas.studies.mnist_errors.table import NAMES, mean_curve
from convatlas.training.plots import save_chart

COLOURS = {"published": SERIES[0], "modern": SERIES[1]}
OFFSETS = {"published": -0.16, "modern": 0.16}
"""Vertical offset of each protocol's errors from their row, in rows."""


def draw(folder: Path, rows: Sequence[Mapping[str, Any]], suffix: str = "") -> list[Path]:
    """Write errors.png and, if the boosted net is among the rows, boosted.png; return their paths.

    Args:
        folder: Folder to write to.
        rows: Rows of an `ErrorTable`.
        suffix: Suffix of the file names, before the extension.

    Raises:
        TrainingError: They cannot be written.
    """
    charts = {folder / f"errors{suffix}.png": errors(rows)}
    if curves := {row["protocol"]: row["curve"] for row in rows if "curve" in row}:
        charts[folder / f"boosted{suffix}.png"] = boosting(curves)
    return [save_chart(path, chart) for path, chart in charts.items()]


def errors(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return printed errors and those of both protocols, on a log scale: mean, deviation, a dot for each seed."""
    shown = [row for row in ROWS if any(result["row"] == row.key for result in rows)]
    places = {row.key: place for place, row in enumerate(shown)}
    printed = {places[result["row"]]: result["printed"] for result in rows}
    tops, bottoms = [place - 0.34 for place in printed], [place + 0.34 for place in printed]
    marks: list[Mark] = [Intervals([*printed.values()], tops, bottoms, INK, "printed", vertical=True, cap=0)]
    for result in rows:
        at = places[result["row"]] + OFFSETS[result["protocol"]]
        colour, mean, deviation = COLOURS[result["protocol"]], result["mean"], result["deviation"]
        marks += [
            Dots(result["errors"], [at] * len(result["errors"]), colour, opacity=0.4),
            Intervals([at], [mean - deviation], [mean + deviation], colour),
            Dots([mean], [at], colour, NAMES[result["protocol"]], 3.6),
        ]
    values = [*printed.values(), *(error for result in rows for error in result["errors"])]
    values += [result["mean"] - result["deviation"] for result in rows]
    x = logarithmic(values, "error on MNIST's 10,000 test digits", unit=" %")
    names = [find_card(row.net).published_name + ("" if row.data == "plain" else f" ({row.data})") for row in shown]
    panel = Panel(x, categories(names, downward=True), marks, width=560, height=34.0 * len(shown))
    return Chart([panel], "Printed errors and ours")


def boosting(curves: Mapping[str, Sequence[Sequence[Mapping[str, float]]]]) -> Chart:
    """Return the boosted net's error, and its time relative to three nets, by the share of digits passed on.

    Args:
        curves: The points of each seed by protocol; thin lines are seeds, thick ones their mean.
    """
    error_curves: list[Mark] = []
    time_curves: list[Mark] = []
    for protocol, seeds in curves.items():
        colour, mean = COLOURS[protocol], mean_curve(seeds)
        for points in seeds if len(seeds) > 1 else []:
            shares = [100 * point["share"] for point in points]
            error_curves.append(Curve(shares, [point["error"] for point in points], colour, width=1, opacity=0.35))
        shares = [point["share"] for point in mean]
        error_curves.append(Curve(shares, [point["error"] for point in mean], colour, NAMES[protocol], radius=3))
        time_curves.append(Curve(shares, [point["time"] for point in mean], colour, NAMES[protocol], radius=3))
    panels = [
        _by_share(error_curves, "error in percent"),
        _by_share(time_curves, "time, in percent of that of three nets"),
    ]
    return Chart(panels, "The boosted net")


def _by_share(curves: Sequence[Mark], label: str) -> Panel:
    values = [value for curve in curves if isinstance(curve, Curve) for value in curve.y]
    x = linear([0, 100], "digits that nets 2 and 3 see, in percent")
    return Panel(x, linear(values, label, zero=True), curves)
