"""The table of the study: accuracy of the read-out on centred, shifted and noisy digits."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convatlas.base.tables import Column, Table
from convatlas.studies.ancestors.changes import CHANGES
from convatlas.studies.ancestors.runs import NETS
from convatlas.studies.study import StudyResult

WEIGHTS = {
    "learned": "learned without labels",
    "shuffled": "learned, then in random order",
    "untrained": "not yet learned",
    "trained": "trained with labels",
}
"""Kinds of weights, as tables and charts name them."""

SHOWN = ("shift 0", "shift 2", "shift 4", "noise 0.2", "noise 0.5")
"""Changes that the table shows."""


@dataclass(frozen=True)
class AncestorTable(StudyResult):
    """Accuracy on MNIST's test digits, in percent.

    A row is a net with one kind of weights: for each change of the digits the accuracies by seed and their mean.
    """

    def table(self) -> Table:
        """Table with a line for each net and kind of weights."""
        columns = (
            Column("net", "net"),
            Column("weights", "weights", lambda kind: WEIGHTS[kind]),
            *(Column(key, f"{key} %", lambda value: f"{value:.1f}") for key in SHOWN),
        )
        lines = [{**row} | {key: row["mean"][key] for key in SHOWN} for row in self.rows]
        title = f"read-out of unchanged, shifted (by pixels of 28) and noisy digits{', quick' * self.quick}"
        return Table(columns, lines, title=title)


def summarize(outcomes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Summarize the runs of each net and kind of weights over their seeds."""
    rows = []
    for net in NETS:
        runs = sorted((run for run in outcomes if run["net"] == net), key=lambda run: int(run["seed"]))
        for kind in runs[0]["accuracy"] if runs else ():
            accuracies = {key: [run["accuracy"][kind][key] for run in runs] for key in CHANGES}
            settings = {name: runs[0][name] for name in ("learned", "rounds", "labelled", "tested")}
            mean = {key: statistics.fmean(values) for key, values in accuracies.items()}
            rows.append({"net": net, "weights": kind, **settings, "accuracies": accuracies, "mean": mean})
    return rows
