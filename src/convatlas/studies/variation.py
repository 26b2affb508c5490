"""The table of a net's variants: accuracy and costs of each, and which of them differ from what they vary."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convatlas.base.records import TableRecord
from convatlas.base.tables import Column, Table
from convatlas.studies.paired import LEVEL, difference, holm, interval
from convatlas.studies.trials import Outcome

TEST = (
    "differences are paired by seed and photo, both drawn at random: Dorfman, Berbaum & Metz 1992 as in Hillis, "
    "Berbaum & Metz 2008, p-values corrected by Holm 1979"
)
"""Name of the test, with its sources."""

ONE_SEED = (
    "differences of one seed are paired by photo (Student's t), p-values corrected by Holm 1979: they hold for these "
    "trained nets, and other seeds may give others"
)


@dataclass(frozen=True)
class Variant:
    """A variant of a net.

    Attributes:
        name: Name: "published", or the gene that differs, "pooling=max".
        genes: All genes that differ from the published ones.
        base: Name of the variant that it is compared with; empty for none.
        net: Name of the net, if it is another than that of all other variants.
    """

    name: str
    genes: Mapping[str, object]
    base: str = ""
    net: str = ""


@dataclass(frozen=True)
class Row:
    """A variant with its accuracy and costs, means over the seeds.

    Attributes:
        variant: Name of the variant.
        base: Name of the variant that it is compared with; empty for none.
        accuracies: Test accuracy with each seed, in percent.
        accuracy: Their mean.
        interval: The 95 % interval of this mean over seeds; None of one seed.
        training_accuracies: Accuracy on the training photos with each seed, in percent.
        losses: Mean training loss of each epoch.
        parameters: Number of parameters.
        macs: Multiply-accumulates for a photo.
        epoch_seconds: Time of an epoch in seconds.
        difference: Accuracy minus that of the base, in percentage points; None without a base.
        difference_interval: Its 95 % interval.
        p: Its p-value, corrected for the number of comparisons.
        real: Whether it is real at an error rate of 5 % over all comparisons.
    """

    variant: str
    base: str
    accuracies: tuple[float, ...]
    accuracy: float
    interval: tuple[float, float] | None
    training_accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    parameters: int
    macs: int
    epoch_seconds: float
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    p: float | None = None
    real: bool | None = None

    @property
    def training_accuracy(self) -> float:
        """Mean accuracy on the training photos, in percent."""
        return statistics.fmean(self.training_accuracies)


def summarize(variants: Sequence[Variant], outcomes: Sequence[Outcome]) -> tuple[Row, ...]:
    """Return a row for each variant; the p-values are corrected for the number of all variants with a base."""
    runs = {
        variant.name: sorted(
            (run for run in outcomes if run.settings["variant"] == variant.name), key=lambda run: run.seed
        )
        for variant in variants
    }
    bits = {name: np.stack([run.bits() for run in group]) for name, group in runs.items()}
    compared = [variant for variant in variants if variant.base]
    differences = {variant.name: difference(bits[variant.name], bits[variant.base]) for variant in compared}
    corrected = dict(zip(differences, holm([each.p for each in differences.values()]), strict=True))
    return tuple(
        Row(
            variant=variant.name,
            base=variant.base,
            accuracies=tuple(run.accuracy for run in runs[variant.name]),
            accuracy=statistics.fmean(run.accuracy for run in runs[variant.name]),
            interval=interval([run.accuracy for run in runs[variant.name]]),
            training_accuracies=tuple(run.training_accuracy for run in runs[variant.name]),
            losses=tuple(map(statistics.fmean, zip(*(run.losses for run in runs[variant.name]), strict=True))),
            parameters=runs[variant.name][0].parameters,
            macs=runs[variant.name][0].macs,
            epoch_seconds=statistics.fmean(run.seconds / len(run.losses) for run in runs[variant.name]),
            difference=differences[variant.name].mean if variant.base else None,
            difference_interval=(differences[variant.name].low, differences[variant.name].high)
            if variant.base
            else None,
            p=corrected[variant.name] if variant.base else None,
            real=corrected[variant.name] <= LEVEL if variant.base else None,
        )
        for variant in variants
    )


@dataclass(frozen=True)
class Variation(TableRecord):
    """Result of `vary`.

    Attributes:
        net: Name of the net.
        data: Name or path of the data set.
        photos: Number of training photos; None for all.
        seeds: Number of seeds.
        recipe: Settings of the training; its seed is the first.
        fixed: Genes that all variants have instead of the published ones.
        threads: Threads of each run.
        rows: The unchanged net, then each variant.
        test: Name of the test of differences, with its sources.
    """

    net: str
    data: str
    photos: int | None
    seeds: int
    recipe: Mapping[str, Any]
    fixed: Mapping[str, Any]
    threads: int
    rows: tuple[Row, ...]
    test: str = field(repr=False)

    def table(self) -> Table:
        """Return the table of all variants."""
        photos = "all training photos" if self.photos is None else f"{self.photos:,} training photos"
        title = (
            f"{self.net} on {self.data}, {photos}, {self.recipe['epochs']} epochs, {self.seeds} seed"
            f"{'s' * (self.seeds > 1)}"
        )
        return rows_table(self.rows, title, self.test)


def rows_table(rows: Sequence[Row], title: str, test: str) -> Table:
    """Return a table of rows; without different bases no base is named."""
    columns = [Column("variant", "variant")]
    if len({row.base for row in rows if row.base}) > 1:
        columns.append(Column("base", "compared with"))
    columns += [
        Column("accuracy", "accuracy %", _two_digits),
        Column("interval", "95 % interval", _range),
        Column("difference", "difference", _signed),
        Column("difference_interval", "95 % interval of it", _range),
        Column("p", "p, corrected", _p_value),
        Column("real", "real"),
        Column("training_accuracy", "accuracy in training %", _two_digits),
        Column("parameters", "parameters"),
        Column("macs", "MACs"),
        Column("epoch_seconds", "s per epoch", lambda value: f"{value:.1f}"),
    ]
    lines = [{column.key: getattr(row, column.key) for column in columns} for row in rows]
    return Table(columns, lines, title, (test,))


def _two_digits(value: float) -> str:
    return f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def _range(value: Sequence[float] | None) -> str:
    return "" if value is None else f"{value[0]:.2f} to {value[1]:.2f}"


def _p_value(value: float | None) -> str:
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
