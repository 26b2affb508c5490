"""From names to a training: the net, its data, the folder of the run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.base.errors import TrainingError
from convatlas.base.verbs import Steps, verb
from convatlas.nets.build import Size, build
from convatlas.nets.net import Net
from convatlas.nets.user_net import is_own, own
from convatlas.training.data.datasets import class_names, is_digits, parts
from convatlas.training.distributed import is_first
from convatlas.training.loop import fit
from convatlas.training.plots import draw
from convatlas.training.recipe import Recipe
from convatlas.training.result import Training
from convatlas.weights.load import load


@verb
def train(
    net: str,
    data: str | Path,
    *,
    recipe: Recipe | Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    weights: str | None = None,
    genes: Mapping[str, object] | None = None,
    size: Size | None = None,
    resume: bool = False,
    device: str = "auto",
    workers: int = 0,
    tensorboard: bool = False,
) -> Steps[Training]:
    """Trains a net on a data set; weights, metrics and checkpoints are then in the folder of the run.

    Args:
        net: A net's name, or the user's own as `package.module:callable`.
        data: "mnist", "fashion_mnist", a folder of folders of classes (with a folder for each part, or not), or a CSV
            file of path, label and split.
        recipe: Settings by name; the defaults of `Recipe` for all others.
        output: The folder of the run; "runs/NET-DATA" if not said.
        weights: Pretrained ones to start from, as in `load`; random ones if not said.
        genes: As in `build`.
        size: Of the photos, as in `build`.
        resume: Go on where the folder's run was stopped.
        device: "auto", "cpu", "cuda" or "mps".
        workers: Processes that read photos from files ahead.
        tensorboard: Write for TensorBoard too.

    Raises:
        ConvAtlasError: The training cannot begin or go on; the text says why, and what is kept.
    """
    settings = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe or {})
    if type(workers) is not int or workers < 0:
        raise TrainingError(f"workers is a whole number from 0 up; got {workers!r}")
    made, sides = begun(net, data, weights=weights, genes=genes, size=size, seed=settings.seed)
    folder = folder_of(net, data, output)
    prepared = parts(data, made, settings, sides, workers)
    for step in fit.steps(made, prepared, settings, folder, resume=resume, device=device, tensorboard=tensorboard):
        if (found := step[2]) is not None and is_first():
            draw(folder, found)
        yield step


def folder_of(net: str, data: str | Path, output: str | Path | None) -> Path:
    """The folder of a run."""
    return Path(output) if output is not None else Path("runs") / f"{Path(net).name}-{Path(data).stem}"


def begun(
    net: str,
    data: str | Path,
    *,
    weights: str | None = None,
    genes: Mapping[str, object] | None = None,
    size: Size | None = None,
    seed: int = 0,
) -> tuple[nn.Module, tuple[int, int]]:
    """The net with one output for each class of the data, and (height, width) of its input."""
    sides = (size, size) if isinstance(size, int) else size
    if is_own(net):
        if sides is None:
            raise TrainingError("your own net does not say how large its photos are: say size")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return own(net), sides
    names = class_names(data)
    channels = 1 if is_digits(str(data)) else None
    made: Net
    if weights is not None:
        made = load(net, weights=weights, classes=len(names), channels=channels, genes=genes, size=size, seed=seed)
    else:
        made = build(net, classes=len(names), channels=channels, genes=genes, size=size, seed=seed)
    return made.train(), made.size


def read_config(path: str | Path) -> dict[str, Any]:
    """The settings in a TOML file.

    Raises:
        TrainingError: It cannot be read.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{path} cannot be read as settings ({error})") from None
