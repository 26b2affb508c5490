"""The runs of the study: both ancestors with several seeds, and LeNet-1 to compare with."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.base.errors import TrainingError, unknown
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError, read_json, to_type
from convatlas.images.download import digits
from convatlas.images.preprocessing import Preprocessing
from convatlas.nets.build import build
from convatlas.nets.families.cognitron import Cognitron
from convatlas.nets.families.neocognitron import Neocognitron
from convatlas.pictures.pixels import png
from convatlas.studies.ancestors.changes import CHANGES
from convatlas.studies.ancestors.planes import favourites, learned_weights
from convatlas.studies.ancestors.readout import ReadOut
from convatlas.studies.mosaic import mosaic
from convatlas.training.data.digits import preprocess_digits
from convatlas.training.run_folder import write_file
from convatlas.weights.load import load
from convatlas.weights.user_weights import lineage_of

LEARNED, ROUNDS = 200, 3
"""Number of digits that a net learns from without labels, and of rounds."""

LABELLED, TESTED = 1000, 1000
"""Number of digits that the read-out is fitted to, and tested with."""

NETS = ("neocognitron", "cognitron", "lenet1")
TRAINED = "lenet1"
"""The net with trained weights, which needs no read-out."""


@dataclass(frozen=True)
class Task:
    """A run: a net, a seed, and whether a tenth of the digits is enough."""

    net: str
    seed: int
    quick: bool

    def folder(self, output: Path) -> Path:
        """Folder of the run below `output`."""
        return output / f"{self.net}-{self.seed}{'-quick' if self.quick else ''}"


def list_tasks(quick: bool, seeds: int, rows: Sequence[str]) -> list[Task]:
    """List all runs; LeNet-1, which has trained weights, has one.

    Raises:
        UnknownName: There is no such row.
    """
    for name in rows:
        if name not in NETS:
            raise unknown("row of the study", name, NETS)
    chosen = [net for net in NETS if not rows or net in rows]
    return [Task(net, seed, quick) for net in chosen for seed in range(1 if net == TRAINED else seeds)]


def photos_for(net: nn.Module, photos: NDArray[np.uint8]) -> Tensor:
    """Photos (N, 28, 28) as a net's input (N, 1, H, W): ink 1 for the ancestors, as its weights need for LeNet-1."""
    if isinstance(net, Cognitron | Neocognitron):
        height, _ = net.size
        return preprocess_digits(photos, Preprocessing(net.size, "squash", height, "bilinear", 255.0, (0.0,), (1.0,)))
    lineage = lineage_of(net)
    assert lineage is not None
    assert isinstance(lineage.preprocessing, Preprocessing)
    return preprocess_digits(photos, lineage.preprocessing)


@torch.no_grad()
def features(net: nn.Module, x: Tensor) -> Tensor:
    """Outputs of a net (N, F) for many photos."""
    return torch.cat([net(photos) for photos in x.split(200)])  # type: ignore[no-untyped-call]


def shuffled(net: nn.Module, seed: int) -> nn.Module:
    """Copy of a net whose learned weights are, within each cell or plane, in a random order."""
    net, generator = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.ndim > 1:
                order = torch.rand(weight.flatten(1).shape, generator=generator).argsort(1)
                weight.copy_(weight.flatten(1).gather(1, order).reshape(weight.shape))
    return net


def _stored(path: Path) -> dict[str, Any]:
    """Read the outcome of a finished run; raise a TrainingError if the file is damaged."""
    try:
        outcome = to_type(dict[str, Any], read_json(path))
        for accuracies in to_type(dict[str, Any], outcome.get("accuracy")).values():
            to_type(dict[str, float], accuracies)
        return outcome
    except (OSError, SchemaError) as error:
        raise TrainingError(f"{path} is damaged: it {reason(error)}; delete it, and the run is repeated") from None


def run(task: Task, output: Path) -> dict[str, Any]:
    """Run a task and write its outcome and pictures to its folder; read the outcome if the task is finished.

    Raises:
        ConvAtlasError: It cannot run, or its folder holds a run with other settings.
    """
    path = task.folder(output) / "accuracy.json"
    parts = 10 if task.quick else 1
    settings = {
        "net": task.net,
        "seed": task.seed,
        "learned": LEARNED // parts,
        "rounds": ROUNDS,
        "labelled": LABELLED // parts,
        "tested": TESTED // parts,
    }
    if path.exists():
        stored = _stored(path)
        if {name: stored.get(name) for name in settings} != settings:
            raise TrainingError(f"{path.parent} holds a run with other settings; move it away")
        return stored
    path.parent.mkdir(parents=True, exist_ok=True)
    source = digits("mnist")
    order = np.random.default_rng(task.seed).permutation(len(source.train))
    tests = np.random.default_rng(task.seed).permutation(len(source.test))[: settings["tested"]]
    truth = torch.from_numpy(source.test_labels[tests].astype(np.int64))
    changed = {key: change(source.test[tests], task.seed) for key, change in CHANGES.items()}
    accuracy: dict[str, Mapping[str, float]] = {}
    if task.net == TRAINED:
        net: nn.Module = load(TRAINED)
        scores = {key: features(net, photos_for(net, photos)) for key, photos in changed.items()}
        accuracy["trained"] = {key: 100 * float((y.argmax(1) == truth).double().mean()) for key, y in scores.items()}
    else:
        labelled = order[: settings["labelled"]]
        labels = torch.from_numpy(source.train_labels[labelled].astype(np.int64))
        nets = _learn(task, source.train[order[: settings["learned"]]], path.parent)
        known = photos_for(nets["learned"], source.train[labelled])
        prepared = {key: photos_for(nets["learned"], photos) for key, photos in changed.items()}
        for name, net in nets.items():
            read_out = ReadOut(features(net, known), labels, 10)
            accuracy[name] = {key: read_out.accuracy(features(net, x), truth) for key, x in prepared.items()}
    outcome = settings | {"accuracy": accuracy}
    write_file(path, (json.dumps(outcome) + "\n").encode())
    return outcome


def _learn(task: Task, photos: NDArray[np.uint8], folder: Path) -> dict[str, nn.Module]:
    """Let a net learn without labels, and draw what it learned; return it with two controls."""
    untrained, net = (build(task.net, seed=task.seed).eval() for _ in range(2))
    assert isinstance(net, Cognitron | Neocognitron)
    x = photos_for(net, photos)
    net.learn(x, rounds=ROUNDS, seed=task.seed)
    shown = favourites(net, x) if isinstance(net, Neocognitron) else {"weights": learned_weights(net)}
    for name, rows in shown.items():
        write_file(folder / f"{name}.png", png(mosaic(rows, 6 if name == "s1" else 3)))
    return {"learned": net, "shuffled": shuffled(net, task.seed), "untrained": untrained}
