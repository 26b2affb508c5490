"""What an engine is tried with: a net of its own, and photographs prepared as the net's weights want them."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, ImageError
from convatlas.engines.export.graph import said
from convatlas.images.decoding import read
from convatlas.images.samples import SAMPLES, sample
from convatlas.nets.net import Net

SIDE = 0.5
"""Of the square pieces, as a share of the photo's shorter side."""


def pieces(many: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Square pieces (h, h, 3) of the sample photographs, at places that `seed` draws; each photo in turn."""
    photos = [read(sample(name)) for name in SAMPLES]
    generator = np.random.default_rng(seed)
    for number in range(many):
        photo = photos[number % len(photos)]
        side = int(min(photo.shape[:2]) * generator.uniform(SIDE, 1))
        top, left = (int(generator.integers(0, length - side + 1)) for length in photo.shape[:2])
        yield photo[top : top + side, left : left + side]


def trial(net: nn.Module, many: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """(many, *shape), float32: pieces of photos where the net's weights say how to prepare them, else noise in 0..1."""
    lineage = net.lineage if isinstance(net, Net) else None
    if lineage is not None:
        try:
            x = torch.stack([torch.from_numpy(lineage.prepare(piece)) for piece in pieces(many, seed)])
        except ImageError:
            pass
        else:
            if len(x[0]) == shape[0]:
                return fitted(x, shape)
    return torch.rand(many, *shape, generator=torch.Generator().manual_seed(seed))


def fitted(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Prepared photos (N, C, h, w) at the height and width of `shape`."""
    return x if x.shape[1:] == shape else nn.functional.interpolate(x, size=shape[1:])


def shape_of(net: nn.Module, size: int | tuple[int, int] | None = None) -> tuple[int, ...]:
    """(C, H, W) of a net's inputs, or (features,); H and W as its weights prepare photos, if not said.

    Raises:
        SizeError: A size that is none.
    """
    from convatlas.anatomy.measure.measure import input_shape

    if size is None and isinstance(net, Net) and net.lineage is not None and net.size == net.card.input[:2]:
        size = net.lineage.preprocessing.size
    return input_shape(net, size, None)


def ready(net: nn.Module) -> nn.Module:
    """A copy on the CPU, in float32 and in evaluation mode: what becomes of the net itself does not touch it.

    Raises:
        ConvAtlasError: It is no net, or one that cannot be copied.
    """
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"a net is what `load` or `build` gave, not {type(net).__name__}")
    try:
        return copy.deepcopy(net).cpu().float().eval()
    # What a net of the user's own raises is anything at all.
    except Exception as error:
        raise ConvAtlasError(f"{type(net).__name__} cannot be copied: {said(error)}") from None
