"""The runs of the review's error table: every row in two readings and several seeds, each of which can be resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convatlas.base.errors import TrainingError, unknown
from convatlas.nets.build import build
from convatlas.studies.mnist_errors.boosting import HARD, boosted
from convatlas.studies.mnist_errors.rows import READINGS, ROWS, Row
from convatlas.training.checkpoints import write
from convatlas.training.data.datasets import parts
from convatlas.training.loop import fit
from convatlas.weights.formats import native

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
        hard, anew = QUICK_HARD if task.quick else HARD, task.reading == "modern"
        whole, points = boosted(data, recipe, genes, folder, hard, anew)
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
        native.write(weights, native.describe(whole), folder / "weights.safetensors")
    else:
        result = fit(first, data, recipe, folder, resume=True, device="cpu")
        assert result.test_top1 is not None
        error = round(100 - result.test_top1, 6)
        outcome = {"error": error, "seconds": result.seconds, "sha256": [result.sha256]}
    write(done, (json.dumps(asked | outcome) + "\n").encode())
    return asked | outcome
