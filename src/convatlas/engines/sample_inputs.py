"""Inputs to try an engine with: crops of photographs, prepared as the net's weights need them, or noise."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.anatomy.measure.shape_trace import input_shape
from convatlas.base.errors import ConvAtlasError, ImageError
from convatlas.engines.export.graph import first_line
from convatlas.images.decoding import read
from convatlas.images.samples import SAMPLES, sample
from convatlas.nets.net import Net
from convatlas.weights.user_weights import lineage_of

SIDE = 0.5
"""Smallest side of a crop, as a share of the photo's shorter side."""


def crops(count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Yield random square crops (h, h, 3) of the sample photographs, from one photo after the other."""
    photos = [read(sample(name)) for name in SAMPLES]
    generator = np.random.default_rng(seed)
    for number in range(count):
        photo = photos[number % len(photos)]
        side = int(min(photo.shape[:2]) * generator.uniform(SIDE, 1))
        y, x = (int(generator.integers(0, length - side + 1)) for length in photo.shape[:2])
        yield photo[y : y + side, x : x + side]


def sample_inputs(net: nn.Module, count: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Inputs (count, *shape), float32: prepared crops of photos if the net has a lineage, else noise in 0..1."""
    lineage = lineage_of(net)
    if lineage is not None:
        try:
            x = torch.stack([torch.from_numpy(lineage.prepare(crop)) for crop in crops(count, seed)])
        except ImageError:
            pass
        else:
            if len(x[0]) == shape[0]:
                return resized(x, shape)
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def resized(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Resize prepared photos (N, C, h, w) to the height and width of `shape`."""
    return x if x.shape[1:] == shape else nn.functional.interpolate(x, size=shape[1:])


def shape_of(net: nn.Module, size: int | tuple[int, int] | None = None) -> tuple[int, ...]:
    """Shape (C, H, W) or (features,) of a net's inputs; H and W are by default those of the weights' preprocessing.

    Raises:
        SizeError: The size is invalid.
    """
    if size is None and isinstance(net, Net) and net.lineage is not None and net.size == net.card.input[:2]:
        size = net.lineage.preprocessing.size
    return input_shape(net, size, None)


def evaluation_copy(net: nn.Module) -> nn.Module:
    """Copy a net to the CPU, in float32 and in evaluation mode.

    Raises:
        ConvAtlasError: `net` is not a module, or cannot be copied.
    """
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"a net is a torch.nn.Module, as from `load` or `build`, not {type(net).__name__}")
    try:
        return copy.deepcopy(net).cpu().float().eval()
    # A net of the user can raise anything.
    except Exception as error:
        raise ConvAtlasError(f"{type(net).__name__} cannot be copied: {first_line(error)}") from None
