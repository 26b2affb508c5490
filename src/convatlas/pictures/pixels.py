"""Arrays as pixels."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Values = NDArray[np.float64]


def as_numpy(tensor: Tensor) -> Values:
    """A tensor as an array of float64."""
    return tensor.detach().double().cpu().numpy()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels (H, W) or (H, W, 3)."""
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(data, "PNG")
    return data.getvalue()


def shaded(values: Values, most: float | None = None) -> NDArray[np.uint8]:
    """A map (H, W) as pixels: grey from 0 up if nothing is below 0, else blue below 0, red above it.

    White (or black, for grey) is 0; full colour, or white, is `most`, or the value farthest from 0.
    """
    size = float(np.abs(values).max()) if most is None else most
    share = np.clip(values / size, -1, 1) if size > 0 else np.zeros_like(values)
    if values.min() >= 0:
        return np.rint(255 * np.repeat(share[:, :, None], 3, 2)).astype(np.uint8)
    return diverging(share)


def diverging(share: Values) -> NDArray[np.uint8]:
    """Values from -1 to 1 as blue, white, red."""
    blue, red, white = np.array([33.0, 102.0, 172.0]), np.array([178.0, 24.0, 43.0]), np.array([247.0, 247.0, 247.0])
    end = np.where(share[..., None] < 0, blue, red)
    pixels: NDArray[np.uint8] = np.rint(white + np.abs(share[..., None]) * (end - white)).astype(np.uint8)
    return pixels
