"""Pictures of a training: its curves, and which classes were taken for which."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from convatlas.training.checkpoints import read_lines, write
from convatlas.training.result import Training


def draw(folder: Path, result: Training) -> list[Path]:
    """Writes curves.png and, if anything was tested, confusion.png beside a run's result; gives their paths.

    Raises:
        TrainingError: They cannot be written.
    """
    drawn = {folder / "curves.png": curves(read_lines(folder / "metrics.jsonl"), result)}
    if result.confusion is not None:
        drawn[folder / "confusion.png"] = confusion(result.confusion, result.classes)
    return [saved(path, figure) for path, figure in drawn.items()]


def curves(lines: Sequence[dict[str, Any]], result: Training) -> Figure:
    """The loss of each epoch, and the error on what was held out."""
    figure = Figure((6.4, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [line["epoch"] for line in lines]
    axes.plot(epochs, [line["loss"] for line in lines], color="tab:blue", label="loss, training")
    axes.set(xlabel="epoch", ylabel="loss", title=f"{result.net} on {result.data}", ylim=(0, None))
    if all("validation_top1" in line for line in lines):
        axes.plot(epochs, [line["validation_loss"] for line in lines], color="tab:cyan", label="loss, validation")
        beside = axes.twinx()
        errors = [100 - line["validation_top1"] for line in lines]
        beside.plot(epochs, errors, color="tab:orange", label="error, validation")
        beside.set(ylabel="error in percent", ylim=(0, None))
        axes.axvline(result.epoch, color="grey", linestyle=":", label="chosen")
        axes.plot([], [], color="tab:orange", label="error, validation")
    axes.legend()
    return figure


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Rows are classes, columns what they were taken for; the numbers are written in where there is room."""
    many = len(classes)
    side = max(4.0, min(12.0, 0.5 * many + 1.5))
    figure = Figure((side, side), layout="constrained")
    axes = figure.subplots()
    totals = [max(sum(row), 1) for row in counts]
    shares = [[count / total for count in row] for row, total in zip(counts, totals, strict=True)]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="taken for", ylabel="class")
    if many <= 25:
        axes.set_xticks(range(many), classes, rotation=45, ha="right")
        axes.set_yticks(range(many), classes)
        for i, row in enumerate(counts):
            for j, count in enumerate(row):
                if count:
                    axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i][j] > 0.5 else "k")
    return figure


def saved(path: Path, figure: Figure) -> Path:
    """Writes a figure as PNG; gives its path.

    Raises:
        TrainingError: It cannot be written.
    """
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    write(path, data.getvalue())
    return path
