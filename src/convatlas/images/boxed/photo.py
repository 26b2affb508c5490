"""A photo with boxes around its objects, and what its files may hold."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ImageError, printable
from convatlas.images.decoding import Source

MAX_BOXES = 1000
"""Most boxes of a photo."""

MAX_CLASSES = 10_000
"""Most classes of a data set."""


@dataclass(frozen=True, eq=False)
class BoxedPhoto:
    """A photo with boxes around its objects.

    Attributes:
        source: Its file, or its pixels.
        boxes: A row for each object (n, 5), float64: index of its class, then left, top, right and bottom of its box as
            shares of the photo's width and height, 0 to 1.
        size: Height and width in pixels that the boxes were drawn on, if their file says it.
    """

    source: Source
    boxes: NDArray[np.float64]
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class BoxedSplits:
    """A data set of photos with boxes.

    Attributes:
        photos: Photos by split: "train", and perhaps "validation" and "test".
        classes: Names of the classes, in the order of their indices.
    """

    photos: Mapping[str, tuple[BoxedPhoto, ...]]
    classes: tuple[str, ...]


def box_rows(rows: Iterable[tuple[float, float, float, float, float]], where: str) -> NDArray[np.float64]:
    """Return the boxes of a photo, cut off at its edges and without those that then have no area.

    Args:
        rows: Class and corners of each box.
        where: The photo in words, for the error.

    Raises:
        ImageError: There are too many.
    """
    boxes = np.array(list(rows), np.float64).reshape(-1, 5)
    if len(boxes) > MAX_BOXES:
        raise ImageError(f"{where} has {len(boxes):,} boxes; at most {MAX_BOXES:,} are read")
    boxes[:, 1:] = boxes[:, 1:].clip(0, 1)
    return boxes[(boxes[:, 1] < boxes[:, 3]) & (boxes[:, 2] < boxes[:, 4])]


def inside(folder: Path, name: str, where: str) -> Path:
    """Return the path of a file below a folder.

    Raises:
        ImageError: The name leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or "\0" in name or PureWindowsPath(name).anchor or PurePosixPath(name).anchor:
        raise ImageError(f"{where} names {printable(name)[:80]!r}, which is no path below {str(folder)!r:.100}")
    return folder.joinpath(*parts)


def check_classes(names: Collection[str], where: str) -> tuple[str, ...]:
    """Return the names of classes.

    Raises:
        ImageError: There are none or too many, or one is empty, cannot be printed, or stands there twice.
    """
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ImageError(f"{where} names {len(names):,} classes; 1 to {MAX_CLASSES:,} are allowed")
    known: set[str] = set()
    for name in names:
        if not name.strip() or not name.isprintable() or name in known:
            raise ImageError(f"{where} has a class that is empty, unprintable or there twice: {printable(name)!r:.80}")
        known.add(name)
    return tuple(names)


def check_photo(path: Path, where: str) -> None:
    """Refuse a photo that does not exist; it would be read hours later.

    Raises:
        ImageError: It does not exist.
    """
    if not os.path.isfile(path):
        raise ImageError(f"{where} names a photo that does not exist: {str(path)!r:.200}")
