"""What a run is, and what is written when it is done: weights that `load` reads, and the result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.base.fingerprint import fingerprint
from convatlas.nets.net import Net
from convatlas.training import checkpoints
from convatlas.training.data.datasets import Parts
from convatlas.training.metrics import Score
from convatlas.training.recipe import Recipe
from convatlas.training.result import Training
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import write_safetensors
from convatlas.weights.lineage import Lineage


def identity(net: nn.Module, data: Parts, recipe: Recipe) -> dict[str, Any]:
    """What tells one run from another: net, data, every setting, and the weights it starts with. Plain values."""
    if isinstance(net, Net):
        described = dataclasses.asdict(native.describe(net))
        described.pop("lineage")
        name = json.dumps(described, default=str)
    else:
        name = type(net).__qualname__
    return {
        "net": name,
        "data": f"{data.name} {data.fingerprint}",
        **recipe.to_dict(),
        "start": fingerprint(net.state_dict()),
    }


@dataclass(frozen=True)
class Outcome:
    """The figures of a run that is done; see `Training`."""

    epochs: int
    epoch: int
    steps: int
    seconds: float
    held: Score | None
    test: Score | None


def finished(
    net: nn.Module,
    data: Parts,
    recipe: Recipe,
    outcome: Outcome,
    lines: Sequence[dict[str, Any]],
    sha256: str,
    folder: Path,
) -> Training:
    """The result; a net of the atlas is given its lineage."""
    shown = outcome.test or outcome.held
    result = Training(
        net=net.card.name if isinstance(net, Net) else type(net).__name__,
        data=data.name,
        recipe=recipe.to_dict(),
        epochs=outcome.epochs,
        epoch=outcome.epoch,
        steps=outcome.steps,
        seconds=outcome.seconds,
        loss=lines[outcome.epoch - 1]["loss"],
        validation_top1=outcome.held.top1 if outcome.held else None,
        test_top1=outcome.test.top1 if outcome.test else None,
        confusion=shown.confusion if shown else None,
        classes=data.classes,
        sha256=sha256,
        weights=str(folder / "weights.safetensors"),
    )
    if isinstance(net, Net):
        upright = ", its digits set upright first" if recipe.deslant else ""
        net.lineage = Lineage(
            name=f"own/{data.name}",
            net=net.card.name,
            source=f"trained here on {data.name}{upright}, {result.epochs} epochs, seed {recipe.seed}",
            licence="",
            hash=fingerprint(net.state_dict()),
            preprocessing=data.preprocessing,
            class_names=data.classes,
            top1=f"{shown.top1:.2f}" if shown else "",
        )
    return result


def write_result(net: nn.Module, result: Training, folder: Path) -> None:
    """Writes weights and result, in this order: where there is a result, there are weights.

    Raises:
        TrainingError: They cannot be written.
    """
    weights = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in net.state_dict().items()
    }
    path = folder / "weights.safetensors"
    try:
        if isinstance(net, Net):
            native.write(weights, native.describe(net), path)
        else:
            write_safetensors(weights, {}, path)
    except OSError as error:
        raise checkpoints.unwritable(path, error) from None
    checkpoints.write(folder / "result.json", (result.to_json() + "\n").encode())


def restore(net: nn.Module, folder: Path) -> None:
    """Puts the weights that `write_result` wrote into the net they are of.

    Raises:
        WeightsError: The file is damaged.
    """
    weights, described = native.read(folder / "weights.safetensors")
    net.load_state_dict(weights)
    net.eval()
    if isinstance(net, Net) and described is not None:
        net.lineage = described.lineage
