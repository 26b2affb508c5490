"""Backgrounds: what a probe shows where it hides the photo, named in pixels and prepared as the photo is."""

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


def background_of(background: object, pixels: Pixels | None, x: Tensor, prepare: Prepare | None, seed: int) -> Tensor:
    """The net's input that stands for "nothing to see".

    Args:
        background: "black", "mean" (the average colour), "blur" or "noise"; another photo as a path, an array or
            a PIL image; or an input of the net.
        pixels: The photo (H, W, 3); None if the net's input was given itself.
        x: The net's input, (1, C, h, w).
        prepare: Turns pixels into an input; None if unknown.
        seed: Seed of the noise.

    Returns:
        The input, (1, C, h, w).

    Raises:
        ConvAtlasError: There is no such background, or it cannot be prepared for the net.
    """
    if isinstance(background, Tensor):
        value = background[None] if background.ndim == 3 else background
        if value.shape != x.shape:
            raise ConvAtlasError(f"the background has the shape {tuple(value.shape)}, the net's input {tuple(x.shape)}")
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise ConvAtlasError("a background that is an input of the net is a tensor of finite floats")
        return value.to(x)
    if pixels is None or prepare is None:
        return _of_input(background, x, seed)
    if isinstance(background, str) and background in NAMES:
        return prepare(_pixels(background, pixels, seed)).to(x)
    if isinstance(background, str) and not _is_path(background):
        raise unknown("background", background, NAMES)
    other = Image.fromarray(read(_source(background))).resize((pixels.shape[1], pixels.shape[0]))
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


def _of_input(background: object, x: Tensor, seed: int) -> Tensor:
    """The background of an input whose pixels are unknown."""
    if not isinstance(background, str) or _is_path(background):
        raise ConvAtlasError(
            "a photo as background is prepared as the photo is, and how that was prepared is unknown: pass the "
            "background as an input of the net"
        )
    if background == "mean":
        return x.mean((2, 3), keepdim=True).expand_as(x).contiguous()
    if background == "noise":
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)
        return x.mean((2, 3), keepdim=True) + noise * x.std((2, 3), keepdim=True)
    if background == "blur":
        from torchvision.transforms.functional import gaussian_blur

        sigma = BLUR * max(x.shape[2:])
        side = 2 * min(int(3 * sigma) + 1, min(x.shape[2:]) - 1) + 1
        blurred: Tensor = gaussian_blur(x, [side, side], [sigma, sigma])
        return blurred
    if background == "black":
        raise ConvAtlasError(
            "what is black in this input is unknown: pass a photo, or the background as an input of the net"
        )
    raise unknown("background", background, NAMES)


def _is_path(text: str) -> bool:
    return "." in text or "/" in text


def _source(background: Any) -> Source:
    source: Source = background
    return source
