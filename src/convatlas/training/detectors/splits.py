"""Prepare photos with boxes, split by split, for one detector."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path

from convatlas.base.errors import TrainingError
from convatlas.base.extras import require
from convatlas.images.boxed.photo import BoxedSplits
from convatlas.images.boxed.read import read_boxed
from convatlas.images.darknet import DarknetPreprocessing
from convatlas.images.decoding import Source, read
from convatlas.nets.families.yolo import YOLO
from convatlas.training.data.splits import Splits, held_out
from convatlas.training.detectors.dataset import BoxDataset
from convatlas.training.recipe import Recipe

UNUSED = ("smoothing", "class_weights", "mixup", "cutmix", "aa", "distort", "shift", "deslant")
"""Settings for photos of one class."""


def load_boxed_splits(data: str | Path, net: YOLO, recipe: Recipe, size: tuple[int, int], workers: int = 0) -> Splits:
    """Load the splits of a data set that `images.boxed.read.read_boxed` takes; the other arguments are those below.

    Raises:
        ConvAtlasError: There is no such data set, the recipe is for photos of one class, or pycocotools is missing.
    """
    return prepare_splits(read_boxed(data), Path(data).stem, net, recipe, size, workers)


def prepare_splits(
    boxed: BoxedSplits, name: str, net: YOLO, recipe: Recipe, size: tuple[int, int], workers: int = 0
) -> Splits:
    """Prepare photos with boxes for a detector and a recipe.

    Args:
        boxed: The photos.
        name: Name of the data set.
        net: The detector.
        recipe: Settings of the hold-out and of the augmentation.
        size: (height, width) of the net's input.
        workers: Processes that read photos ahead.

    Raises:
        ConvAtlasError: The recipe is for photos of one class, or pycocotools is missing.
    """
    require("pycocotools", "detectors")
    defaults = {field.name: field.default for field in fields(Recipe)}
    if surplus := [setting for setting in UNUSED if getattr(recipe, setting) != defaults[setting]]:
        raise TrainingError(f"{surplus[0]} is for photos of one class; those with boxes have scale and hflip")
    # Version 1 takes photos stretched to its input, the others letterboxed ones.
    kind = net.lineage.preprocessing.kind if net.lineage else "stretch" if net.config.cell_boxes else "letterbox"
    preprocessing = DarknetPreprocessing(size, kind)
    splits = {split: BoxDataset(photos, preprocessing, recipe, workers) for split, photos in boxed.photos.items()}
    train, validation = held_out(splits["train"], splits.get("validation"), recipe)
    return Splits(name, train, validation, splits.get("test"), boxed.classes, preprocessing, _fingerprint(boxed))


def _fingerprint(boxed: BoxedSplits) -> str:
    """Hash of classes, boxes, and the photos' paths or pixels."""
    digest = hashlib.sha256(repr(boxed.classes).encode())
    for split, photos in boxed.photos.items():
        for photo in photos:
            digest.update(repr((split, _identity(photo.source))).encode() + photo.boxes.tobytes())
    return digest.hexdigest()


def _identity(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else hashlib.sha256(read(source).tobytes()).hexdigest()
