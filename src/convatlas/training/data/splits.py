"""Load the splits of a data set, preprocessed for one net."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from convatlas.base.errors import TrainingError, printable
from convatlas.base.store.progress import notify
from convatlas.base.terminal.arguments import argument
from convatlas.images.darknet import DarknetPreprocessing
from convatlas.images.digits import DATA_SETS
from convatlas.images.labelled import LabelledPhoto
from convatlas.images.preprocessing import Preprocessing
from convatlas.images.splits import left_out, read_splits
from convatlas.training.data.dataset import TrainingData, check_labels
from convatlas.training.data.digits import POLARITY, augments_photos, digit_preprocessing, is_digits, load_digits
from convatlas.training.data.files import FileDataset
from convatlas.training.recipe import Recipe
from convatlas.training.seeding import holdout
from convatlas.weights.user_weights import UserLineage, lineage_of


@dataclass(frozen=True)
class Splits:
    """A data set, preprocessed for one net.

    Attributes:
        name: "mnist", "fashion_mnist", or the name of the folder or file.
        train: Photos to train on.
        validation: Photos to choose the best epoch on; None if the data set has none.
        test: Photos to test the final net on, once; None if the data set has none.
        classes: Class names, in the order of the net's outputs.
        preprocessing: Preprocessing of the photos.
        fingerprint: Identity of the data: "mnist", or a hash of the photos' paths and labels.
    """

    name: str
    train: TrainingData
    validation: TrainingData | None
    test: TrainingData | None
    classes: tuple[str, ...]
    preprocessing: Preprocessing | DarknetPreprocessing
    fingerprint: str


def class_names(data: str | Path) -> tuple[str, ...]:
    """Class names of a data set, in the order of the net's outputs.

    Raises:
        ConvAtlasError: There is no such data set.
    """
    if is_digits(str(data)):
        return DATA_SETS[str(data)].classes
    return _class_names(read_splits(data)["train"])


def load_splits(data: str | Path, net: nn.Module, recipe: Recipe, size: tuple[int, int], workers: int = 0) -> Splits:
    """Load the splits of a data set, preprocessed for a net and a recipe.

    Args:
        data: "mnist", "fashion_mnist", or what `images.splits.read_splits` takes.
        net: The net; with a lineage, the preprocessing of its weights is used.
        recipe: Settings of the hold-out and of the augmentation.
        size: (height, width) of the net's input.
        workers: Processes that read photos ahead.

    Raises:
        ConvAtlasError: There is no such data set, it does not fit the net, or the recipe is for another kind of data.
    """
    grey = is_digits(str(data))
    name = str(data) if grey else Path(data).stem
    lineage = lineage_of(net)
    if (recipe.distort or recipe.shift or recipe.deslant) and (not grey or augments_photos(recipe)):
        digits = " and ".join(DATA_SETS)
        raise TrainingError(
            f"distort, shift and deslant are for {digits}, without aa, hflip and scale, which are for photos"
        )
    if grey:
        preprocessing = lineage.preprocessing if lineage else digit_preprocessing(net, size)
        if not isinstance(preprocessing, Preprocessing) or preprocessing.channels != 1:
            raise TrainingError(f"{name} is grey, and these weights take photos in colour: train without weights")
        if lineage:
            preprocessing = replace(preprocessing, polarity=POLARITY)
        splits = load_digits(name, preprocessing, recipe)
        classes, fingerprint = class_names(name), name
    else:
        preprocessing = lineage.preprocessing if lineage else Preprocessing(size, resize=round(min(size) / 0.875))
        channels = lineage.preprocessing.channels if isinstance(lineage, UserLineage) else getattr(net, "channels", 3)
        preprocessing = replace(preprocessing.for_channels(channels), size=size)
        if preprocessing.channels != channels:
            raise TrainingError(f"the net takes {channels} channels; photos have 1 or 3")
        listing = read_splits(data)
        if folders := left_out(data):
            names = ", ".join(printable(folder.name) for folder in folders)
            notify(f"left out, as no split has such a name: {names} in {printable(data)}")
        classes = _class_names(listing["train"])
        splits = {
            split: _file_dataset(rows, classes, preprocessing, recipe, workers) for split, rows in listing.items()
        }
        entries = sorted((split, str(row.path), row.label) for split, rows in listing.items() for row in rows)
        fingerprint = hashlib.sha256(repr(entries).encode()).hexdigest()
    if len(classes) < 2:
        raise TrainingError(f"{data} has only one class, {classes[0]!r}; training needs two or more")
    check_labels(splits["train"].labels, len(classes), "training")
    train, validation = held_out(splits["train"], splits.get("validation"), recipe)
    return Splits(name, train, validation, splits.get("test"), classes, preprocessing, fingerprint)


def held_out(
    train: TrainingData, validation: TrainingData | None, recipe: Recipe
) -> tuple[TrainingData, TrainingData | None]:
    """Photos to train on and to validate on; if there are none of these, some are held out as the recipe says.

    Raises:
        TrainingError: None would be held out, or all.
    """
    if validation is not None or not recipe.val_split:
        return train, validation
    kept, held = holdout(recipe.seed, count := len(train), recipe.val_split)
    if not len(kept) or not len(held):
        raise TrainingError(f"{argument('val_split', recipe.val_split)} holds out {len(held)} of {count} photos")
    return train.subset(kept), train.subset(held)


def _class_names(rows: list[LabelledPhoto]) -> tuple[str, ...]:
    return tuple(sorted({row.label for row in rows}))


def _file_dataset(
    rows: list[LabelledPhoto],
    classes: tuple[str, ...],
    preprocessing: Preprocessing | DarknetPreprocessing,
    recipe: Recipe,
    workers: int,
) -> FileDataset:
    indices = {name: index for index, name in enumerate(classes)}
    labels = torch.tensor([indices[row.label] for row in rows])
    return FileDataset([row.path for row in rows], labels, preprocessing, recipe, workers)
