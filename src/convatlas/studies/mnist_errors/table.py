"""The review's error table: what is printed, what came of our runs, mean and spread."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from convatlas.base.errors import TrainingError
from convatlas.base.records import Provenance, Record
from convatlas.base.tables import Column, Table
from convatlas.catalogue.cards import find
from convatlas.studies.mnist_errors.rows import READINGS, ROWS, Row

NAMES = {"published": "as published", "modern": "modern"}
"""The readings, as people are told of them."""


@dataclass(frozen=True)
class Errors(Record):
    """The table.

    Attributes:
        rows: For each net and reading the printed error, the mean and standard deviation of ours, and those of each
            seed, in percent of MNIST's 10,000 test digits; with recipe, genes, seconds, and of the boosted net the
            curve of error against the share of digits that all three nets see.
        seeds: How many of each.
        quick: Whether a tenth of the training was enough.
        threads: Of each process.
    """

    rows: tuple[Mapping[str, Any], ...]
    seeds: int
    quick: bool
    threads: int

    def table(self) -> Table:
        """For people."""
        columns: tuple[Column, ...] = (
            Column("net", "net"),
            Column("data", "digits (as published)"),
            Column("printed", "printed %", _percent),
            Column("published", "as published %"),
            Column("modern", "modern %"),
        )
        if any(row.why for row in ROWS):
            columns += (Column("why", "why not"),)
        shown = []
        for row in ROWS:
            found = {one["reading"]: one for one in self.rows if one["row"] == row.key}
            if found:
                shown.append(
                    {"net": row.net, "data": row.data, "printed": printed(row), "why": row.why}
                    | {reading: _spread(one) for reading, one in found.items()}
                )
        many = f"mean and standard deviation of {self.seeds} seeds" if self.seeds > 1 else "one seed"
        return Table(
            columns,
            shown,
            title=f"errors on MNIST's 10,000 test digits, {many}{', quick' * self.quick}",
            notes=(f"modern learns from distorted digits in {', '.join(_distorted())}, from plain ones elsewhere",),
        )

    def boosting(self) -> Table:
        """What the boosted net, if it is there, gains by the digits that all three nets see; means of all seeds."""
        columns: tuple[Column, ...] = (
            Column("reading", "reading"),
            Column("share", "to nets 2 and 3, %", _tenth),
            Column("error", "error %", _percent),
            Column("cost", "nets a digit", _percent),
            Column("time", "time, % of three nets", lambda value: f"{value:.0f}"),
        )
        rows = [
            {"reading": NAMES[row["reading"]]} | point
            for row in self.rows
            for point in (mean_curve(row["curve"]) if "curve" in row else [])
        ]
        return Table(columns, rows, title="the boosted net: error against the share of digits that all three nets see")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The table that `reproduce` wrote.

        Raises:
            TrainingError: It cannot be read, or is something else.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            made, rows = Provenance(**data.pop("made")), tuple(data.pop("rows"))
            return cls(made=made, rows=rows, **data)
        except (OSError, ValueError, KeyError, TypeError):
            raise TrainingError(f"{path} is no table of errors that `convatlas reproduce errors` wrote") from None


def mean_curve(curves: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """The points of all seeds together: share and time in percent, error in percent, cost in nets a digit."""
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


def _distorted() -> list[str]:
    return [row.net for row in ROWS if row.modern.distort]


def _percent(value: float) -> str:
    return f"{value:.2f}"


def _tenth(value: float) -> str:
    return f"{value:.1f}"


def _spread(row: Mapping[str, Any]) -> str:
    return f"{row['mean']:.2f} ± {row['deviation']:.2f}" if len(row["errors"]) > 1 else f"{row['mean']:.2f}"


def printed(row: Row) -> float:
    """The error that is printed of a row, in percent: data of the catalogue."""
    return float(find(row.net).figures[row.figure].printed.rstrip("%"))


def summed(found: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The seeds of each row and reading together, in the order of the table."""
    for row in ROWS:
        for reading in READINGS:
            same = [one for one in found if (one["row"], one["reading"]) == (row.key, reading)]
            if not same:
                continue
            same.sort(key=lambda one: int(one["seed"]))
            measured = [one["error"] for one in same]
            yield {
                "row": row.key,
                "reading": reading,
                "net": row.net,
                "printed": printed(row),
                "mean": statistics.fmean(measured),
                "deviation": statistics.stdev(measured) if len(measured) > 1 else 0.0,
                "errors": measured,
                "recipe": {name: value for name, value in same[0]["recipe"].items() if name != "seed"},
                "genes": same[0]["genes"],
                "seconds": [round(one["seconds"], 1) for one in same],
                "sha256": [one["sha256"] for one in same],
                "why": row.why,
            } | ({"curve": [one["curve"] for one in same]} if "curve" in same[0] else {})
