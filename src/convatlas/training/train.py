"""Train a net on a data set, both given by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.base.errors import TrainingError
from convatlas.base.verbs import Steps, verb
from convatlas.catalogue.cards import find_card
from convatlas.images.boxed.read import read_boxed
from convatlas.nets.build import Size, build
from convatlas.nets.families.yolo import YOLO
from convatlas.nets.net import Net
from convatlas.nets.user_net import import_member, is_user_net, load_user_net
from convatlas.training.data.digits import is_digits
from convatlas.training.data.splits import class_names, load_splits
from convatlas.training.detectors.splits import load_boxed_splits
from convatlas.training.distributed import is_main_process
from convatlas.training.loop import fit
from convatlas.training.plots import draw
from convatlas.training.recipe import Recipe
from convatlas.training.result import TrainingResult
from convatlas.weights.load import load
from convatlas.weights.user_weights import copied, lineage_of, load_named
from convatlas.weights.weights_file import weights_file


@verb
def train(
    net: str,
    data: str | Path,
    *,
    recipe: Recipe | Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    weights: str | None = None,
    convention: str | None = None,
    genes: Mapping[str, object] | None = None,
    size: Size | None = None,
    resume: bool = False,
    device: str = "auto",
    workers: int = 0,
    tensorboard: bool = False,
) -> Steps[TrainingResult]:
    """Train a net on a data set; write weights, metrics, charts and checkpoints to the folder of the run.

    Args:
        net: Name of a net, or `package.module:callable` for your own; the weights name it, and
            `load(net, weights=...)` makes it again.
        data: "mnist", "fashion_mnist", a folder with a folder for each class (or with a folder for each split), or a
            CSV file of path, label and split. For a detector photos with boxes: a JSON file in COCO's format, a folder
            with one for each split, or a folder with `images` and `labels`, as YOLO has them.
        recipe: A `Recipe`, or its settings by name, with defaults for all others.
        output: Folder of the run; by default "runs/NET-DATA".
        weights: Pretrained weights to start from, as in `load`; by default random ones. For a net of your own a file.
        convention: For a foreign file of weights, the lineage whose conventions it follows, as in `load`.
        genes: Genes to change, as in `build`.
        size: Size of the photos, as in `build`.
        resume: Whether to resume the run in the folder; a finished one only for more epochs, whose learning rates are
            those of the longer schedule.
        device: "auto", "cpu", "cuda" or "mps".
        workers: Processes that read photos ahead; 0 to read in this one.
        tensorboard: Whether to write TensorBoard's file too.

    Raises:
        ConvAtlasError: The training cannot start or continue; the message says why, and which checkpoint is kept.
    """
    settings = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe or {})
    if type(workers) is not int or workers < 0:
        raise TrainingError(f"workers is a whole number from 0 up; got {workers!r}")
    module, input_size = build_net(
        net, data, weights=weights_file(weights, convention), genes=genes, size=size, seed=settings.seed
    )
    folder = output_folder(net, data, output)
    load = load_boxed_splits if isinstance(module, YOLO) else load_splits
    splits = load(data, module, settings, input_size, workers)  # type: ignore[arg-type]
    for done, total, result in fit.steps(
        module, splits, settings, folder, resume=resume, name=net, device=device, tensorboard=tensorboard
    ):
        if result is not None and is_main_process():
            draw(folder, result)
        yield done, total, result


def output_folder(net: str, data: str | Path, output: str | Path | None) -> Path:
    """Folder of a run: `output`, or by default "runs/NET-DATA"."""
    return Path(output) if output is not None else Path("runs") / f"{Path(net).name}-{Path(data).stem}"


def build_net(
    net: str,
    data: str | Path,
    *,
    weights: str | None = None,
    genes: Mapping[str, object] | None = None,
    size: Size | None = None,
    seed: int = 0,
) -> tuple[nn.Module, tuple[int, int]]:
    """Build or load a net with one output for each class of the data; also return the (height, width) of its input.

    Raises:
        ConvAtlasError: There is no such net, data set or weights, or a net of your own comes without a size.
    """
    if is_user_net(net):
        return _own_net(net, weights=weights, genes=genes, size=size, seed=seed)
    names = read_boxed(data).classes if find_card(net).family == "yolo" else class_names(data)
    channels = 1 if is_digits(str(data)) else None
    module: Net
    if weights is not None:
        module = load(net, weights=weights, classes=len(names), channels=channels, genes=genes, size=size, seed=seed)
    else:
        module = build(net, classes=len(names), channels=channels, genes=genes, size=size, seed=seed)
    return module.train(), module.size


def _own_net(
    net: str, *, weights: str | None, genes: Mapping[str, object] | None, size: Size | None, seed: int
) -> tuple[nn.Module, tuple[int, int]]:
    """Build a net of the user; its size is by default the one that its weights were trained for."""
    if genes:
        raise TrainingError("genes can be changed in nets of the atlas only, not in your own net")
    # Imported before the seed is set, since what a module makes on import may draw random numbers, but only once.
    member = import_member(net)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = load_user_net(net) if weights is None else load_named(net, str(weights))
    if module is member:
        module = copied(module, net)
    lineage = lineage_of(module)
    if size is None:
        if lineage is None:
            raise TrainingError("your own net does not define the size of its input: set size")
        size = lineage.preprocessing.size
    return module.train(), (size, size) if isinstance(size, int) else size
