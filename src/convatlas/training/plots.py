"""Draw the charts of a training: loss and error curves, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convatlas.pictures.axes import categories, linear
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Cells, Curve, Mark, Rule
from convatlas.pictures.palette import SERIES
from convatlas.training.result import TrainingResult
from convatlas.training.run_folder import read_lines, write_file

MAX_NAMES = 25
"""Largest number of classes with which a confusion matrix shows names and counts."""

LARGEST = 1e30
"""Metrics above it are not drawn."""


def draw(folder: Path, result: TrainingResult) -> list[Path]:
    """Write curves.png and, if there is a confusion matrix, confusion.png to a run's folder; return their paths.

    Raises:
        TrainingError: They cannot be written.
    """
    charts = {folder / "curves.png": curves(_whole(read_lines(folder / "metrics.jsonl")), result)}
    if result.confusion is not None:
        charts[folder / "confusion.png"] = confusion(result.confusion, result.classes)
    return [save_chart(path, chart) for path, chart in charts.items()]


def _whole(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines up to the first one that does not hold the finite metrics of the next epoch."""
    whole: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        numbers = all(type(value) in (int, float) and abs(value) < LARGEST for value in line.values())
        validated = {"validation_loss", "validation_top1", "validation_map50"} & line.keys()
        if not numbers or line.get("epoch") != number or "loss" not in line or len(validated) == 1:
            break
        whole.append(line)
    return whole


def curves(lines: Sequence[dict[str, Any]], result: TrainingResult) -> Chart:
    """Return curves of the loss and, with a validation split, of the validation error or precision, by epoch."""
    epochs = [line["epoch"] for line in lines]
    losses: list[Mark] = [Curve(epochs, [line["loss"] for line in lines], SERIES[0], "loss, training")]
    panels: list[Panel] = []
    if all("validation_loss" in line for line in lines):
        losses.append(Curve(epochs, [line["validation_loss"] for line in lines], SERIES[3], "loss, validation"))
    if all("validation_top1" in line for line in lines):
        errors = Curve(epochs, [100 - line["validation_top1"] for line in lines], SERIES[1], "error, validation")
        panels.append(_by_epoch(epochs, [errors], "error in percent", result.epoch))
    elif all("validation_map50" in line for line in lines):
        precisions = Curve(epochs, [line["validation_map50"] for line in lines], SERIES[1], "mAP, validation")
        panels.append(_by_epoch(epochs, [precisions], "mAP at IoU 0.5 in percent", result.epoch))
    chosen = result.epoch if panels else None
    return Chart([_by_epoch(epochs, losses, "loss", chosen), *panels], f"{result.net} on {result.data}")


def _by_epoch(epochs: Sequence[int], curves: Sequence[Mark], label: str, chosen: int | None) -> Panel:
    values = [value for curve in curves if isinstance(curve, Curve) for value in curve.y]
    axis = linear(values, label, zero=True)
    rule = [Rule(chosen, axis.low, axis.high, label="chosen epoch")] if chosen is not None else []
    return Panel(linear(epochs, "epoch", whole=True, margin=0.02), axis, [*rule, *curves])


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Chart:
    """Return a heat map with a row for each class and a column for each prediction, with counts if there is room."""
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    if len(classes) <= MAX_NAMES:
        texts = [[str(count) if count else "" for count in row] for row in counts]
        x, y = categories(classes, "prediction"), categories(classes, "class", downward=True)
    else:
        texts, numbers, end = [], range(len(classes)), len(classes) - 0.5
        x = replace(linear(numbers, "prediction", margin=0), low=-0.5, high=end, grid=False)
        y = replace(linear(numbers, "class", margin=0), low=end, high=-0.5, grid=False)
    side = max(240.0, min(720.0, 36.0 * len(classes)))
    return Chart([Panel(x, y, [Cells(shares, texts)], width=side, height=side)], "Confusion of classes")


def save_chart(path: Path, chart: Chart) -> Path:
    """Write a chart as PNG and return its path.

    Raises:
        TrainingError: It cannot be written.
    """
    write_file(path, chart.picture().png())
    return path
