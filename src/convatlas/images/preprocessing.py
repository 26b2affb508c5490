"""From a photo to the input of a net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convatlas.base.errors import ConvAtlasError, ImageError, SizeError, unknown

INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC}

_KIND = "crop_then_resize"


@dataclass(frozen=True)
class Preprocessing:
    """Crop the centre, then resize it, then normalize: what the EfficientNet-Lite nets were evaluated with.

    The crop is a square whose side is n / (n + border) of the photo's shorter one, n being the side of the net's input,
    rounded down and at least 1 pixel. Cropping comes first, so an extremely long photo costs no more than a square one.

    Source: the preprocessing in tensorflow/tpu, models/official/efficientnet (2019-2020); its lite models take
    (x - 127) / 128. Pillow's resize averages over what it shrinks, TensorFlow's of that time did not.

    Attributes:
        size: (h, w) of the net's input in pixels; h = w.
        crop: the border, in pixels of the net's input, that the crop leaves out of the photo.
        interpolation: "bicubic".
        mean: subtracted from each of R, G, B, on the scale 0..255.
        std: divides each of R, G, B after that, on the scale 0..255.

    Raises:
        SizeError: `size` is not square or not positive.
        UnknownName: nothing is known of that `interpolation`.
    """

    size: tuple[int, int]
    crop: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.size[0] != self.size[1] or self.size[0] < 1:
            raise SizeError(f"the centre crop is a square of at least 1 pixel, not {self.size[0]} x {self.size[1]}")
        if self.interpolation not in INTERPOLATIONS:
            raise unknown("interpolation", self.interpolation, INTERPOLATIONS)

    def __call__(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn a photo (H, W, 3), uint8, RGB, into the net's input (3, h, w), float32.

        Raises:
            ImageError: `photo` is of another shape or dtype, or has no pixels.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or photo.size == 0:
            raise ImageError(f"preprocessing takes (H, W, 3) of uint8, not {photo.shape} of {photo.dtype}")
        image = Image.fromarray(np.ascontiguousarray(self._centre(photo)))
        resized = image.resize((self.size[1], self.size[0]), INTERPOLATIONS[self.interpolation])
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        x = (np.asarray(resized, np.float32) - mean) / std  # (h, w, 3)
        return np.ascontiguousarray(x.transpose(2, 0, 1))  # (3, h, w)

    def _centre(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width, _ = photo.shape
        n = self.size[0]
        side = max(1, n * min(height, width) // (n + self.crop))
        top, left = (height - side + 1) // 2, (width - side + 1) // 2
        return photo[top : top + side, left : left + side]

    def to_dict(self) -> dict[str, Any]:
        """Give a dict fit for JSON, from which `from_dict` makes an equal one."""
        return {"kind": _KIND} | {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make what `to_dict` described.

        Raises:
            ConvAtlasError: `data` is of another kind, or its keys are not the fields of this class.
        """
        if data.get("kind") != _KIND:
            raise unknown("kind of preprocessing", str(data.get("kind")), [_KIND])
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items() if name != "kind"
        }
        known = [field.name for field in fields(cls)]
        if set(values) != set(known):
            raise ConvAtlasError(f"preprocessing has the keys {', '.join(known)}; got {', '.join(values) or 'none'}")
        return cls(**values)
