"""Turn arrays into pixels and PNG files."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Values = NDArray[np.float64]


def as_numpy(tensor: Tensor) -> Values:
    """Return a tensor as an array of float64."""
    return tensor.detach().double().cpu().numpy()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels (H, W) or (H, W, 3) as a PNG file."""
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(data, "PNG")
    return data.getvalue()


def shaded(values: Values, limit: float | None = None) -> NDArray[np.uint8]:
    """Return a map (H, W) as pixels: grey if no value is negative, else blue below 0 and red above.

    Zero is black in grey maps and white in coloured ones; `limit`, by default the largest absolute value, is white in
    grey maps and full colour in coloured ones.
    """
    size = float(np.abs(values).max()) if limit is None else limit
    share = np.clip(values / size, -1, 1) if size > 0 else np.zeros_like(values)
    if values.min() >= 0:
        return np.rint(255 * np.repeat(share[:, :, None], 3, 2)).astype(np.uint8)
    return diverging(share)


def diverging(share: Values) -> NDArray[np.uint8]:
    """Return values from -1 (blue) over 0 (white) to 1 (red) as pixels."""
    blue, red, white = np.array([33.0, 102.0, 172.0]), np.array([178.0, 24.0, 43.0]), np.array([247.0, 247.0, 247.0])
    end = np.where(share[..., None] < 0, blue, red)
    pixels: NDArray[np.uint8] = np.rint(white + np.abs(share[..., None]) * (end - white)).astype(np.uint8)
    return pixels
