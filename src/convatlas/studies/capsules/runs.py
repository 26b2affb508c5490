"""List and execute the runs of the study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from convatlas.base.errors import TrainingError, unknown
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError, read_json, to_type
from convatlas.images.download import digits
from convatlas.images.preprocessing import Preprocessing
from convatlas.studies.capsules.nets import PAIRS
from convatlas.studies.capsules.pairs import load_pairs
from convatlas.studies.capsules.pictures import capsnet_of, reconstruction_error, write_pictures
from convatlas.studies.capsules.rows import ROWS, Row
from convatlas.training.data.digits import POLARITY, preprocess_digits
from convatlas.training.data.in_memory import InMemoryDataset
from convatlas.training.data.splits import Splits, class_names
from convatlas.training.loop import fit
from convatlas.training.recipe import Recipe
from convatlas.training.run_folder import write_file

TEST_PAIRS = 10_000


@dataclass(frozen=True)
class Task:
    """A run of the study.

    Attributes:
        key: Key of the row.
        seed: Seed of the training.
        quick: Whether to train for one epoch on few photos.
    """

    key: str
    seed: int
    quick: bool

    @property
    def row(self) -> Row:
        """The row of the table."""
        return next(row for row in ROWS if row.key == self.key)

    def folder(self, output: Path) -> Path:
        """Folder of the run below `output`."""
        return output / f"{self.key}-{self.seed}{'-quick' if self.quick else ''}"


def list_tasks(quick: bool, seeds: int, rows: Sequence[str]) -> list[Task]:
    """List all runs, in the order of the rows.

    Raises:
        UnknownName: There is no such row.
    """
    keys = [row.key for row in ROWS]
    for key in rows:
        if key not in keys:
            raise unknown("row of the study", key, keys)
    return [
        Task(row.key, seed, quick)
        for row in ROWS
        if not rows or row.key in rows
        for seed in range(min(seeds, row.seeds))
    ]


def load_data(row: Row, recipe: Recipe, photos: int) -> Splits:
    """Load a row's photos in 0..1, with the first `photos` of the training digits, or as many pairs of all of them."""
    source = digits("mnist")
    if row.pairs:
        return load_pairs(source, photos, min(photos, TEST_PAIRS), recipe.seed)
    preprocessing = Preprocessing((28, 28), "resize_crop", 28, "bilinear", 255.0, (0.0,), (1.0,), polarity=POLARITY)
    splits = [
        InMemoryDataset(preprocess_digits(x, preprocessing), torch.from_numpy(labels.astype("int64")), recipe)
        for x, labels in (
            (source.train[:photos], source.train_labels[:photos]),
            (source.test, source.test_labels),
        )
    ]
    name = "mnist" if photos == len(source.train) else f"mnist, the first {photos}"
    return Splits("mnist", splits[0], None, splits[1], class_names("mnist"), preprocessing, name)


def unnamed_digits(confusion: Sequence[Sequence[int]]) -> float:
    """Percent of the digits in pairs that the net does not name, from the confusion matrix of `PAIRS`."""
    missed = sum(
        count * len({*PAIRS[true]} - {*PAIRS[named]})
        for true, row in enumerate(confusion)
        for named, count in enumerate(row)
    )
    return 100 * missed / (2 * sum(map(sum, confusion)))


def _stored(path: Path) -> dict[str, Any]:
    """Read the outcome of a finished run; raise a TrainingError if the file is damaged."""
    try:
        outcome = to_type(dict[str, Any], read_json(path))
        for name in ("error", "seconds"):
            to_type(float, outcome.get(name))
        to_type(str, outcome.get("sha256"))
        return outcome
    except (OSError, SchemaError) as error:
        raise TrainingError(f"{path} is damaged: it {reason(error)}; delete it, and the run is repeated") from None


def run(task: Task, output: Path) -> dict[str, Any]:
    """Run or resume a task and write its outcome to its folder; read the outcome if the task is finished.

    Raises:
        ConvAtlasError: It cannot run, or its folder holds a run of another recipe.
    """
    folder, row = task.folder(output), task.row
    path = folder / "error.json"
    recipe, photos = row.settings(task.seed, task.quick)
    settings = {"row": row.key, "seed": task.seed, "photos": photos, "recipe": recipe.to_dict()}
    if path.exists():
        stored = _stored(path)
        if {name: stored.get(name) for name in settings} != settings:
            raise TrainingError(f"{folder} holds a run of another recipe; move it away")
        return stored
    net, data = row.make(task.seed), load_data(row, recipe, photos)
    trained = fit(net, data, recipe, folder, resume=True, name=row.key, device="cpu")
    assert trained.test_top1 is not None
    assert trained.confusion is not None
    write_pictures(net, data, folder)
    outcome = settings | {
        "error": round(100 - trained.test_top1, 6),
        "digits": unnamed_digits(trained.confusion) if row.pairs else None,
        "reconstruction": reconstruction_error(net, data) if capsnet_of(net) is not None else None,
        "parameters": sum(weight.numel() for weight in net.parameters()),
        "seconds": trained.seconds,
        "sha256": trained.sha256,
    }
    write_file(path, (json.dumps(outcome) + "\n").encode())
    return outcome
