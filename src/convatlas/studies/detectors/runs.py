"""List and execute the runs of the study: each detector with several seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.base.errors import TrainingError, unknown
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError, read_json, to_type
from convatlas.nets.build import build
from convatlas.nets.families.yolo import YOLO
from convatlas.studies.detectors.canvases import SIDE, make_canvases
from convatlas.training.detectors.splits import prepare_splits
from convatlas.training.loop import fit
from convatlas.training.recipe import Recipe
from convatlas.training.run_folder import read_lines, write_file

NETS = ("yolo_v2_tiny", "yolo_v3_tiny")

CANVASES = 6000, 500, 1000
"""Training, validation and test canvases."""

QUICK_CANVASES = 600, 100, 100

RECIPE = Recipe(
    epochs=10,
    batch_size=16,
    lr=1e-3,
    warmup_epochs=0.5,
    clip_grad=10.0,
    scale=0.8,
    amp="bfloat16",
    checkpoint_steps=100,
)


@dataclass(frozen=True)
class Task:
    """A run of the study.

    Attributes:
        net: Name of the detector.
        seed: Seed of its weights and its training.
        quick: Whether to train on a tenth of the canvases.
    """

    net: str
    seed: int
    quick: bool

    @property
    def canvases(self) -> tuple[int, int, int]:
        """Number of training, validation and test canvases."""
        return QUICK_CANVASES if self.quick else CANVASES

    @property
    def recipe(self) -> Recipe:
        """Recipe of the training."""
        return Recipe.from_dict(RECIPE.to_dict() | {"seed": self.seed})

    def folder(self, output: Path) -> Path:
        """Folder of the run below `output`."""
        return output / f"{self.net}-{self.seed}{'-quick' if self.quick else ''}"


def list_tasks(quick: bool, seeds: int, rows: Sequence[str]) -> list[Task]:
    """List all runs.

    Raises:
        UnknownName: There is no such row.
    """
    for row in rows:
        if row not in NETS:
            raise unknown("row of the study of detectors", row, NETS)
    return [Task(net, seed, quick) for seed in range(seeds) for net in NETS if not rows or net in rows]


def run(task: Task, output: Path) -> dict[str, Any]:
    """Run or resume a task and write its outcome to its folder; read the outcome if the task is finished.

    Raises:
        ConvAtlasError: It cannot run, or its folder holds a run of another recipe.
    """
    folder = task.folder(output)
    path = folder / "detector.json"
    settings = {
        "net": task.net,
        "seed": task.seed,
        "canvases": list(task.canvases),
        "recipe": task.recipe.to_dict(),
    }
    if path.exists():
        stored = _stored(path)
        if {name: stored.get(name) for name in settings} != settings:
            raise TrainingError(f"{folder} holds a run of another recipe; move it away")
        return stored
    net = build(task.net, classes=10, size=SIDE, seed=task.seed)
    assert isinstance(net, YOLO)
    data = prepare_splits(make_canvases(*task.canvases), "digit canvases", net, task.recipe, net.size)
    trained = fit(net, data, task.recipe, folder, resume=True, device="cpu")
    lines = read_lines(folder / "metrics.jsonl")
    outcome = {
        "map50": trained.test_map50,
        "precisions": [None if value is None else 100 * value for value in trained.precisions],
        "validation": [line.get("validation_map50") for line in lines],
        "parameters": sum(weight.numel() for weight in net.parameters()),
        "seconds": trained.seconds,
        "sha256": trained.sha256,
    }
    write_file(path, (json.dumps(settings | outcome) + "\n").encode())
    return settings | outcome


def _stored(path: Path) -> dict[str, Any]:
    """Read the outcome of a finished run; raise a TrainingError if the file is damaged."""
    try:
        outcome = to_type(dict[str, Any], read_json(path))
        for name, kind in (("map50", float), ("seconds", float), ("parameters", int), ("sha256", str)):
            to_type(kind, outcome.get(name))
        to_type(tuple[float | None, ...], outcome.get("precisions"))
        to_type(tuple[float, ...], outcome.get("validation"))
        return outcome
    except (OSError, SchemaError) as error:
        raise TrainingError(f"{path} is damaged: it {reason(error)}; delete it, and the run is repeated") from None
