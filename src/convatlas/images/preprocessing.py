"""From a photo to the input of a net."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convatlas.base.errors import ConvAtlasError, ImageError, SizeError, unknown

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
GEOMETRIES = ("squash", "resize_crop", "crop_resize")
ORDERS = ("rgb", "bgr")
MOST = 8192
"""Pixels of a side."""


@dataclass(frozen=True)
class Preprocessing:
    """What a net was evaluated with: where it looks on a photo, and on which scale it reads the pixels.

    Three geometries are in use. "squash" resizes the photo to `resize` x `resize` whatever its shape (Keras, with
    `resize` the net's own side). "resize_crop" brings the shorter side to `resize` pixels, keeping the shape, and cuts
    the centre out (torchvision, timm). "crop_resize" cuts a centre square whose side is n / (n + `resize`) of the
    shorter one, n the net's side, and resizes that (EfficientNet, in tensorflow/tpu); no photo is too long for it.

    Then x = (pixel / scale - mean) / std, in float32 and in this order, as the lineages' own code computes it.

    Attributes:
        size: (h, w) of the net's input in pixels.
        geometry: One of the three.
        resize: Pixels, as above.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos", as Pillow does them.
        scale: Divides the pixels, which are 0..255.
        mean: Of each channel of the input, after scaling; three for colour, one for grey.
        std: Likewise.
        order: Of the channels: "rgb", or "bgr" for nets that came from Caffe.

    Raises:
        SizeError: A side is not positive or too long, or "crop_resize" is asked for an oblong.
        UnknownName: Nothing is known of that geometry, interpolation or order.
        ConvAtlasError: The scale or the statistics are none to divide by.
    """

    size: tuple[int, int]
    geometry: str = "resize_crop"
    resize: int = 256
    interpolation: str = "bilinear"
    scale: float = 255.0
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    order: str = "rgb"

    def __post_init__(self) -> None:
        sides = (*self.size, self.resize)
        if len(sides) != 3 or not all(type(side) is int and side <= MOST for side in sides):
            raise SizeError(f"sides are whole numbers of pixels up to {MOST}; got {sides!r:.100}")
        if min(self.size) < 1 or (self.size[0] != self.size[1] and self.geometry == "crop_resize"):
            raise SizeError(f"the centre crop is a square of at least 1 pixel, not {self.size[0]} x {self.size[1]}")
        if self.resize < (0 if self.geometry == "crop_resize" else 1):
            raise SizeError(f"a photo is resized to at least 1 pixel, not {self.resize}")
        for kind, name, known in (
            ("geometry", self.geometry, GEOMETRIES),
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("order of channels", self.order, ORDERS),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ConvAtlasError(f"mean and std are for 1 or 3 channels, not {len(self.mean)} and {len(self.std)}")
        if not all(map(math.isfinite, (self.scale, *self.mean, *self.std))) or 0 in (self.scale, *self.std):
            raise ConvAtlasError("scale, mean and std are finite numbers, and no photo is divided by 0")

    def __call__(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn a photo (H, W, 3), uint8, RGB, into the net's input (C, h, w), float32; C is 3, or 1 for grey.

        Raises:
            ImageError: `photo` is of another shape or dtype, or has no pixels.
        """
        pixels = self.pixels(photo)
        if self.order == "bgr":
            pixels = pixels[:, :, ::-1]
        # In place, for an array of this size is dearer to get than to fill.
        x = np.array(pixels.transpose(2, 0, 1), np.float32, order="C")  # (C, h, w)
        x /= np.float32(self.scale)
        x -= np.array(self.mean, np.float32)[:, None, None]
        x /= np.array(self.std, np.float32)[:, None, None]
        return x

    @property
    def channels(self) -> int:
        """Of the net's input."""
        return len(self.mean)

    def pixels(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of the photo that the net will see, at its size; (h, w, C), uint8, RGB or grey."""
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or photo.size == 0:
            raise ImageError(f"preprocessing takes (H, W, 3) of uint8, not {photo.shape} of {photo.dtype}")
        seen = {"squash": self._squashed, "resize_crop": self._resized, "crop_resize": self._cropped}[self.geometry]
        image = seen(photo)
        if len(self.mean) == 1:
            return np.asarray(image.convert("L"))[:, :, None]
        return np.asarray(image)

    def for_channels(self, channels: int) -> Preprocessing:
        """The same for a net that reads grey photos instead of colour: the mean statistics. Itself for all others."""
        if channels != 1 or len(self.mean) == 1:
            return self
        return replace(self, mean=(sum(self.mean) / 3,), std=(sum(self.std) / 3,), order="rgb")

    def _squashed(self, photo: NDArray[np.uint8]) -> Image.Image:
        image = Image.fromarray(photo)
        return self._centre(self._to(image, self.resize, self.resize))

    def _resized(self, photo: NDArray[np.uint8]) -> Image.Image:
        height, width, _ = photo.shape
        short, long = sorted((height, width))
        # Only the centre will be seen: an extremely long photo costs no more than one eight times as long as wide.
        if long > (most := 8 * short * max(1, -(-max(self.size) // self.resize))):
            start = (long - most) // 2
            part = slice(start, start + most)
            photo, long = (photo[part] if height > width else photo[:, part]), most
        longer = int(self.resize * long / short)
        size = (longer, self.resize) if width > height else (self.resize, longer)
        return self._centre(self._to(Image.fromarray(np.ascontiguousarray(photo)), *size))

    def _cropped(self, photo: NDArray[np.uint8]) -> Image.Image:
        height, width, _ = photo.shape
        n = self.size[0]
        side = max(1, n * min(height, width) // (n + self.resize))
        top, left = (height - side + 1) // 2, (width - side + 1) // 2
        square = np.ascontiguousarray(photo[top : top + side, left : left + side])
        return self._to(Image.fromarray(square), n, n)

    def _to(self, image: Image.Image, width: int, height: int) -> Image.Image:
        if image.size == (width, height):
            return image
        return image.resize((width, height), INTERPOLATIONS[self.interpolation])

    def _centre(self, image: Image.Image) -> Image.Image:
        """The centre of the net's size; black where the image is smaller, as torchvision pads."""
        height, width = self.size
        if image.size == (width, height):
            return image
        left, top = round((image.width - width) / 2.0), round((image.height - height) / 2.0)
        return image.crop((left, top, left + width, top + height))

    def to_dict(self) -> dict[str, Any]:
        """Give a dict fit for JSON, from which `from_dict` makes an equal one."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make what `to_dict` described.

        Raises:
            ConvAtlasError: Its keys or values are not those of this class.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        known = [field.name for field in fields(cls)]
        if set(values) != set(known):
            raise ConvAtlasError(f"preprocessing has the keys {', '.join(known)}; got {', '.join(values) or 'none'}")
        try:
            return cls(**values)
        except (TypeError, ValueError, OverflowError):
            raise ConvAtlasError(f"preprocessing has values of another kind: {data!s:.300}") from None
