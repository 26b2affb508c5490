"""Data sets of photos in files, read and augmented one by one; any number of workers gives the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from convatlas.base.errors import ImageError
from convatlas.images.darknet import DarknetPreprocessing
from convatlas.images.decoding import Pixels, Source, read
from convatlas.images.preprocessing import Preprocessing
from convatlas.training.recipe import Recipe
from convatlas.training.seeding import Stream, generator, seed_torch

Item = TypeVar("Item")


class FileDataset:
    """Photos of any size, in files or as arrays.

    Args:
        sources: Paths or arrays.
        labels: Class indices (count,).
        preprocessing: Preprocessing of the net.
        recipe: Recipe that says how photos are augmented in training.
        workers: Processes that read ahead; 0 to read in this one.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        labels: Tensor,
        preprocessing: Preprocessing | DarknetPreprocessing,
        recipe: Recipe,
        workers: int,
    ):
        self.sources, self.labels, self.workers = sources, labels.long(), workers
        self.preprocessing, self.recipe = preprocessing, recipe

    def __len__(self) -> int:
        return len(self.labels)

    def train_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        return self._load(batches, _Photos(self, epoch))

    def eval_batches(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        return self._load(batches, _Photos(self, None))

    def subset(self, indices: Tensor) -> FileDataset:
        sources = [self.sources[index] for index in indices.tolist()]
        return FileDataset(sources, self.labels[indices], self.preprocessing, self.recipe, self.workers)

    def _load(self, batches: Sequence[Tensor], photos: _Photos) -> Iterator[tuple[Tensor, Tensor]]:
        for indices, batch in zip(batches, read_batches(photos, batches, self.workers), strict=True):
            yield torch.stack(batch), self.labels[indices]


def read_batches(items: Dataset[Item | str], batches: Sequence[Tensor], workers: int) -> Iterator[list[Item]]:
    """Yield the items of each batch of indices, read ahead by `workers` processes.

    Raises:
        ImageError: An item is a text, the error of a photo that cannot be read.
    """
    loader: DataLoader[Item | str] = DataLoader(
        items,
        batch_sampler=[indices.tolist() for indices in batches],
        num_workers=workers,
        collate_fn=list,
        # The loader draws a seed for its workers, which must not change the state of the global generator.
        generator=torch.Generator(),
    )
    for batch in loader:
        # Errors are passed as text, since an exception from a worker carries its whole traceback.
        if errors := [item for item in batch if isinstance(item, str)]:
            raise ImageError(errors[0])
        yield batch


class _Photos(Dataset["Tensor | str"]):
    """Preprocessed photos by index; for an unreadable photo, the text of its error.

    Args:
        dataset: Sources and settings.
        epoch: Epoch whose augmentation to apply; None for no augmentation.
    """

    def __init__(self, dataset: FileDataset, epoch: int | None):
        self.dataset, self.epoch = dataset, epoch

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            photo = read(self.dataset.sources[index])
        except ImageError as error:
            return str(error)
        preprocessing = self.dataset.preprocessing
        if self.epoch is not None:
            photo = self._augment(photo, index, self.epoch)
            # Darknet's leaves a photo of the net's size as it is.
            if self.dataset.recipe.scale < 1 and isinstance(preprocessing, Preprocessing):
                # The crop has the net's size already: nothing is left to resize or cut off.
                preprocessing = replace(preprocessing, geometry="resize_crop", resize=min(preprocessing.size))
        return torch.from_numpy(preprocessing(photo))

    def _augment(self, photo: Pixels, index: int, epoch: int) -> Pixels:
        """Augment a photo for an epoch, (H, W, 3); a random crop has the net's size."""
        recipe = self.dataset.recipe
        random = generator(Stream.PHOTO, recipe.seed, epoch, index)
        if recipe.scale < 1:
            height, width = self.dataset.preprocessing.size
            crop = Image.fromarray(np.ascontiguousarray(_random_crop(photo, recipe.scale, random)))
            photo = np.asarray(crop.resize((width, height), Image.Resampling.BILINEAR))
        if random.random() < recipe.hflip:
            photo = photo[:, ::-1]
        if recipe.aa:
            # torchvision draws from PyTorch's own generator.
            with torch.random.fork_rng(devices=[]):
                seed_torch(Stream.PHOTO, recipe.seed, epoch, index)
                augment = v2.RandAugment(magnitude=recipe.aa)
                channels_first = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
                photo = augment(channels_first).permute(1, 2, 0).numpy()
        return np.ascontiguousarray(photo)


def _random_crop(photo: Pixels, scale: float, random: np.random.Generator) -> Pixels:
    """Crop a share of the area between `scale` and 1, with an aspect ratio of 3:4 to 4:3 (Szegedy et al. 2014)."""
    height, width, _ = photo.shape
    area, ratio = random.uniform(scale, 1) * height * width, np.exp(random.uniform(-1, 1) * np.log(4 / 3))
    rows = int(np.clip(round((area / ratio) ** 0.5), 1, height))
    columns = int(np.clip(round((area * ratio) ** 0.5), 1, width))
    y, x = random.integers(height - rows + 1), random.integers(width - columns + 1)
    return photo[y : y + rows, x : x + columns]
