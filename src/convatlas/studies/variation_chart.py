"""Draw variants of a net: accuracy with its interval, parameters, MACs and time."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.pictures.axes import categories, linear
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Bars, Dots, Intervals, Mark, Rule
from convatlas.pictures.shapes import GREY
from convatlas.studies.variation import Row

BETTER, WORSE, SAME = "#0072b2", "#d55e00", "#79828c"
"""Colours of variants whose difference is real, and of all others."""


def colour_of(row: Row) -> str:
    """Return the colour of a variant."""
    return SAME if not row.real else BETTER if (row.difference or 0) > 0 else WORSE


def variation_chart(rows: Sequence[Row], title: str, note: str) -> Chart:
    """Return the chart of a table of variants: a line for each, dots are seeds."""
    names = categories([row.variant for row in rows], downward=True)
    height = 22.0 * len(rows)
    marks: list[Mark] = [Rule(rows[0].accuracy, len(rows) - 0.5, -0.5, label=rows[0].variant)]
    for label, colour in (("better", BETTER), ("worse", WORSE), ("no real difference", SAME)):
        shown = {at: row for at, row in enumerate(rows) if colour_of(row) == colour}
        if not shown:
            continue
        seeds = [(value, at) for at, row in shown.items() for value in row.accuracies]
        ranges = {at: row.interval for at, row in shown.items() if row.interval is not None}
        marks += [
            Dots([value for value, _ in seeds], [at for _, at in seeds], colour, radius=2, opacity=0.4),
            Intervals([*ranges], [low for low, _ in ranges.values()], [high for _, high in ranges.values()], colour),
            Dots([row.accuracy for row in shown.values()], [*shown], colour, label, 3.6),
        ]
    values = [value for row in rows for value in (*row.accuracies, *(row.interval or ()))]
    accuracy = linear([value for value in values if -1 <= value <= 101], "test accuracy", unit=" %")
    panels = [Panel(accuracy, names, marks, "accuracy", 320, height)]
    blank = categories([""] * len(rows), downward=True)
    for heading, costs in (
        ("parameters (thousands)", [row.parameters / 1e3 for row in rows]),
        ("MACs (millions)", [row.macs / 1e6 for row in rows]),
        ("seconds per epoch", [row.epoch_seconds for row in rows]),
    ):
        bars = Bars(range(len(rows)), costs, [GREY] * len(rows), thickness=0.5)
        panels.append(Panel(linear(costs, zero=True), blank, [bars], heading, 170, height))
    return Chart(panels, title, note)
