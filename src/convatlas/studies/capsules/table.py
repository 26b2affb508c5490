"""The table of the study: printed error rates beside those reached here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convatlas.base.tables import Column, Table
from convatlas.studies.capsules.rows import ROWS, Row
from convatlas.studies.study import StudyResult


@dataclass(frozen=True)
class CapsuleTable(StudyResult):
    """Errors on test digits, in percent.

    A row is one net: what is printed, mean and standard deviation over the seeds, errors by seed, photos, parameters,
    recipe, seconds, hashes of weights. A net with a decoder has the error of its reconstructions, in percent of that
    of an empty photo; the net of pairs also the share of digits that are not named.
    """

    def table(self) -> Table:
        """Table with a line for each net."""
        columns = (
            Column("title", "net"),
            Column("parameters", "parameters"),
            Column("photos", "photos"),
            Column("epochs", "epochs"),
            Column("printed", "printed %", _percent),
            Column("error", "error %"),
            Column("reconstruction", "reconstruction %", lambda value: "" if value is None else f"{value:.0f}"),
            Column("minutes", "minutes", lambda value: f"{value:.0f}"),
        )
        lines = [
            {
                **row,
                "epochs": row["recipe"]["epochs"],
                "error": show_error(row),
                "minutes": statistics.fmean(row["seconds"]) / 60,
            }
            for row in self.rows
        ]
        return Table(
            columns,
            lines,
            title=f"capsules on MNIST{', quick' * self.quick}",
            notes=(
                "printed errors are of the paper's nets, which have four times the channels of those of quarter width, "
                "and were trained for longer on all digits",
                "reconstruction: squared error, in percent of that of an empty photo",
            ),
        )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def show_error(row: Mapping[str, Any]) -> str:
    """Mean error of a row, with the deviation if there are several seeds."""
    return f"{row['mean']:.2f} ± {row['deviation']:.2f}" if len(row["errors"]) > 1 else f"{row['mean']:.2f}"


def summarize(outcomes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Summarize the runs of each row over their seeds, in the order of the rows."""
    rows = []
    for row in ROWS:
        runs = sorted((run for run in outcomes if run["row"] == row.key), key=lambda run: int(run["seed"]))
        if runs:
            rows.append(_summarize_seeds(row, runs))
    return rows


def _summarize_seeds(row: Row, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    errors = [run["error"] for run in runs]
    return {
        "row": row.key,
        "title": row.title,
        "parameters": runs[0]["parameters"],
        "photos": runs[0]["photos"],
        "printed": row.printed,
        "mean": statistics.fmean(errors),
        "deviation": statistics.stdev(errors) if len(errors) > 1 else 0.0,
        "errors": errors,
        "reconstruction": runs[0]["reconstruction"],
        "digits": runs[0]["digits"],
        "recipe": {name: value for name, value in runs[0]["recipe"].items() if name != "seed"},
        "seconds": [round(run["seconds"], 1) for run in runs],
        "sha256": [run["sha256"] for run in runs],
    }
