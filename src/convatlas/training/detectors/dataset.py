"""Data sets of photos with boxes, read and augmented one by one; any number of workers gives the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from convatlas.base.errors import ImageError
from convatlas.images.boxed.photo import BoxedPhoto
from convatlas.images.darknet import DarknetPreprocessing
from convatlas.images.decoding import Pixels, read
from convatlas.training.data.files import read_batches
from convatlas.training.detectors.window import Boxes, draw_window
from convatlas.training.recipe import Recipe
from convatlas.training.seeding import Stream, generator

Item = tuple[Tensor, Tensor]
"""A prepared photo (C, h, w) and its boxes (n, 5): class, left, top, right, bottom in pixels of the input."""


class BoxDataset:
    """Photos with boxes.

    Args:
        photos: The photos.
        preprocessing: Preprocessing of the net.
        recipe: Recipe that says how photos are augmented in training: `scale` and `hflip`.
        workers: Processes that read ahead; 0 to read in this one.
    """

    def __init__(
        self, photos: Sequence[BoxedPhoto], preprocessing: DarknetPreprocessing, recipe: Recipe, workers: int = 0
    ):
        self.photos, self.preprocessing, self.recipe, self.workers = photos, preprocessing, recipe, workers

    def __len__(self) -> int:
        return len(self.photos)

    def train_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        return self._load(batches, _Items(self, epoch))

    def eval_batches(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        return self._load(batches, _Items(self, None))

    def subset(self, indices: Tensor) -> BoxDataset:
        photos = [self.photos[index] for index in indices.tolist()]
        return BoxDataset(photos, self.preprocessing, self.recipe, self.workers)

    def _load(self, batches: Sequence[Tensor], items: _Items) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in read_batches(items, batches, self.workers):
            yield torch.stack([x for x, _ in batch]), padded([boxes for _, boxes in batch])


def padded(boxes: Sequence[Tensor]) -> Tensor:
    """Stack the boxes (n, 5) of several photos (N, T, 5); those that lack to the largest number are of class -1."""
    together = torch.zeros(len(boxes), max(map(len, boxes), default=0), 5)
    together[..., 0] = -1
    for row, each in zip(together, boxes, strict=True):
        row[: len(each)] = each
    return together


class _Items(Dataset["Item | str"]):
    """Prepared photos with boxes by index; for an unreadable photo, the text of its error.

    Args:
        dataset: Photos and settings.
        epoch: Epoch whose augmentation to apply; None for no augmentation.
    """

    def __init__(self, dataset: BoxDataset, epoch: int | None):
        self.dataset, self.epoch = dataset, epoch

    def __getitem__(self, index: int) -> Item | str:
        photo = self.dataset.photos[index]
        try:
            pixels = read(photo.source)
            check_size(pixels, photo)
        except ImageError as error:
            return str(error)
        boxes, recipe = photo.boxes, self.dataset.recipe
        if self.epoch is not None and (recipe.scale < 1 or recipe.hflip):
            size = pixels.shape[0], pixels.shape[1]
            random = generator(Stream.PHOTO, recipe.seed, self.epoch, index)
            window = draw_window(size, recipe.scale, recipe.hflip, random)
            pixels, boxes = window.cut(pixels), window.move(boxes, size)
        return prepared(pixels, boxes, self.dataset.preprocessing)


def check_size(pixels: Pixels, photo: BoxedPhoto) -> None:
    """Refuse a photo that has another size than its boxes were drawn on.

    Raises:
        ImageError: It has.
    """
    height, width = pixels.shape[:2]
    if photo.size not in (None, (height, width)):
        assert photo.size is not None
        name = f"{str(photo.source)!r:.300}" if isinstance(photo.source, str | Path) else "the photo"
        raise ImageError(
            f"{name} has {width} x {height} pixels; its boxes were drawn on {photo.size[1]} x {photo.size[0]}"
        )


def prepared(pixels: Pixels, boxes: Boxes, preprocessing: DarknetPreprocessing) -> Item:
    """Preprocess a photo (H, W, 3), and map its boxes, shares of its sides, to pixels of the net's input."""
    height, width = pixels.shape[:2]
    corners = boxes[:, 1:] * np.array([width, height, width, height])
    moved = np.concatenate([boxes[:, :1], preprocessing.boxes_to_input(corners, height, width)], 1)
    return torch.from_numpy(preprocessing(pixels)), torch.from_numpy(moved.astype(np.float32))
