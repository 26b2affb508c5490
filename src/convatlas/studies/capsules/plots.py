"""Draw the chart of the study: printed errors and those reached here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convatlas.pictures.axes import categories, logarithmic
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Dots, Intervals, Mark
from convatlas.pictures.palette import SERIES
from convatlas.pictures.shapes import INK
from convatlas.training.plots import save_chart


def draw(folder: Path, rows: Sequence[Mapping[str, Any]], suffix: str = "") -> list[Path]:
    """Write capsules.png and return its path in a list.

    Args:
        folder: Folder to write to.
        rows: Rows of a `CapsuleTable`.
        suffix: Suffix of the file's name, before the extension.

    Raises:
        TrainingError: It cannot be written.
    """
    return [save_chart(folder / f"capsules{suffix}.png", errors(rows))]


def errors(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return printed errors and those reached here, on a log scale: a dot for each seed, a larger one for the mean."""
    printed = {place: row["printed"] for place, row in enumerate(rows) if row["printed"] is not None}
    marks: list[Mark] = [
        Intervals(
            [*printed.values()],
            [place - 0.3 for place in printed],
            [place + 0.3 for place in printed],
            INK,
            "printed",
            vertical=True,
            cap=0,
        )
    ]
    for place, row in enumerate(rows):
        marks.append(Dots(row["errors"], [place] * len(row["errors"]), SERIES[0], opacity=0.4))
        marks.append(Dots([row["mean"]], [place], SERIES[0], "reached here", 3.6))
    # A logarithm needs numbers above 0.
    values = [max(value, 0.01) for row in rows for value in row["errors"]]
    x = logarithmic([*printed.values(), *values], "test error", unit=" %")
    titles = [row["title"] for row in rows]
    return Chart([Panel(x, categories(titles, downward=True), marks, width=520, height=34.0 * len(rows))], "Capsules")
