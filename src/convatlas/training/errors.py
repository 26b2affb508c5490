"""The review's error table, reproduced: every row in two readings and several seeds, each a run that can be resumed."""

from __future__ import annotations

import json
import multiprocessing
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from convatlas.base.errors import TrainingError, unknown
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table
from convatlas.catalogue.cards import find
from convatlas.images.bringing import digits
from convatlas.nets.building import build
from convatlas.training.boosting import HARD, boosted
from convatlas.training.checkpoints import write
from convatlas.training.data import parts
from convatlas.training.looping import fit
from convatlas.training.rows import READINGS, ROWS, SEEDS, Row
from convatlas.weights import own

QUICK_HARD = 2000


@dataclass(frozen=True)
class Task:
    """One run: a row by its key, a reading, a seed."""

    key: str
    reading: str
    seed: int
    quick: bool

    @property
    def row(self) -> Row:
        """The row it belongs to."""
        return next(row for row in ROWS if row.key == self.key)

    def folder(self, output: Path) -> Path:
        """Where it is run."""
        return output / f"{self.key}-{self.reading}-{self.seed}{'-quick' if self.quick else ''}"


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
        columns = (
            Column("net", "net"),
            Column("data", "digits"),
            Column("printed", "printed %", _percent),
            Column("published", "as published %"),
            Column("modern", "modern %"),
            Column("why", "why not"),
        )
        shown = []
        for row in ROWS:
            found = {one["reading"]: one for one in self.rows if one["row"] == row.key}
            if found:
                shown.append(
                    {"net": row.net, "data": row.data, "printed": printed(row), "why": row.why}
                    | {reading: _spread(one) for reading, one in found.items()}
                )
        title = f"errors on MNIST's 10,000 test digits, mean and standard deviation of {self.seeds} seeds"
        return Table(columns, shown, title=title + (", quick" if self.quick else ""))


def _percent(value: float) -> str:
    return f"{value:.2f}"


def _spread(row: Mapping[str, Any]) -> str:
    return f"{row['mean']:.2f} ± {row['deviation']:.2f}" if len(row["errors"]) > 1 else f"{row['mean']:.2f}"


def printed(row: Row) -> float:
    """The error that is printed of a row, in percent: data of the catalogue."""
    return float(find(row.net).figures[row.figure].printed.rstrip("%"))


def tasks(quick: bool, seeds: int, rows: Sequence[str]) -> list[Task]:
    """All runs, the longest first, so that no process is left with one at the end.

    Raises:
        UnknownName: No such row.
    """
    keys = [row.key for row in ROWS]
    for key in rows:
        if key not in keys:
            raise unknown("row of the error table", key, keys)
    order = [key for key in reversed(keys) if not rows or key in rows]
    return [Task(key, reading, seed, quick) for key in order for reading in READINGS for seed in range(seeds)]


def run(task: Task, output: Path) -> dict[str, Any]:
    """One run, taken up where it was stopped; what came of it is kept in its folder and read from there again.

    Raises:
        ConvAtlasError: It cannot be run.
    """
    folder = task.folder(output)
    row, done = task.row, folder / "error.json"
    recipe = row.recipe(task.reading, task.seed, task.quick)
    genes = {**row.swapped(task.reading)}
    asked = {"row": row.key, "reading": task.reading, "seed": task.seed, "recipe": recipe.to_dict(), "genes": genes}
    if done.exists():
        found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        if {name: found[name] for name in asked} != asked:
            raise TrainingError(f"{folder} holds a run of another recipe; take it away")
        return found
    first = build("lenet4" if row.net == "boosted_lenet4" else row.net, channels=1, genes=genes, seed=task.seed)
    data = parts("mnist", first, recipe, first.size)
    if row.net == "boosted_lenet4":
        whole, points = boosted(data, recipe, genes, folder, QUICK_HARD if task.quick else HARD)
        results = [json.loads((folder / f"net{number}" / "result.json").read_text()) for number in (1, 2, 3)]
        outcome = {
            # All three answers, as the paper's figure is.
            "error": points[-1].error,
            "nets": [100 - one["test_top1"] for one in results],
            "curve": [asdict(point) for point in points],
            "seconds": sum(one["seconds"] for one in results),
            "sha256": [one["sha256"] for one in results],
        }
        weights = {name: value.clone() for name, value in whole.state_dict().items()}
        own.write(weights, own.describe(whole), folder / "weights.safetensors")
    else:
        result = fit(first, data, recipe, folder, resume=True, device="cpu")
        assert result.test_top1 is not None
        error = round(100 - result.test_top1, 6)
        outcome = {"error": error, "seconds": result.seconds, "sha256": [result.sha256]}
    write(done, (json.dumps(asked | outcome) + "\n").encode())
    return asked | outcome


def errors(
    output: str | Path,
    *,
    quick: bool = False,
    seeds: int | None = None,
    rows: Sequence[str] = (),
    jobs: int = 2,
    threads: int = 1,
) -> Errors:
    """The error table, made anew; runs that were done before, or begun, are taken up.

    Args:
        output: The folder of all runs.
        quick: A tenth of the training and one seed: to see that all works.
        seeds: How many; 3, or 1 if quick.
        rows: Only these, by key ("lenet5-error"); all if not said.
        jobs: Runs at a time, each a process of its own.
        threads: Of each; with another number the last bits differ.

    Raises:
        ConvAtlasError: A run cannot be made; those that are done are kept.
    """
    *_, (_, _, found) = errors_runs(output, quick=quick, seeds=seeds, rows=rows, jobs=jobs, threads=threads)
    assert found is not None
    return found


def errors_runs(
    output: str | Path,
    *,
    quick: bool = False,
    seeds: int | None = None,
    rows: Sequence[str] = (),
    jobs: int = 2,
    threads: int = 1,
) -> Iterator[tuple[int, int, Errors | None]]:
    """As `errors`: (runs done, runs in all, None) after each, the table with the last one."""
    many = seeds or (1 if quick else SEEDS)
    todo, folder = tasks(quick, many, rows), Path(output)
    digits("mnist")  # once, before all processes want it
    found = []
    # A new Python for each: one that was forked would share the threads of this one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        running = [pool.submit(run, task, folder) for task in todo]
        try:
            for done in as_completed(running):
                try:
                    found.append(done.result())
                except BrokenProcessPool:
                    raise TrainingError("a run's process was killed; what is done is kept: start it again") from None
                if len(found) < len(todo):
                    yield len(found), len(todo), None
        finally:
            for one in running:
                one.cancel()
    table = Errors(rows=tuple(_summed(found)), seeds=many, quick=quick, threads=threads)
    write(folder / "errors.json", (json.dumps(table.to_dict(), indent=1) + "\n").encode())
    yield len(todo), len(todo), table


def _summed(found: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
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
