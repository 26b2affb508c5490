"""Photos in files: read, cut out and augmented one by one, in as many processes as wanted, always to the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from convatlas.base.errors import ImageError
from convatlas.images.decoding import Pixels, Source, read
from convatlas.images.preprocessing import Preprocessing
from convatlas.training.recipe import Recipe
from convatlas.training.seeding import Lot, generator, seed_torch


class Photos:
    """Photos in files, or as arrays, of any size.

    Args:
        sources: Paths or arrays.
        labels: Numbers of their classes (count,).
        preprocessing: What the net wants to see.
        recipe: Says how they are augmented while training.
        workers: Processes that read ahead; 0 to read here.
    """

    def __init__(
        self, sources: Sequence[Source], labels: Tensor, preprocessing: Preprocessing, recipe: Recipe, workers: int
    ):
        self.sources, self.labels, self.workers = sources, labels.long(), workers
        self.preprocessing, self.recipe = preprocessing, recipe

    def shown(self, plan: Sequence[Tensor], epoch: int) -> Iterator[Tensor]:
        return self._loaded(plan, _Items(self, epoch))

    def seen(self, plan: Sequence[Tensor]) -> Iterator[Tensor]:
        return self._loaded(plan, _Items(self, None))

    def part(self, numbers: Tensor) -> Photos:
        chosen = [self.sources[number] for number in numbers.tolist()]
        return Photos(chosen, self.labels[numbers], self.preprocessing, self.recipe, self.workers)

    def _loaded(self, plan: Sequence[Tensor], items: _Items) -> Iterator[Tensor]:
        loader: DataLoader[Tensor | str] = DataLoader(
            items,
            batch_sampler=[numbers.tolist() for numbers in plan],
            num_workers=self.workers,
            collate_fn=list,
            # It draws a seed for its workers, and must not take it from those who draw for the net.
            generator=torch.Generator(),
        )
        for photos in loader:
            # An exception would come out of another process with all of its story.
            if errors := [one for one in photos if isinstance(one, str)]:
                raise ImageError(errors[0])
            yield torch.stack(photos)


class _Items(Dataset["Tensor | str"]):
    """The photos by number; those of an epoch, or for None as in testing. What cannot be read is its error's text."""

    def __init__(self, photos: Photos, epoch: int | None):
        self.photos, self.epoch = photos, epoch

    def __getitem__(self, number: int) -> Tensor | str:
        try:
            photo = read(self.photos.sources[number])
        except ImageError as error:
            return str(error)
        wanted = self.photos.preprocessing
        if self.epoch is not None:
            photo = self._augmented(photo, number, self.epoch)
            if self.photos.recipe.scale < 1:
                # It has the net's size already: nothing more is to be resized or cut off.
                wanted = replace(wanted, geometry="resize_crop", resize=min(wanted.size))
        return torch.from_numpy(wanted(photo))

    def _augmented(self, photo: Pixels, number: int, epoch: int) -> Pixels:
        """The photo as this epoch shows it, (H, W, 3) again: of the net's size if a part was cut out."""
        recipe, random = self.photos.recipe, generator(Lot.PHOTO, self.photos.recipe.seed, epoch, number)
        if recipe.scale < 1:
            height, width = self.photos.preprocessing.size
            image = Image.fromarray(np.ascontiguousarray(_cut(photo, recipe.scale, random)))
            photo = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        if random.random() < recipe.hflip:
            photo = photo[:, ::-1]
        if recipe.aa:
            # torchvision draws from PyTorch's own generator.
            with torch.random.fork_rng(devices=[]):
                seed_torch(Lot.PHOTO, recipe.seed, epoch, number)
                augment = v2.RandAugment(magnitude=recipe.aa)
                channels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
                photo = augment(channels).permute(1, 2, 0).numpy()
        return np.ascontiguousarray(photo)


def _cut(photo: Pixels, smallest: float, random: np.random.Generator) -> Pixels:
    """A part of `smallest` to all of the photo, its sides as 3 to 4 up to 4 to 3 (Szegedy et al. 2014)."""
    height, width, _ = photo.shape
    area, ratio = random.uniform(smallest, 1) * height * width, np.exp(random.uniform(-1, 1) * np.log(4 / 3))
    tall = int(np.clip(round((area / ratio) ** 0.5), 1, height))
    wide = int(np.clip(round((area * ratio) ** 0.5), 1, width))
    top, left = random.integers(height - tall + 1), random.integers(width - wide + 1)
    return photo[top : top + tall, left : left + wide]
