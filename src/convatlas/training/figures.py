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
    return [_saved(path, figure) for path, figure in drawn.items()]


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


def error_table(rows: Sequence[dict[str, Any]]) -> Figure:
    """Printed errors beside ours of both readings, on a logarithmic scale; each seed is a dot."""
    keys = list(dict.fromkeys(row["row"] for row in rows))
    figure = Figure((8, 0.45 * len(keys) + 1.4), layout="constrained")
    axes = figure.subplots()
    for place, key in enumerate(keys):
        same = [row for row in rows if row["row"] == key]
        axes.plot(same[0]["printed"], place, "k|", markersize=16, label="printed" if place == 0 else None)
        for row in same:
            published = row["reading"] == "published"
            colour, shift = ("tab:blue", -0.12) if published else ("tab:orange", 0.12)
            name = "as published" if published else "modern"
            many = [place + shift] * len(row["errors"])
            axes.plot(row["errors"], many, ".", color=colour, label=name if place == 0 else None)
    axes.set_xscale("log")
    ticks = [0.5, 1, 2, 4, 8, 16]
    axes.set_xticks(ticks, [f"{tick:g} %" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(keys)), [key.replace("-error", "").replace("_", " ") for key in keys])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set(xlabel="error on MNIST's test digits")
    axes.legend()
    return figure


def boosting(curves: Sequence[Sequence[dict[str, Any]]]) -> Figure:
    """The boosted net's error, and its time beside that of all three nets, by the share of digits that go on."""
    figure = Figure((6.4, 4), layout="constrained")
    axes = figure.subplots()
    beside = axes.twinx()
    for number, points in enumerate(curves):
        shares = [100 * point["share"] for point in points]
        axes.plot(shares, [point["error"] for point in points], "o-", color="tab:blue", alpha=1 - 0.25 * number)
        times = [100 * point["seconds"] / points[-1]["seconds"] for point in points]
        beside.plot(shares, times, ".--", color="tab:orange", alpha=1 - 0.25 * number)
    axes.set(xlabel="digits that nets 2 and 3 see, in percent", ylabel="error in percent (line)", ylim=(0, None))
    beside.set(ylabel="time, in percent of that of three nets (dashes)", ylim=(0, None))
    return figure


def draw_errors(folder: Path, rows: Sequence[dict[str, Any]]) -> list[Path]:
    """Writes errors.png and, if the boosted net is among the rows, its curves; gives their paths.

    Raises:
        TrainingError: They cannot be written.
    """
    drawn = {folder / "errors.png": error_table(rows)}
    for row in rows:
        if "curve" in row:
            drawn[folder / f"boosted-{row['reading']}.png"] = boosting(row["curve"])
    return [_saved(path, figure) for path, figure in drawn.items()]


def _saved(path: Path, figure: Figure) -> Path:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    write(path, data.getvalue())
    return path
