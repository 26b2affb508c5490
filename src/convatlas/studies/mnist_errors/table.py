"""The error table: printed errors beside mean and standard deviation of the reproduced ones."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from convatlas.base.errors import TrainingError
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError, read_json, to_type
from convatlas.base.tables import Column, Table
from convatlas.catalogue.cards import find_card
from convatlas.studies.mnist_errors.rows import PROTOCOLS, ROWS, Row
from convatlas.studies.study import StudyResult

NAMES = {"published": "as published", "modern": "modern"}
"""Names of the protocols in tables and figures."""


@dataclass(frozen=True)
class ErrorTable(StudyResult):
    """Errors on MNIST's 10,000 test digits, in percent.

    A row is one net by one protocol: printed error, mean and standard deviation over the seeds, errors by seed, recipe,
    genes, seconds, hashes of weights; for the boosted net also the curve, for each seed, of error against the share of
    digits that all three nets see.
    """

    def table(self) -> Table:
        """Table with a line for each row of the review, with both protocols."""
        columns: tuple[Column, ...] = (
            Column("net", "net"),
            Column("data", "digits (as published)"),
            Column("printed", "printed %", _percent),
            Column("published", "as published %"),
            Column("modern", "modern %"),
        )
        if any(row.why for row in ROWS):
            columns += (Column("why", "why not"),)
        lines = []
        for row in ROWS:
            entries = {entry["protocol"]: entry for entry in self.rows if entry["row"] == row.key}
            if entries:
                lines.append(
                    {"net": row.net, "data": row.data, "printed": printed_error(row), "why": row.why}
                    | {protocol: _mean_and_deviation(entry) for protocol, entry in entries.items()}
                )
        seeds = f"mean and standard deviation of {self.seeds} seeds" if self.seeds > 1 else "one seed"
        distorted = ", ".join(row.net for row in ROWS if row.modern.distort)
        return Table(
            columns,
            lines,
            title=f"errors on MNIST's 10,000 test digits, {seeds}{', quick' * self.quick}",
            notes=(f"the modern protocol trains {distorted} on distorted digits, all other nets on undistorted ones",),
        )

    def boosting(self) -> Table:
        """Table of the boosted net's error by the share of digits that all three nets see, mean of all seeds."""
        columns: tuple[Column, ...] = (
            Column("protocol", "protocol"),
            Column("share", "to nets 2 and 3, %", lambda value: f"{value:.1f}"),
            Column("error", "error %", _percent),
            Column("cost", "nets a digit", _percent),
            Column("time", "time, % of three nets", lambda value: f"{value:.0f}"),
        )
        lines = [
            {"protocol": NAMES[row["protocol"]]} | point
            for row in self.rows
            for point in (mean_curve(row["curve"]) if "curve" in row else [])
        ]
        return Table(columns, lines, title="the boosted net: error against the share of digits that all three nets see")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the table that `reproduce` wrote.

        Raises:
            TrainingError: The file cannot be read, or is not such a table.
        """
        try:
            return to_type(cls, read_json(path))
        except (OSError, SchemaError) as error:
            raise TrainingError(
                f"{path} is not an error table of `convatlas reproduce errors`: it {reason(error)}"
            ) from None


def mean_curve(curves: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """Average the seeds' curves: share, error and time in percent, cost in nets for a digit."""
    return [
        {
            "share": 100 * statistics.fmean(point["share"] for point in points),
            "error": statistics.fmean(point["error"] for point in points),
            "cost": statistics.fmean(point["cost"] for point in points),
            # The last point is all three nets for all digits.
            "time": statistics.fmean(
                100 * point["seconds"] / curve[-1]["seconds"] for point, curve in zip(points, curves, strict=True)
            ),
        }
        for points in zip(*curves, strict=True)
    ]


def _percent(value: float) -> str:
    return f"{value:.2f}"


def _mean_and_deviation(row: Mapping[str, Any]) -> str:
    return f"{row['mean']:.2f} ± {row['deviation']:.2f}" if len(row["errors"]) > 1 else f"{row['mean']:.2f}"


def printed_error(row: Row) -> float:
    """Printed error of a row in percent, from the catalogue."""
    return float(find_card(row.net).figures[row.figure].printed.rstrip("%"))


def summarize(outcomes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Summarize the runs of each row and protocol over their seeds, in the order of the table."""
    rows = []
    for row in ROWS:
        for protocol in PROTOCOLS:
            runs = [run for run in outcomes if (run["row"], run["protocol"]) == (row.key, protocol)]
            if runs:
                rows.append(_summarize_seeds(row, protocol, sorted(runs, key=lambda run: int(run["seed"]))))
    return rows


def _summarize_seeds(row: Row, protocol: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    errors = [run["error"] for run in runs]
    return {
        "row": row.key,
        "protocol": protocol,
        "net": row.net,
        "printed": printed_error(row),
        "mean": statistics.fmean(errors),
        "deviation": statistics.stdev(errors) if len(errors) > 1 else 0.0,
        "errors": errors,
        "recipe": {name: value for name, value in runs[0]["recipe"].items() if name != "seed"},
        "genes": runs[0]["genes"],
        "seconds": [round(run["seconds"], 1) for run in runs],
        "sha256": [run["sha256"] for run in runs],
        "why": row.why,
    } | ({"curve": [run["curve"] for run in runs]} if "curve" in runs[0] else {})
