"""Table of the study: average precision of each detector on the test canvases."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convatlas.base.tables import Column, Table
from convatlas.catalogue.cards import find_card
from convatlas.studies.detectors.runs import NETS
from convatlas.studies.study import StudyResult


@dataclass(frozen=True)
class DetectorTable(StudyResult):
    """Mean average precision at IoU 0.5 on the test canvases, in percent.

    A row is a detector: mean and deviation over the seeds, the figure of each seed, the mean of each digit, the
    validation by epoch of each seed, number of parameters, recipe, canvases, seconds and hashes of weights.
    """

    def table(self) -> Table:
        """Table with a line for each detector."""
        columns = (
            Column("name", "net"),
            Column("parameters", "parameters", lambda value: f"{value:,}"),
            Column("map", "mAP at IoU 0.5, %"),
            Column("worst", "hardest digit, %"),
            Column("minutes", "minutes", lambda value: f"{value:.0f}"),
        )
        lines = []
        for row in self.rows:
            spread = f" ± {row['deviation']:.2f}" if len(row["map50"]) > 1 else ""
            known = [(value, digit) for digit, value in enumerate(row["precisions"]) if value is not None]
            lowest, digit = min(known, default=(0.0, 0))
            lines.append(
                {
                    "name": find_card(row["net"]).published_name,
                    "parameters": row["parameters"],
                    "map": f"{row['mean']:.2f}{spread}",
                    "worst": f"{digit}: {lowest:.2f}",
                    "minutes": statistics.fmean(row["seconds"]) / 60,
                }
            )
        tests = self.rows[0]["canvases"][2] if self.rows else 0
        seeds = f"mean and standard deviation of {self.seeds} seeds" if self.seeds > 1 else "one seed"
        return Table(columns, lines, title=f"digits on {tests:,} test canvases, {seeds}{', quick' * self.quick}")


def summarize(outcomes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Summarize the runs of each detector over their seeds."""
    rows = []
    for net in NETS:
        runs = sorted((run for run in outcomes if run["net"] == net), key=lambda run: int(run["seed"]))
        if not runs:
            continue
        values = [run["map50"] for run in runs]
        by_digit = [
            [run["precisions"][digit] for run in runs if run["precisions"][digit] is not None]
            for digit in range(len(runs[0]["precisions"]))
        ]
        rows.append(
            {
                "net": net,
                "mean": statistics.fmean(values),
                "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
                "map50": values,
                "precisions": [statistics.fmean(digit) if digit else None for digit in by_digit],
                "validation": [run["validation"] for run in runs],
                "parameters": runs[0]["parameters"],
                "canvases": runs[0]["canvases"],
                "recipe": {name: value for name, value in runs[0]["recipe"].items() if name != "seed"},
                "seconds": [round(run["seconds"], 1) for run in runs],
                "sha256": [run["sha256"] for run in runs],
            }
        )
    return rows
