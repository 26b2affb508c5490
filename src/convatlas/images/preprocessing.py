"""Preprocess photos for a net, and map its input back to pixels and positions of the photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convatlas.base.errors import ConvAtlasError, ImageError, SizeError, unknown
from convatlas.base.terminal.brief import Brief
from convatlas.images.formats.budget import MEMORY
from convatlas.images.view import Axis, View

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
GEOMETRIES = ("squash", "resize_crop", "crop_resize")
ORDERS = ("rgb", "bgr")
POLARITIES = ("as is", "light on dark")
MAX_SIDE = 8192
"""Largest side in pixels."""
WHOLE = 2**25
"""Largest number of pixels that "resize_crop" resizes a whole photo to; of a longer photo, only the centre is."""
CONTRAST = 26
"""Least difference of ink and paper, in grey levels: a tenth of the range. What differs less is the paper's grain."""
LARGEST = 1e6
"""Largest size of `scale`, `mean` and `std`, and of the reciprocals of `scale` and `std`."""


@dataclass(frozen=True)
class Preprocessing(Brief):
    """Preprocessing of a net: crop, resize and normalize a photo, as in the net's published evaluation.

    There are three geometries. "squash" resizes the photo to `resize` x `resize`, whatever its aspect ratio (Keras,
    where `resize` is the side of the net's input). "resize_crop" resizes the shorter side to `resize` pixels, keeping
    the aspect ratio, and crops the centre (torchvision, timm). "crop_resize" crops a centre square whose side is
    n / (n + `resize`) of the shorter side, where n is the side of the net's input, and resizes it to n (EfficientNet in
    tensorflow/tpu).

    A photo that "resize_crop" would resize to more than 2^25 pixels (at 256 pixels, one longer than 512:1) is first
    cropped to its centre, 8:1, to save time and memory: there the pixels may differ from torchvision's.

    Then x = (pixel / scale - mean) / std, in float32 and in this order, as the lineages' own code computes it.

    Attributes:
        size: (h, w) of the net's input in pixels.
        geometry: One of the three.
        resize: Pixels, as explained above.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos", as in Pillow.
        scale: Divisor of the pixels, which are 0..255.
        mean: Number subtracted from each channel after scaling; three for colour, one for grey.
        std: Divisor of each channel after that.
        order: Order of the channels: "rgb", or "bgr" for nets that came from Caffe.
        polarity: "light on dark" for nets that were trained on light digits on black paper, as MNIST's: a photo of dark
            digits on light paper is inverted before it is resized and padded with black. The paper is light if the
            median grey level of the resized photo's border exceeds the mean of its darkest and its lightest level. The
            resized photo is turned grey. If its paper is not black then, its levels are stretched, from the border's
            median, which becomes 0, to the lightest one; without contrast, all become 0.

    Raises:
        SizeError: A side is not positive or too large, or `size` is not a square with "crop_resize".
        UnknownName: The geometry, interpolation, order or polarity is unknown.
        ConvAtlasError: `scale`, `mean` or `std` is out of its range.
    """

    size: tuple[int, int]
    geometry: str = "resize_crop"
    resize: int = 256
    interpolation: str = "bilinear"
    scale: float = 255.0
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    order: str = "rgb"
    polarity: str = "as is"

    def __post_init__(self) -> None:
        sides = (*self.size, self.resize)
        if len(sides) != 3 or not all(type(side) is int and side <= MAX_SIDE for side in sides):
            raise SizeError(f"sides are whole numbers of pixels up to {MAX_SIDE}; got {sides!r:.100}")
        if min(self.size) < 1 or (self.size[0] != self.size[1] and self.geometry == "crop_resize"):
            raise SizeError(f"the centre crop is a square of at least 1 pixel, not {self.size[0]} x {self.size[1]}")
        if self.resize < (0 if self.geometry == "crop_resize" else 1):
            raise SizeError(f"a photo is resized to at least 1 pixel, not {self.resize}")
        for kind, name, known in (
            ("geometry", self.geometry, GEOMETRIES),
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("order of channels", self.order, ORDERS),
            ("polarity", self.polarity, POLARITIES),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ConvAtlasError(f"mean and std are for 1 or 3 channels, not {len(self.mean)} and {len(self.std)}")
        # Beyond these bounds the input could be infinite or no number in float32.
        if not all(abs(number) <= LARGEST for number in (self.scale, *self.mean, *self.std)):
            raise ConvAtlasError(f"scale, mean and std are numbers up to {LARGEST:,.0f}")
        if not all(abs(number) >= 1 / LARGEST for number in (self.scale, *self.std)):
            raise ConvAtlasError(f"scale and std are numbers from {1 / LARGEST:.0e} up")

    def __call__(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn a photo (H, W, 3), uint8, RGB, into the net's input (C, h, w), float32; C is 3, or 1 for grey.

        Raises:
            ImageError: `photo` is of another shape or dtype, or has no pixels.
        """
        pixels = self.pixels(photo)
        if self.order == "bgr":
            pixels = pixels[:, :, ::-1]
        # In place, since allocating an array of this size costs more than filling it.
        x = np.array(pixels.transpose(2, 0, 1), np.float32, order="C")  # (C, h, w)
        x /= np.float32(self.scale)
        x -= np.array(self.mean, np.float32)[:, None, None]
        x /= np.array(self.std, np.float32)[:, None, None]
        return x

    @property
    def channels(self) -> int:
        """Number of channels of the net's input."""
        return len(self.mean)

    @property
    def longest(self) -> int:
        """Ratio of the sides of the centre that "resize_crop" resizes of a photo that is too long to resize whole."""
        return 8 * max(1, -(-max(self.size) // self.resize))

    def pixels(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the part of the photo that the net sees, at its size; (h, w, C), uint8, RGB or grey.

        Raises:
            ImageError: `photo` is of another shape or dtype, or has no pixels.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or photo.size == 0:
            raise ImageError(f"preprocessing takes (H, W, 3) of uint8, not {photo.shape} of {photo.dtype}")
        view = self.view(photo.shape[0], photo.shape[1])
        # Pillow's copy has 4 bytes a pixel, and so has the resized photo.
        with MEMORY.reserve(photo.nbytes * 7 // 3 + 4 * view.rows.resized * view.columns.resized):
            image = self._image(photo, view.rows, view.columns)
        if self.channels == 1:
            return np.asarray(image.convert("L"))[:, :, None]
        return np.asarray(image)

    def _image(self, photo: NDArray[np.uint8], rows: Axis, columns: Axis) -> Image.Image:
        part = photo[rows.start : rows.start + rows.length, columns.start : columns.start + columns.length]
        size = columns.resized, rows.resized
        image = self._resized(part, size)
        if self.polarity == "light on dark":
            if _is_dark_on_light(np.asarray(image.convert("L"))):
                image = self._resized(255 - part, size)
            image = _on_black(image)
        if image.size == (columns.input, rows.input):
            return image
        # Padded with black where the image is smaller, as in torchvision.
        x, y = columns.offset, rows.offset
        return image.crop((x, y, x + columns.input, y + rows.input))

    def _resized(self, photo: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
        image = Image.fromarray(np.ascontiguousarray(photo))
        return image if image.size == size else image.resize(size, INTERPOLATIONS[self.interpolation])

    def for_channels(self, channels: int) -> Preprocessing:
        """Return this preprocessing; for 1 channel instead of 3, a grey one with the channels' average mean and std."""
        if channels != 1 or len(self.mean) == 1:
            return self
        return replace(self, mean=(sum(self.mean) / 3,), std=(sum(self.std) / 3,), order="rgb")

    def for_size(self, size: tuple[int, int]) -> Preprocessing:
        """Return this preprocessing for inputs of another size (h, w); the same share of a photo is seen.

        That holds for the longer side of an input that is no square; of the photo's other side less is seen.

        Raises:
            SizeError: A side is not positive or too large.
        """
        if size == self.size:
            return self
        before, side = max(self.size), max(size)
        if self.geometry == "crop_resize" and size[0] != size[1]:
            whole = round(side * (before + self.resize) / before)
            return replace(self, size=size, geometry="resize_crop", resize=min(whole, MAX_SIDE))
        resize = round(self.resize * side / before)
        least = 0 if self.geometry == "crop_resize" else 1
        return replace(self, size=size, resize=min(max(least, resize), MAX_SIDE))

    def to_pixels(self, x: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn an input (C, h, w) of the net back into pixels to look at, (h, w, 3), uint8, RGB.

        For an input that this preprocessing made, they are those of `pixels`, grey repeated three times: the pixels
        that the net saw, so light ink on dark paper where a photo was inverted. Values of other inputs are rounded and
        clipped to 0..255.

        Raises:
            ImageError: `x` has another number of channels.
        """
        if x.ndim != 3 or len(x) != self.channels:
            raise ImageError(f"the input has {self.channels} channels, height and width; got the shape {x.shape}")
        mean, std = (np.array(values)[:, None, None] for values in (self.mean, self.std))
        levels = np.rint((x * std + mean) * self.scale).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)  # (h, w, C)
        if self.order == "bgr":
            levels = levels[:, :, ::-1]
        return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))

    def view(self, height: int, width: int) -> View:
        """Return the view of a photo of `height` and `width`: which part of it the net sees, and where on its input.

        Raises:
            ImageError: The photo has no pixels.
        """
        if min(height, width) < 1:
            raise ImageError(f"a photo has at least 1 x 1 pixels, not {height} x {width}")
        if self.geometry == "squash":
            rows, columns = ((length, self.resize) for length in (height, width))
        elif self.geometry == "crop_resize":
            n = self.size[0]
            side = max(1, n * min(height, width) // (n + self.resize))
            rows, columns = (side, n), (side, n)
        else:
            short, kept = min(height, width), (height, width)
            if self.resize * int(self.resize * max(kept) / short) > WHOLE:
                kept = min(height, self.longest * short), min(width, self.longest * short)
            rows, columns = ((length, int(self.resize * length / short)) for length in kept)
        return View(self._axis(height, *rows, self.size[0]), self._axis(width, *columns, self.size[1]))

    def _axis(self, photo: int, length: int, resized: int, size: int) -> Axis:
        """Axis whose `length` central pixels are resized to `resized`, of which the input shows the central `size`."""
        # Of two unequal margins, TensorFlow's crop puts the larger one first.
        start = (photo - length + (self.geometry == "crop_resize")) // 2
        return Axis(photo, size, start, length, resized, round((resized - size) / 2))

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON, from which `from_dict` makes an equal object."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        if self.polarity == "as is":
            del values["polarity"]
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make the preprocessing that `to_dict` described.

        Raises:
            ConvAtlasError: The keys or values are not those of this class.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        known = [field.name for field in fields(cls) if field.name != "polarity"]
        if set(values) - {"polarity"} != set(known):
            raise ConvAtlasError(f"preprocessing has the keys {', '.join(known)}; got {', '.join(values) or 'none'}")
        try:
            return cls(**values)
        except (TypeError, ValueError, OverflowError):
            raise ConvAtlasError(f"preprocessing has values of the wrong type: {data!s:.300}") from None


def _is_dark_on_light(levels: NDArray[np.uint8]) -> bool:
    """Whether the border of a grey photo (h, w) is lighter than the middle of its range."""
    return bool(2 * _border_level(levels) > int(levels.min()) + int(levels.max()))


def _on_black(image: Image.Image) -> Image.Image:
    """Return a photo of light ink on dark paper in grey, with its levels stretched if its paper is not black."""
    levels = np.asarray(image.convert("L"))
    paper = int(_border_level(levels))
    if paper > 0:
        above = np.maximum(levels.astype(np.int64) - paper, 0)
        contrast = int(above.max())
        stretched = (255 * above + contrast // 2) // contrast if contrast >= CONTRAST else 0 * above
        levels = stretched.astype(np.uint8)
    return Image.fromarray(levels).convert(image.mode)


def _border_level(levels: NDArray[np.uint8]) -> float:
    """Median of the border of a grey photo (h, w)."""
    return float(np.median(np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])))
