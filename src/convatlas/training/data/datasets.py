"""What a net is trained on: the parts of a data set, as the net wants to see them."""

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
from convatlas.training.data.affine import upright
from convatlas.training.data.files import Photos
from convatlas.training.data.in_memory import Examples, InMemory, check_labels
from convatlas.training.recipe import Recipe
from convatlas.training.seeding import split

INK, PAPER = 1.175, -0.1
"""The pixels' levels for nets whose units answer 1 and -1 (LeCun et al. 1998, section II-B)."""


@dataclass(frozen=True)
class Parts:
    """A data set for one net.

    Attributes:
        name: "mnist", or the folder's or file's.
        train: To learn from.
        validation: To choose the best epoch by; None if there is none.
        test: To measure once what came out; None if there is none.
        classes: Their names, in the order of the net's outputs.
        preprocessing: From a photo to the net's input.
        fingerprint: Of the photos' names or contents, and labels.
    """

    name: str
    train: Examples
    validation: Examples | None
    test: Examples | None
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    fingerprint: str


def is_digits(data: str) -> bool:
    """Whether `data` is a set of digits by its name, in memory and grey."""
    return data in DATA_SETS


def class_names(data: str | Path) -> tuple[str, ...]:
    """Names of the classes of a data set, sorted as the net will put them out.

    Raises:
        ConvAtlasError: There is no such data set.
    """
    if is_digits(str(data)):
        return DATA_SETS[str(data)].classes
    return _names(read_splits(data)["train"])


def parts(data: str | Path, net: nn.Module, recipe: Recipe, size: tuple[int, int], workers: int = 0) -> Parts:
    """The parts of a data set, prepared for a net and a recipe.

    Args:
        data: "mnist", "fashion_mnist", or what `images.photosets.read_splits` takes.
        net: Whose preprocessing counts, if its weights bring one.
        recipe: Says what is held out, and how photos are augmented.
        size: (height, width) of the net's input.
        workers: Processes that read photos ahead.

    Raises:
        ConvAtlasError: There is no such data set, its labels are not the net's, or the recipe is for another kind.
    """
    grey = is_digits(str(data))
    name = str(data) if grey else Path(data).stem
    brought = getattr(net, "lineage", None)
    if (recipe.distort or recipe.deslant) and (not grey or _as_photos(recipe)):
        raise TrainingError(
            f"distort and deslant are for {' and '.join(DATA_SETS)}, without aa, hflip and scale, which are for photos"
        )
    if grey:
        preprocessing = brought.preprocessing if brought else for_digits(net, size)
        whole, classes, fingerprint = _digits(name, preprocessing, recipe)
    else:
        preprocessing = brought.preprocessing if brought else Preprocessing(size, resize=round(min(size) / 0.875))
        channels = getattr(net, "channels", 3)
        preprocessing = replace(preprocessing.for_channels(channels), size=size)
        if preprocessing.channels != channels:
            raise TrainingError(f"the net takes {channels} channels, which no photo has")
        found = read_splits(data)
        classes = _names(found["train"])
        whole = {part: _photos(rows, classes, preprocessing, recipe, workers) for part, rows in found.items()}
        listed = sorted((part, str(row.path), row.label) for part, rows in found.items() for row in rows)
        fingerprint = hashlib.sha256(repr(listed).encode()).hexdigest()
    train, validation = whole["train"], whole.get("validation")
    if len(classes) < 2:
        raise TrainingError(f"{data} has one class, {classes[0]!r}: there is nothing to tell apart")
    check_labels(train.labels, len(classes), "training")
    if validation is None and recipe.val_split:
        kept, held = split(recipe.seed, count := len(train.labels), recipe.val_split)
        if not len(kept) or not len(held):
            raise TrainingError(f"val_split={recipe.val_split:g} holds out {len(held)} of {count} photos")
        train, validation = train.part(kept), train.part(held)
    return Parts(name, train, validation, whole.get("test"), classes, preprocessing, fingerprint)


def for_digits(net: nn.Module, size: tuple[int, int]) -> Preprocessing:
    """How a net that no weights bring a preprocessing for sees digits of 28 x 28 pixels.

    The nets of the time want paper -0.1 and ink 1.175, and LeNet-1 smaller digits (16 x 16 amid 28 x 28 pixels);
    capsule nets 0 to 1; others mean 0 and variance 1. Up to four pixels of paper are laid around each, for larger nets
    photos are enlarged.
    """
    card = net.card if isinstance(net, Net) else None
    mean, std = 0.1307, 0.3081
    if card is not None and card.output_kind in ("squashed", "negative distances", "logits") and card.year < 2000:
        mean, std = -PAPER / (INK - PAPER), 1 / (INK - PAPER)
    elif card is not None and card.output_kind.startswith("capsule"):
        mean, std = 0.0, 1.0
    small = card is not None and card.name == "lenet1"
    side = 22 if small else 28 if min(size) <= 36 else min(size)
    return Preprocessing(size, "resize_crop", side, "bilinear", 255.0, (mean,), (std,))


def _digits(
    name: str, preprocessing: Preprocessing, recipe: Recipe
) -> tuple[dict[str, Examples], tuple[str, ...], str]:
    found = digits(name)
    halves = {"train": (found.train, found.train_labels), "test": (found.test, found.test_labels)}
    whole: dict[str, Examples] = {}
    for part, (photos, labels) in halves.items():
        numbers = torch.from_numpy(labels.astype(np.int64))
        if _as_photos(recipe):
            colour = [np.repeat(photo[:, :, None], 3, 2) for photo in photos]
            whole[part] = Photos(colour, numbers, preprocessing, recipe, 0)
        else:
            x = prepared(photos, preprocessing)
            paper = -preprocessing.mean[0] / preprocessing.std[0]
            if recipe.deslant:
                x = torch.cat([upright(rows - paper) + paper for rows in torch.split(x, 1000)])
            whole[part] = InMemory(x, numbers, recipe, paper)
    return whole, found.classes, name


def _as_photos(recipe: Recipe) -> bool:
    """Whether digits are augmented one by one, as photos in files are."""
    return bool(recipe.aa or recipe.hflip or recipe.scale < 1)


def prepared(photos: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """All photos (N, H, W) as `preprocessing` prepares each, (N, 1, h, w), float32."""
    height, width = photos.shape[1:]
    tall, wide = preprocessing.size
    if preprocessing.resize != min(height, width) or min(tall - height, wide - width) < 0:
        seen = (preprocessing.pixels(np.repeat(photo[:, :, None], 3, 2))[:, :, 0] for photo in photos)
        photos = np.stack(list(seen))
    else:
        top, left = (tall - height + 1) // 2, (wide - width + 1) // 2
        photos = np.pad(photos, ((0, 0), (top, tall - height - top), (left, wide - width - left)))
    scale, mean, std = (
        np.float32(value) for value in (preprocessing.scale, preprocessing.mean[0], preprocessing.std[0])
    )
    return torch.from_numpy((photos.astype(np.float32) / scale - mean) / std)[:, None]


def _names(rows: list[Labelled]) -> tuple[str, ...]:
    return tuple(sorted({row.label for row in rows}))


def _photos(
    rows: list[Labelled], classes: tuple[str, ...], preprocessing: Preprocessing, recipe: Recipe, workers: int
) -> Photos:
    numbers = {name: number for number, name in enumerate(classes)}
    labels = torch.tensor([numbers[row.label] for row in rows])
    return Photos([row.path for row in rows], labels, preprocessing, recipe, workers)
