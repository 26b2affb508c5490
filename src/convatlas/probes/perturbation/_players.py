"""Players: regions of a photo that are kept or hidden as wholes, superpixels or the cells of a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convatlas.probes.checks import check_choice, check_whole
from convatlas.probes.subject import Subject

Labels = np.ndarray[tuple[int, int], np.dtype[np.int64]]

REGIONS = ("superpixels", "grid")
"""Kinds of regions."""

TRIES = 3
"""Times that SLIC is asked, to come closer to the number of regions."""

COMPACTNESS = 10.0
"""How much superpixels weigh distance against colour, on the scale of CIELAB."""


@dataclass(frozen=True)
class Players:
    """Regions that divide a photo.

    Attributes:
        labels: Number of the region of each pixel, (h, w).
        count: How many regions there are.
    """

    labels: Tensor
    count: int

    def hidden(self, subject: Subject, kept: Tensor) -> Tensor:
        """Inputs (n, C, h, w) in which the regions that are not `kept`, (n, count), come from the background."""
        masks = kept.to(self.labels.device)[:, self.labels]
        return torch.where(masks[:, None], subject.x, subject.background)

    def paint(self, values: Tensor) -> Tensor:
        """A map (h, w) with the value of its region at each pixel."""
        return values[self.labels.to(values.device)]


def players_of(x: Tensor, number: int, regions: str) -> Players:
    """Divide an input into regions.

    Args:
        x: The input, (1, C, h, w).
        number: About how many regions there shall be.
        regions: "superpixels" (SLIC, Achanta et al. 2012) or "grid".

    Raises:
        ConvAtlasError: The number or the kind of the regions is not possible.
    """
    height, width = x.shape[2:]
    check_whole("the number of regions", number, 1, height * width)
    check_choice("regions", regions, REGIONS)
    labels = _superpixels(x, number) if regions == "superpixels" else _grid(height, width, number)
    _, dense = np.unique(labels, return_inverse=True)
    return Players(torch.from_numpy(dense.reshape(height, width)).to(x.device), int(dense.max()) + 1)


def _superpixels(x: Tensor, number: int) -> Labels:
    from skimage.segmentation import slic

    # In float32 whatever the precision, so that the regions are the same.
    image = x[0].detach().cpu().float().numpy().transpose(1, 2, 0)
    low, high = float(image.min()), float(image.max())
    image = (image - low) / (high - low) if high > low else np.zeros_like(image)
    asked = number
    tries: list[tuple[int, int, Labels]] = []
    for _ in range(TRIES):
        labels = slic(image, asked, COMPACTNESS, sigma=1, start_label=0, channel_axis=-1)
        count = len(np.unique(labels))
        tries.append((abs(count - number), len(tries), labels))
        # SLIC drops small regions, so that it has to be asked for more than are wanted.
        asked = min(labels.size, max(1, round(asked * number / count)))
    return min(tries, key=lambda each: each[:2])[2]


def _grid(height: int, width: int, number: int) -> Labels:
    rows = min(height, max(1, round(math.sqrt(number * height / width))))
    columns = min(width, max(1, round(number / rows)))
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    return row[:, None] * columns + column[None, :]
