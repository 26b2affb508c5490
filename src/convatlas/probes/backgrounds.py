"""Backgrounds: what a probe puts in the place of what it hides, named in pixels and prepared as the photo is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.images.decoding import Source, read

Pixels = NDArray[np.uint8]
Prepare = Callable[[Pixels], Tensor]
"""Function from pixels (H, W, 3) to the net's input (1, C, h, w)."""

BLUR = 0.08
"""Standard deviation of the blur, as a share of the photo's longer side."""

NAMES = ("black", "mean", "blur", "noise")


def background(wanted: object, pixels: Pixels | None, x: Tensor, prepare: Prepare | None, seed: int) -> Tensor:
    """The net's input that stands for "nothing to see".

    Args:
        wanted: "black", "mean" (the photo's average colour), "blur" or "noise"; another photo as a path, an array or a
            PIL image; or an input of the net.
        pixels: The photo (H, W, 3); None if the net's input was given itself.
        x: The net's input, (1, C, h, w).
        prepare: Turns pixels into an input; None if unknown.
        seed: Seed of the noise.

    Returns:
        The input, (1, C, h, w).

    Raises:
        ConvAtlasError: There is no such background, or it cannot be prepared for the net.
    """
    if isinstance(wanted, Tensor):
        value = wanted[None] if wanted.ndim == 3 else wanted
        if value.shape != x.shape:
            raise ConvAtlasError(f"the background has the shape {tuple(value.shape)}, the net's input {tuple(x.shape)}")
        return value.to(x)
    if pixels is None or prepare is None:
        return _of_input(wanted, x, seed)
    if isinstance(wanted, str) and wanted in NAMES:
        return prepare(_pixels(wanted, pixels, seed)).to(x)
    if isinstance(wanted, str) and not _is_path(wanted):
        raise unknown("background", wanted, NAMES)
    other = Image.fromarray(read(_source(wanted))).resize((pixels.shape[1], pixels.shape[0]))
    return prepare(np.asarray(other)).to(x)


def _pixels(name: str, pixels: Pixels, seed: int) -> Pixels:
    if name == "black":
        return np.zeros_like(pixels)
    if name == "mean":
        return np.broadcast_to(np.rint(pixels.mean((0, 1))).astype(np.uint8), pixels.shape).copy()
    if name == "noise":
        return np.random.default_rng(seed).integers(0, 256, pixels.shape, np.uint8)
    radius = BLUR * max(pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _of_input(wanted: object, x: Tensor, seed: int) -> Tensor:
    """The background of an input whose pixels are unknown."""
    if wanted == "mean":
        return x.mean((2, 3), keepdim=True).expand_as(x).contiguous()
    if wanted == "noise":
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)
        return x.mean((2, 3), keepdim=True) + noise * x.std((2, 3), keepdim=True)
    if wanted == "blur":
        from torchvision.transforms.functional import gaussian_blur

        sigma = BLUR * max(x.shape[2:])
        side = 2 * min(int(3 * sigma) + 1, min(x.shape[2:]) - 1) + 1
        blurred: Tensor = gaussian_blur(x, [side, side], [sigma, sigma])
        return blurred
    if wanted == "black":
        raise ConvAtlasError(
            "what is black in this input is unknown: pass a photo, or the background as an input of the net"
        )
    raise unknown("background", wanted, NAMES)


def _is_path(text: str) -> bool:
    return "." in text or "/" in text


def _source(wanted: Any) -> Source:
    source: Source = wanted
    return source
