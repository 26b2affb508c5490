"""Statistics of natural photos, measured on the samples of scikit-image: their colours and their frequencies."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from convatlas.images.decoding import read
from convatlas.images.samples import SAMPLES, sample

Floats = NDArray[np.float64]

CROPS = 48
"""Squares that are cut out of the photos for their frequencies."""


@cache
def _photos() -> tuple[Floats, ...]:
    """The samples, (H, W, 3) each, from 0 to 1."""
    return tuple(read(sample(name)) / 255.0 for name in SAMPLES)


@cache
def colours(channels: int, order: str = "rgb") -> Floats:
    """The matrix that turns channels without correlation into colours as photos have them, (C, C).

    It is the symmetric root of the covariance of their pixels' colours, divided by its largest column.

    Args:
        channels: 3, 1 for grey; any other number has no colours and gets the identity.
        order: "rgb" or "bgr".
    """
    if channels != 3:
        return np.eye(channels)
    pixels = np.concatenate([photo.reshape(-1, 3) for photo in _photos()])
    if order == "bgr":
        pixels = pixels[:, ::-1]
    values, vectors = np.linalg.eigh(np.cov(pixels.T))
    root: Floats = vectors * np.sqrt(values) @ vectors.T
    scaled: Floats = root / np.linalg.norm(root, axis=0).max()
    return scaled


@cache
def spectrum(height: int, width: int, channels: int, order: str = "rgb") -> Floats:
    """The mean magnitude of each frequency of photos whose colours have no correlation, (C, h, w // 2 + 1).

    Squares of the photos are resized to (height, width) and faded out at their borders, whose jumps are no frequencies
    of the photos.
    """
    generator = np.random.default_rng(0)
    fade = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    inverse = np.linalg.inv(colours(channels, order))
    total = np.zeros((channels, height, width // 2 + 1))
    for number in range(CROPS):
        photo = _photos()[number % len(SAMPLES)]
        side = int(min(photo.shape[:2]) * generator.uniform(0.6, 1.0))
        top, left = (int(generator.integers(0, length - side + 1)) for length in photo.shape[:2])
        square = photo[top : top + side, left : left + side]
        square = square if channels == 3 else np.repeat(square.mean(2, keepdims=True), channels, 2)
        square = square[:, :, ::-1] if order == "bgr" else square
        planes = torch.from_numpy(square.transpose(2, 0, 1).copy())[None]
        pixels = interpolate(planes, (height, width), mode="bilinear", antialias=True)[0].numpy()
        pixels = np.tensordot(inverse, pixels - pixels.mean((1, 2), keepdims=True), 1)
        total += np.abs(np.fft.rfft2(pixels * fade, norm="ortho"))
    # The fade takes a part of the energy away.
    mean: Floats = total / CROPS / np.sqrt(np.square(fade).mean())
    mean[:, 0, 0] = 0.0
    return mean
