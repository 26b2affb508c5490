"""From a photo of any shape to a net's input of a fixed one, and boxes back, as darknet does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ConvAtlasError, ImageError, SizeError, unknown
from convatlas.images.preprocessing import MOST

KINDS = ("letterbox", "stretch", "crop")
GREY = 0.5


@dataclass(frozen=True)
class Place:
    """Where a photo lies in the net's input: its top left corner and its size there, in pixels of the input."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Fitting:
    """Resizes a photo to the net's input and scales its levels to 0..1.

    The resizing is bilinear with the corner pixels of both on each other, and averages over nothing when it shrinks.
    Source: darknet, `image.c`, of 2018.

    Attributes:
        size: (h, w) of the net's input in pixels.
        kind: "letterbox": the photo keeps its shape, as large as fits, amid grey (versions 2 and 3 of YOLO).
            "stretch": it fills the input, whatever its shape (version 1). "crop": it keeps its shape, as small as
            covers the input, and what stands out is cut off evenly (the classifiers).

    Raises:
        SizeError: `size` is not positive, or too large.
        UnknownName: There is no such `kind`.
    """

    size: tuple[int, int]
    kind: str = "letterbox"

    def __post_init__(self) -> None:
        if not all(type(side) is int and side <= MOST for side in self.size):
            raise SizeError(f"sides are whole numbers of pixels up to {MOST}; got {self.size!r:.60}")
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
            raise ImageError(f"fitting takes (H, W, 3) of uint8, not {photo.shape} of {photo.dtype}")
        place = self.place(photo.shape[0], photo.shape[1])
        rows, y = _seen(place.top, place.height, self.size[0])
        columns, x = _seen(place.left, place.width, self.size[1])
        above, below, down = _neighbours(y, place.height, photo.shape[0])
        first, second, across = _neighbours(x, place.width, photo.shape[1])
        levels = np.full((*self.size, 3), GREY, np.float32)
        upper = _between(photo[above[:, None], first], photo[above[:, None], second], across[:, None])
        lower = _between(photo[below[:, None], first], photo[below[:, None], second], across[:, None])
        levels[rows, columns] = _between(upper, lower, down[:, None, None]) / np.float32(255)  # (h', w', 3)
        return np.ascontiguousarray(levels.transpose(2, 0, 1))

    @property
    def channels(self) -> int:
        """Of the net's input."""
        return 3

    def for_channels(self, channels: int) -> Fitting:
        """Itself: these nets read colour."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Give a dict fit for JSON, from which `from_dict` makes an equal one."""
        return {"size": list(self.size), "kind": self.kind}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make what `to_dict` described.

        Raises:
            ConvAtlasError: Its keys or values are not those of this class.
        """
        try:
            (height, width), kind = data["size"], data["kind"]
            return cls((height, width), kind)
        except (KeyError, TypeError, ValueError):
            raise ConvAtlasError(f"a fitting has the keys size and kind; got {', '.join(data) or 'none'}") from None

    def place(self, height: int, width: int) -> Place:
        """Where a photo of `height` and `width` lies in the input; partly outside of it if it is cropped."""
        h, w = self.size
        tall, wide = h, w
        # By whole numbers: a side that has to fit exactly must not miss by a rounding.
        if self.kind != "stretch" and (w * height < h * width) == (self.kind == "letterbox"):
            tall = max(1, height * w // width)
        elif self.kind != "stretch":
            wide = max(1, width * h // height)
        return Place(_half(h - tall), _half(w - wide), tall, wide)

    def back(self, boxes: NDArray[Any], height: int, width: int) -> NDArray[Any]:
        """Boxes (N, 4) of left, top, right, bottom in pixels of the input as boxes in pixels of the photo."""
        place = self.place(height, width)
        corner = np.array([place.left, place.top] * 2, boxes.dtype)
        scale = np.array([width / place.width, height / place.height] * 2, boxes.dtype)
        placed: NDArray[Any] = (boxes - corner) * scale
        return placed


def _between(one: NDArray[Any], other: NDArray[Any], share: NDArray[np.float32]) -> NDArray[np.float32]:
    start = one.astype(np.float32)
    return start + (other - start) * share


def _half(room: int) -> int:
    """Half of it, cut toward 0 as C divides: what a photo that is too large stands out by is negative."""
    return -(-room // 2) if room < 0 else room // 2


def _seen(start: int, length: int, size: int) -> tuple[slice, NDArray[np.int64]]:
    """Which pixels of the input a photo covers that begins at `start`, and which of its own resized ones these are."""
    here = slice(max(start, 0), min(start + length, size))
    return here, np.arange(here.start, here.stop) - start


def _neighbours(
    at: NDArray[np.int64], length: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For resized pixels `at` of `length`: the pixels of `size` before and after, and how near the second one is."""
    position = at * ((size - 1) / max(length - 1, 1))
    before = position.astype(np.int64)
    return before, np.minimum(before + 1, size - 1), (position - before).astype(np.float32)
