"""A photo as a net sees it, for pictures of what goes on inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from convatlas.anatomy.measuring import input_shape
from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.images.decoding import Source, read
from convatlas.nets.building import Size, build
from convatlas.nets.net import Net
from convatlas.nets.own import is_own, own
from convatlas.weights.loading import load

NONE = "none"
"""In the place of a lineage: random weights."""

COLOURS = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))


@dataclass(frozen=True)
class Seen:
    """A net and a photo in front of it.

    Attributes:
        net: In evaluation mode.
        x: The photo as its input, (1, C, H, W).
        pixels: The same as one can look at, (H, W, 3).
        told: With which weights, and how the photo was prepared.
    """

    net: nn.Module
    x: Tensor
    pixels: NDArray[np.uint8]
    told: str


def seen(name: str, photo: Source, *, weights: str | None = None, size: Size | None = None) -> Seen:
    """A net with its weights and a photo prepared for it.

    Weights bring their own preparation. A net without any, or of the user's own, gets the photo resized to its input,
    with values from 0 to 1, grey if it takes one channel.

    Args:
        name: A net of the atlas, `package.module:callable`, or a .pt2 file.
        photo: A path, bytes, an array or a PIL image.
        weights: A lineage, as in `load`; "none" for random ones, which a net without lineages has in any case.
        size: Of the input; for weights only where they were made for it.

    Raises:
        ConvAtlasError: As `load`, `build`, `own` and `read` do.
    """
    net, told = _net(name, weights, size)
    net.eval()
    lineage = getattr(net, "lineage", None) if isinstance(net, Net) else None
    if lineage is not None:
        x = lineage.prepare(photo)
        pixels = _looked_at(x, lineage.prepare)
    else:
        x, pixels = _resized(read(photo), input_shape(net, size, None))
        told += " The photo was resized to the net's input, with values from 0 to 1."
    first = next((weight for weight in net.parameters() if weight.is_floating_point()), None)
    dtype = torch.float32 if first is None else first.dtype
    return Seen(net, torch.from_numpy(x)[None].to(dtype), pixels, told)


def _net(name: str, weights: str | None, size: Size | None) -> tuple[nn.Module, str]:
    if is_own(name):
        return own(name), "Weights: its own."
    if weights != NONE:
        try:
            net = load(name, weights=weights, size=size)
            return net, f"Weights: {net.lineage.name}."
        except WeightsError:
            # A lineage that was asked for must be there.
            if weights is not None:
                raise
    return build(name, size=size), "Weights: random, of seed 0."


def _looked_at(
    x: NDArray[np.float32], prepare: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> NDArray[np.uint8]:
    """An input (C, H, W) as pixels again: the inverse of what the preparation makes of black, red, green and blue."""
    made = [
        prepare(np.full((*x.shape[1:], 3), colour, np.uint8))[:, x.shape[1] // 2, x.shape[2] // 2] for colour in COLOURS
    ]
    black, *others = (one.astype(np.float64) for one in made)
    back = np.linalg.pinv(np.stack([one - black for one in others], 1) / 255)  # (3, C)
    pixels: NDArray[np.uint8] = (
        np.einsum("pc,chw->hwp", back, x - black[:, None, None]).round().clip(0, 255).astype("u1")
    )
    return pixels


def _resized(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The photo resized to (C, H, W), as values from 0 to 1 and as pixels."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ConvAtlasError(
            f"a photo has 1 or 3 channels, height and width; this net takes {' x '.join(map(str, shape))}"
        )
    image = Image.fromarray(pixels).resize((shape[2], shape[1]), Image.Resampling.BICUBIC)
    grey = image.convert("L" if shape[0] == 1 else "RGB")
    values = np.asarray(grey, np.float32).reshape(shape[1], shape[2], shape[0]).transpose(2, 0, 1) / 255
    return np.ascontiguousarray(values), np.array(grey.convert("RGB"))
