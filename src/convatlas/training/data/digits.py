"""Load MNIST or Fashion-MNIST to train on, and choose the preprocessing for nets without pretrained weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.images.digits import DATA_SETS
from convatlas.images.download import digits
from convatlas.images.preprocessing import Preprocessing
from convatlas.nets.net import Net
from convatlas.training.data.affine import deslant
from convatlas.training.data.dataset import ImageDataset
from convatlas.training.data.files import FileDataset
from convatlas.training.data.in_memory import InMemoryDataset
from convatlas.training.recipe import Recipe

FOREGROUND, BACKGROUND = 1.175, -0.1
"""Levels of ink and paper for nets whose outputs are 1 and -1 (LeCun et al. 1998, section II-B)."""


POLARITY = "light on dark"
"""Polarity of both data sets."""


def is_digits(data: str) -> bool:
    """Whether `data` names MNIST or Fashion-MNIST."""
    return data in DATA_SETS


def load_digits(name: str, preprocessing: Preprocessing, recipe: Recipe) -> dict[str, ImageDataset]:
    """Load the splits "train" and "test" of MNIST or Fashion-MNIST.

    Raises:
        ConvAtlasError: No source has the data set.
    """
    source = digits(name)
    # All photos of the data set have the polarity of the net; augmentation may invert some on purpose.
    preprocessing = replace(preprocessing, polarity="as is")
    arrays = {"train": (source.train, source.train_labels), "test": (source.test, source.test_labels)}
    splits: dict[str, ImageDataset] = {}
    for split, (photos, labels) in arrays.items():
        indices = torch.from_numpy(labels.astype(np.int64))
        if augments_photos(recipe):
            colour = [np.repeat(photo[:, :, None], 3, 2) for photo in photos]
            splits[split] = FileDataset(colour, indices, preprocessing, recipe, 0)
        else:
            x = preprocess_digits(photos, preprocessing)
            background = -preprocessing.mean[0] / preprocessing.std[0]
            if recipe.deslant:
                x = torch.cat([deslant(chunk - background) + background for chunk in torch.split(x, 1000)])
            splits[split] = InMemoryDataset(x, indices, recipe, background)
    return splits


def augments_photos(recipe: Recipe) -> bool:
    """Whether the recipe has augmentations that work photo by photo, as `FileDataset` does."""
    return bool(recipe.aa or recipe.hflip or recipe.scale < 1)


def digit_preprocessing(net: nn.Module, size: tuple[int, int]) -> Preprocessing:
    """Preprocessing of digits of 28 x 28 pixels for a net without pretrained weights.

    Nets from before 2000 take background -0.1 and foreground 1.175 (LeNet-1 also smaller digits, 16 x 16 in 28 x 28
    pixels), capsule nets values from 0 to 1, all others mean 0 and variance 1. Digits are padded by up to four pixels
    of background on each side; for nets with larger inputs they are enlarged.
    """
    card = net.card if isinstance(net, Net) else None
    mean, std = 0.1307, 0.3081
    if card is not None and card.output_kind in ("squashed", "negative distances", "logits") and card.year < 2000:
        mean, std = -BACKGROUND / (FOREGROUND - BACKGROUND), 1 / (FOREGROUND - BACKGROUND)
    elif card is not None and card.output_kind.startswith("capsule"):
        mean, std = 0.0, 1.0
    small = card is not None and card.name == "lenet1"
    side = 22 if small else 28 if min(size) <= 36 else min(size)
    return Preprocessing(size, "resize_crop", side, "bilinear", 255.0, (mean,), (std,), polarity=POLARITY)


def preprocess_digits(photos: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """Preprocess all digits (N, H, W) at once, with the same result as one by one: (N, 1, h, w), float32."""
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
