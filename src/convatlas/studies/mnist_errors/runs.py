"""List and execute the runs of the error table: each row by two protocols with several seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convatlas.base.errors import TrainingError, unknown
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError, read_json, to_type
from convatlas.nets.build import build
from convatlas.studies.mnist_errors.boosting import HARD_PHOTOS, OperatingPoint, train_boosted
from convatlas.studies.mnist_errors.rows import PROTOCOLS, ROWS, Row
from convatlas.training.data.splits import load_splits
from convatlas.training.loop import fit
from convatlas.training.result import TrainingResult
from convatlas.training.run_folder import write_file
from convatlas.weights.formats import native

QUICK_HARD_PHOTOS = 2000


@dataclass(frozen=True)
class Task:
    """A run of the error table.

    Attributes:
        key: Key of the row.
        protocol: "published" or "modern".
        seed: Seed of the training.
        quick: Whether to train for a tenth of the epochs.
    """

    key: str
    protocol: str
    seed: int
    quick: bool

    @property
    def row(self) -> Row:
        """The row of the table."""
        return next(row for row in ROWS if row.key == self.key)

    def folder(self, output: Path) -> Path:
        """Folder of the run below `output`."""
        return output / f"{self.key}-{self.protocol}-{self.seed}{'-quick' if self.quick else ''}"


def _stored(path: Path) -> dict[str, Any]:
    """Read the outcome of a finished run; raise a TrainingError if the file is damaged."""
    try:
        outcome = to_type(dict[str, Any], read_json(path))
        to_type(float, outcome.get("error"))
        to_type(float, outcome.get("seconds"))
        to_type(tuple[str, ...], outcome.get("sha256"))
        # The last point passes every digit on: its threshold is infinite.
        points = [{**point, "threshold": 0.0} for point in to_type(list[dict[str, Any]], outcome.get("curve", []))]
        to_type(tuple[OperatingPoint, ...], points)
        to_type(tuple[float, ...], outcome.get("nets", []))
        return outcome
    except (OSError, SchemaError) as error:
        raise TrainingError(f"{path} is damaged: it {reason(error)}; delete it, and the run is repeated") from None


def list_tasks(quick: bool, seeds: int, rows: Sequence[str]) -> list[Task]:
    """List all runs, the longest first, so that no long run remains alone at the end.

    Raises:
        UnknownName: There is no such row.
    """
    keys = [row.key for row in ROWS]
    for key in rows:
        if key not in keys:
            raise unknown("row of the error table", key, keys)
    order = [key for key in reversed(keys) if not rows or key in rows]
    return [Task(key, protocol, seed, quick) for key in order for protocol in PROTOCOLS for seed in range(seeds)]


def run(task: Task, output: Path) -> dict[str, Any]:
    """Run or resume a task and write its outcome to its folder; read the outcome if the task is finished.

    Raises:
        ConvAtlasError: It cannot run, or its folder holds a run of another recipe.
    """
    folder, row = task.folder(output), task.row
    path = folder / "error.json"
    recipe = row.recipe(task.protocol, task.seed, task.quick)
    genes = {**row.swapped_genes(task.protocol)}
    settings = {
        "row": row.key,
        "protocol": task.protocol,
        "seed": task.seed,
        "recipe": recipe.to_dict(),
        "genes": genes,
    }
    if path.exists():
        stored = _stored(path)
        if {name: stored.get(name) for name in settings} != settings:
            raise TrainingError(f"{folder} holds a run of another recipe; move it away")
        return stored
    is_boosted = row.net == "boosted_lenet4"
    net = build("lenet4" if is_boosted else row.net, channels=1, genes=genes, seed=task.seed)
    data = load_splits("mnist", net, recipe, net.size)
    if is_boosted:
        hard_photos = QUICK_HARD_PHOTOS if task.quick else HARD_PHOTOS
        boosted, curve = train_boosted(data, recipe, genes, folder, hard_photos, redistort=task.protocol == "modern")
        results = [TrainingResult.read(folder / f"net{number}" / "result.json") for number in (1, 2, 3)]
        outcome = {
            # With all three nets on every digit, as in the paper.
            "error": curve[-1].error,
            "nets": [100 - (result.test_top1 or 0.0) for result in results],
            "curve": [asdict(point) for point in curve],
            "seconds": sum(result.seconds for result in results),
            "sha256": [result.sha256 for result in results],
        }
        weights = {name: value.clone() for name, value in boosted.state_dict().items()}
        native.write(weights, native.describe(boosted), folder / "weights.safetensors")
    else:
        trained = fit(net, data, recipe, folder, resume=True, device="cpu")
        assert trained.test_top1 is not None
        error = round(100 - trained.test_top1, 6)
        outcome = {"error": error, "seconds": trained.seconds, "sha256": [trained.sha256]}
    write_file(path, (json.dumps(settings | outcome) + "\n").encode())
    return settings | outcome
