"""Draw the chart of the study: accuracy by shift and by noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convatlas.pictures.axes import linear
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Curve, Mark
from convatlas.pictures.palette import SERIES
from convatlas.studies.ancestors.changes import NOISES, SHIFTS, Change
from convatlas.studies.ancestors.table import WEIGHTS
from convatlas.training.plots import save_chart

UNCHANGED = SHIFTS[0]


def draw(folder: Path, rows: Sequence[Mapping[str, Any]], suffix: str = "") -> list[Path]:
    """Write ancestors.png and return its path in a list.

    Args:
        folder: Folder to write to.
        rows: Rows of an `AncestorTable`.
        suffix: Suffix of the file's name, before the extension.

    Raises:
        TrainingError: It cannot be written.
    """
    return [save_chart(folder / f"ancestors{suffix}.png", tolerance(rows))]


def tolerance(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return the accuracy of each row by the shift, and by the noise, of the digits."""
    panels = [
        _panel(rows, SHIFTS, "shift in pixels of 28"),
        _panel(rows, (Change(NOISES[0].kind, 0), *NOISES), "standard deviation of the noise, ink being 1"),
    ]
    return Chart(panels, "What the ancestors tolerate")


def _panel(rows: Sequence[Mapping[str, Any]], changes: Sequence[Change], label: str) -> Panel:
    amounts = [change.amount for change in changes]
    curves: list[Mark] = [
        Curve(
            amounts,
            [row["mean"][change.key if change.amount else UNCHANGED.key] for change in changes],
            SERIES[number % len(SERIES)],
            f"{row['net']}, {WEIGHTS[row['weights']]}",
            radius=2.5,
        )
        for number, row in enumerate(rows)
    ]
    return Panel(linear(amounts, label), linear([0, 100], "accuracy in percent"), curves)
