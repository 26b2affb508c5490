"""The splits of a data set, preprocessed for one net."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.base.errors import TrainingError
from convatlas.images.digits import DATA_SETS
from convatlas.images.download import digits
from convatlas.images.labelled import Labelled
from convatlas.images.photosets import read_splits
from convatlas.images.preprocessing import Preprocessing
from convatlas.nets.net import Net
from convatlas.training.data.affine import deslant
from convatlas.training.data.files import FileDataset
from convatlas.training.data.in_memory import ImageDataset, InMemoryDataset, check_labels
from convatlas.training.recipe import Recipe
from convatlas.training.seeding import holdout

FOREGROUND, BACKGROUND = 1.175, -0.1
"""Levels of ink and paper for nets whose outputs are 1 and -1 (LeCun et al. 1998, section II-B)."""


@dataclass(frozen=True)
class Splits:
    """A data set, preprocessed for one net.

    Attributes:
        name: "mnist", "fashion_mnist", or the name of the folder or file.
        train: Photos to train on.
        validation: Photos that choose the best epoch; None if the data set has none.
        test: Photos to test the final net on, once; None if the data set has none.
        classes: Class names, in the order of the net's outputs.
        preprocessing: From a photo to the net's input.
        fingerprint: Identity of the data: "mnist", or a hash of the photos' paths and labels.
    """

    name: str
    train: ImageDataset
    validation: ImageDataset | None
    test: ImageDataset | None
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    fingerprint: str


def is_digits(data: str) -> bool:
    """Whether `data` names one of the digit sets, which are grey and kept in memory."""
    return data in DATA_SETS


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
        data: "mnist", "fashion_mnist", or what `images.photosets.read_splits` takes.
        net: The net; the preprocessing is that of its weights, if they have one.
        recipe: Recipe that says what is held out, and how photos are augmented.
        size: (height, width) of the net's input.
        workers: Processes that read photos ahead.

    Raises:
        ConvAtlasError: There is no such data set, it does not fit the net, or the recipe is for another kind of data.
    """
    grey = is_digits(str(data))
    name = str(data) if grey else Path(data).stem
    lineage = getattr(net, "lineage", None)
    if (recipe.distort or recipe.deslant) and (not grey or _augments_photos(recipe)):
        raise TrainingError(
            f"distort and deslant are for {' and '.join(DATA_SETS)}, without aa, hflip and scale, which are for photos"
        )
    if grey:
        preprocessing = lineage.preprocessing if lineage else digit_preprocessing(net, size)
        splits, classes, fingerprint = _load_digits(name, preprocessing, recipe)
    else:
        preprocessing = lineage.preprocessing if lineage else Preprocessing(size, resize=round(min(size) / 0.875))
        channels = getattr(net, "channels", 3)
        preprocessing = replace(preprocessing.for_channels(channels), size=size)
        if preprocessing.channels != channels:
            raise TrainingError(f"the net takes {channels} channels, which no photo has")
        listing = read_splits(data)
        classes = _class_names(listing["train"])
        splits = {
            split: _file_dataset(rows, classes, preprocessing, recipe, workers) for split, rows in listing.items()
        }
        rows = sorted((split, str(row.path), row.label) for split, rows in listing.items() for row in rows)
        fingerprint = hashlib.sha256(repr(rows).encode()).hexdigest()
    train, validation = splits["train"], splits.get("validation")
    if len(classes) < 2:
        raise TrainingError(f"{data} has one class, {classes[0]!r}: there is nothing to tell apart")
    check_labels(train.labels, len(classes), "training")
    if validation is None and recipe.val_split:
        kept, held = holdout(recipe.seed, count := len(train.labels), recipe.val_split)
        if not len(kept) or not len(held):
            raise TrainingError(f"val_split={recipe.val_split:g} holds out {len(held)} of {count} photos")
        train, validation = train.subset(kept), train.subset(held)
    return Splits(name, train, validation, splits.get("test"), classes, preprocessing, fingerprint)


def digit_preprocessing(net: nn.Module, size: tuple[int, int]) -> Preprocessing:
    """Preprocessing of digits of 28 x 28 pixels for a net whose weights have none.

    Nets from before 2000 take background -0.1 and foreground 1.175, and LeNet-1 smaller digits (16 x 16 amid 28 x 28
    pixels); capsule nets take 0 to 1; all others mean 0 and variance 1. Photos are padded by up to four pixels of
    background on each side; for nets with larger inputs they are enlarged.
    """
    card = net.card if isinstance(net, Net) else None
    mean, std = 0.1307, 0.3081
    if card is not None and card.output_kind in ("squashed", "negative distances", "logits") and card.year < 2000:
        mean, std = -BACKGROUND / (FOREGROUND - BACKGROUND), 1 / (FOREGROUND - BACKGROUND)
    elif card is not None and card.output_kind.startswith("capsule"):
        mean, std = 0.0, 1.0
    small = card is not None and card.name == "lenet1"
    side = 22 if small else 28 if min(size) <= 36 else min(size)
    return Preprocessing(size, "resize_crop", side, "bilinear", 255.0, (mean,), (std,))


def _load_digits(
    name: str, preprocessing: Preprocessing, recipe: Recipe
) -> tuple[dict[str, ImageDataset], tuple[str, ...], str]:
    source = digits(name)
    arrays = {"train": (source.train, source.train_labels), "test": (source.test, source.test_labels)}
    splits: dict[str, ImageDataset] = {}
    for split, (photos, labels) in arrays.items():
        indices = torch.from_numpy(labels.astype(np.int64))
        if _augments_photos(recipe):
            colour = [np.repeat(photo[:, :, None], 3, 2) for photo in photos]
            splits[split] = FileDataset(colour, indices, preprocessing, recipe, 0)
        else:
            x = preprocess_digits(photos, preprocessing)
            background = -preprocessing.mean[0] / preprocessing.std[0]
            if recipe.deslant:
                x = torch.cat([deslant(chunk - background) + background for chunk in torch.split(x, 1000)])
            splits[split] = InMemoryDataset(x, indices, recipe, background)
    return splits, source.classes, name


def _augments_photos(recipe: Recipe) -> bool:
    """Whether the recipe augments photos one by one, as those in files are."""
    return bool(recipe.aa or recipe.hflip or recipe.scale < 1)


def preprocess_digits(photos: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """Preprocess all digits (N, H, W) at once, to the same values as one by one; (N, 1, h, w), float32."""
    height, width = photos.shape[1:]
    rows, columns = preprocessing.size
    if preprocessing.resize != min(height, width) or min(rows - height, columns - width) < 0:
        resized = (preprocessing.pixels(np.repeat(photo[:, :, None], 3, 2))[:, :, 0] for photo in photos)
        photos = np.stack(list(resized))
    else:
        y, x = (rows - height + 1) // 2, (columns - width + 1) // 2
        photos = np.pad(photos, ((0, 0), (y, rows - height - y), (x, columns - width - x)))
    scale, mean, std = (
        np.float32(value) for value in (preprocessing.scale, preprocessing.mean[0], preprocessing.std[0])
    )
    return torch.from_numpy((photos.astype(np.float32) / scale - mean) / std)[:, None]


def _class_names(rows: list[Labelled]) -> tuple[str, ...]:
    return tuple(sorted({row.label for row in rows}))


def _file_dataset(
    rows: list[Labelled], classes: tuple[str, ...], preprocessing: Preprocessing, recipe: Recipe, workers: int
) -> FileDataset:
    indices = {name: index for index, name in enumerate(classes)}
    labels = torch.tensor([indices[row.label] for row in rows])
    return FileDataset([row.path for row in rows], labels, preprocessing, recipe, workers)
