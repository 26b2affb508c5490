"""Preprocess photos as darknet does (letterbox, stretch or crop), and map boxes and pixels back to the photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ConvAtlasError, ImageError, SizeError, unknown
from convatlas.images.preprocessing import MAX_SIDE
from convatlas.images.view import Axis, View

KINDS = ("letterbox", "stretch", "crop")
GREY = 0.5


@dataclass(frozen=True)
class DarknetPreprocessing:
    """Resize a photo to the net's input as darknet does, and scale its levels to 0..1.

    Resizing is bilinear with aligned corners, and without antialiasing.
    Source: darknet, `image.c`, of 2018.

    Attributes:
        size: (h, w) of the net's input in pixels.
        kind: "letterbox": keep the aspect ratio, fit the photo into the input, and pad with grey (YOLOv2 and v3).
            "stretch": fill the input, whatever the photo's aspect ratio (YOLOv1). "crop": keep the aspect ratio, cover
            the input, and crop the centre (the classifiers).

    Raises:
        SizeError: `size` is not positive, or too large.
        UnknownName: There is no such `kind`.
    """

    size: tuple[int, int]
    kind: str = "letterbox"

    def __post_init__(self) -> None:
        if not all(type(side) is int and side <= MAX_SIDE for side in self.size):
            raise SizeError(f"sides are whole numbers of pixels up to {MAX_SIDE}; got {self.size!r:.60}")
        if min(self.size) < 1:
            raise SizeError(f"a net's input has at least 1 x 1 pixels, not {self.size[0]} x {self.size[1]}")
        if self.kind not in KINDS:
            raise unknown("way to fit a photo", self.kind, KINDS)

    def __call__(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn a photo (H, W, 3), uint8, RGB, into the net's input (3, h, w), float32, 0..1.

        Raises:
            ImageError: `photo` is of another shape or dtype, or has no pixels.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or photo.size == 0:
            raise ImageError(f"preprocessing takes (H, W, 3) of uint8, not {photo.shape} of {photo.dtype}")
        view = self.view(photo.shape[0], photo.shape[1])
        above, below, down = _neighbours(view.rows)
        first, second, across = _neighbours(view.columns)
        rows, columns = slice(*view.rows.shown), slice(*view.columns.shown)
        levels = np.full((*self.size, 3), GREY, np.float32)
        upper = _between(photo[above[:, None], first], photo[above[:, None], second], across[:, None])
        lower = _between(photo[below[:, None], first], photo[below[:, None], second], across[:, None])
        levels[rows, columns] = _between(upper, lower, down[:, None, None]) / np.float32(255)  # (h', w', 3)
        return np.ascontiguousarray(levels.transpose(2, 0, 1))

    @property
    def channels(self) -> int:
        """Number of channels of the net's input."""
        return 3

    def for_channels(self, channels: int) -> DarknetPreprocessing:
        """Return this preprocessing, whatever the channels: darknet's nets take colour."""
        return self

    def for_size(self, size: tuple[int, int]) -> DarknetPreprocessing:
        """Return this preprocessing for inputs of another size (h, w)."""
        return DarknetPreprocessing(size, self.kind)

    def to_pixels(self, x: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn an input (3, h, w) of the net back into pixels to look at, (h, w, 3), uint8, RGB; border is grey.

        Raises:
            ImageError: `x` has another number of channels.
        """
        if x.ndim != 3 or len(x) != 3:
            raise ImageError(f"the input has 3 channels, height and width; got the shape {x.shape}")
        return np.ascontiguousarray(np.rint(x * 255.0).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))

    def view(self, height: int, width: int) -> View:
        """Return the view of a photo of `height` and `width`: which part of it the net sees, and where on its input.

        Raises:
            ImageError: The photo has no pixels.
        """
        if min(height, width) < 1:
            raise ImageError(f"a photo has at least 1 x 1 pixels, not {height} x {width}")
        h, w = self.size
        rows, columns = h, w
        # In integers, so that a side that has to fit exactly is not off by a rounding error.
        if self.kind != "stretch" and (w * height < h * width) == (self.kind == "letterbox"):
            rows = max(1, height * w // width)
        elif self.kind != "stretch":
            columns = max(1, width * h // height)
        return View(
            Axis(height, h, 0, height, rows, -_half(h - rows), corners=True),
            Axis(width, w, 0, width, columns, -_half(w - columns), corners=True),
        )

    def boxes_to_input(self, boxes: NDArray[Any], height: int, width: int) -> NDArray[Any]:
        """Map boxes (N, 4) from pixels of the photo to pixels of the input; the inverse of `boxes_to_photo`."""
        corner, scale = self._frame(boxes, height, width)
        mapped: NDArray[Any] = boxes / scale + corner
        return mapped

    def boxes_to_photo(self, boxes: NDArray[Any], height: int, width: int) -> NDArray[Any]:
        """Map boxes (N, 4) of left, top, right, bottom from pixels of the input to pixels of the photo.

        Darknet maps boxes with the outer edges of photo and input aligned, though it resizes, as `view` does, with the
        centres of their corner pixels aligned.
        """
        corner, scale = self._frame(boxes, height, width)
        mapped: NDArray[Any] = (boxes - corner) * scale
        return mapped

    def _frame(self, boxes: NDArray[Any], height: int, width: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return where the photo begins on the input, and the pixels of the photo for one of the input, for corners."""
        view = self.view(height, width)
        rows, columns = view.rows, view.columns
        corner = np.array([-columns.offset, -rows.offset] * 2, boxes.dtype)
        return corner, np.array([width / columns.resized, height / rows.resized] * 2, boxes.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON, from which `from_dict` makes an equal object."""
        return {"size": list(self.size), "kind": self.kind}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make the preprocessing that `to_dict` described.

        Raises:
            ConvAtlasError: The keys or values are not those of this class.
        """
        try:
            (height, width), kind = data["size"], data["kind"]
            return cls((height, width), kind)
        except (KeyError, TypeError, ValueError):
            raise ConvAtlasError(
                f"darknet's preprocessing has the keys size and kind; got {', '.join(data) or 'none'}"
            ) from None


def _between(first: NDArray[Any], second: NDArray[Any], share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear interpolation between two arrays of pixels; a share of 0 gives the first, 1 the second."""
    start = first.astype(np.float32)
    return start + (second - start) * share


def _half(room: int) -> int:
    """Half of `room`, rounded toward 0 as in C; it is negative for a photo that is larger than the input."""
    return -(-room // 2) if room < 0 else room // 2


def _neighbours(axis: Axis) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Pixels of the photo before and after each shown pixel of the input, and the weight of the second one."""
    start, end = axis.shown
    resized = np.arange(start, end) + axis.offset
    position = resized * ((axis.length - 1) / max(axis.resized - 1, 1))
    before = position.astype(np.int64)
    return before, np.minimum(before + 1, axis.length - 1), (position - before).astype(np.float32)
