"""Records of classified photos and detected objects, and their tables. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from convatlas.base.errors import ConvAtlasError, ImageError
from convatlas.base.records import TableRecord
from convatlas.base.tables import Column, Table
from convatlas.base.terminal.brief import Brief
from convatlas.images.annotate import LabelledBox, draw_boxes
from convatlas.images.decoding import Source, read


@dataclass(frozen=True)
class Answer(Brief):
    """A predicted class: its name, its index among the outputs, its probability (0 to 1)."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Classification(TableRecord):
    """The most probable classes of one photo, or why it could not be read.

    Attributes:
        photo: Path of the photo, or the type it was given as.
        net: The card's name.
        weights: The lineage's name.
        answers: The most probable classes, the most probable one first.
        error: Why the photo could not be read; None if it could.
        notes: What is odd about the photo of a digit, so that the answers may mean nothing.
    """

    photo: str
    net: str
    weights: str
    answers: tuple[Answer, ...]
    error: str | None = None
    notes: tuple[str, ...] = ()

    def table(self) -> Table:
        """Return a table with a row for each class."""
        return class_table([self])

    def __str__(self) -> str:
        if self.error is not None:
            return self.error
        answers = ", ".join(f"{answer.label} {answer.probability:.3f}" for answer in self.answers)
        return "; ".join([f"{self.photo}: {answers}", *self.notes])


@dataclass(frozen=True)
class DetectedObject(Brief):
    """A detected object: its class by name and index, its score (0 to 1), its box in pixels of the photo.

    The box is (left, top, right, bottom), measured from the photo's left and top edges, and lies within the photo.
    """

    label: str
    index: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Detection(TableRecord):
    """The objects on one photo, or why it could not be read.

    Attributes:
        photo: Path of the photo, or the type it was given as.
        net: The card's name.
        weights: The lineage's name.
        threshold: The score that each object exceeds.
        size: Height and width of the photo in pixels.
        objects: The objects, the one with the highest score first.
        error: Why the photo could not be read; None if it could.
    """

    photo: str
    net: str
    weights: str
    threshold: float
    size: tuple[int, int] | None
    objects: tuple[DetectedObject, ...]
    error: str | None = None

    def draw(self, photo: Source | None = None) -> Image.Image:
        """Draw the photo with a labelled box around each object.

        Args:
            photo: The photo; needed if it was not given as a file.

        Raises:
            ImageError: The photo cannot be read, or its size differs from that of the photo of this detection.
        """
        pixels = read(self.photo if photo is None else photo)
        if self.error is not None or pixels.shape[:2] != self.size:
            raise ImageError(self.error or f"the photo has {pixels.shape[:2]} pixels, not {self.size} as when detected")
        return draw_boxes(
            pixels, [LabelledBox(thing.box, f"{thing.label} {thing.score:.2f}", thing.index) for thing in self.objects]
        )

    def table(self) -> Table:
        """Return a table with a row for each object."""
        return object_table([self])

    def __str__(self) -> str:
        if self.error is not None:
            return self.error
        things = ", ".join(f"{thing.label} {thing.score:.3f}" for thing in self.objects)
        return f"{self.photo}: {things or 'nothing'}"


TOP = 5
"""Default number of classes of a photo; a net with fewer classes returns all of them."""


def check_top(top: object, classes: int) -> None:
    """Refuse a number of classes below 1, or above both `classes` and `TOP`."""
    if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= max(classes, TOP):
        raise ConvAtlasError(f"top is a number of classes from 1 to {classes}; got {top!r}")


def check_limits(threshold: object, top: object) -> None:
    """Refuse a threshold outside of 0 <= threshold < 1, and a number of objects below 1."""
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold < 1:
        raise ConvAtlasError(f"a threshold is a score from 0 up to, but not including, 1; got {threshold!r}")
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise ConvAtlasError(f"top is a number of objects, 1 or more; got {top!r}")


CLASS_COLUMNS = (
    Column("photo", "photo"),
    Column("label", "class"),
    Column("probability", "probability", lambda share: f"{share:.3f}"),
    Column("index", "index", str),
)

OBJECT_COLUMNS = (
    Column("photo", "photo"),
    Column("label", "class"),
    Column("score", "score", lambda share: "" if share is None else f"{share:.3f}"),
    Column("box", "left, top, right, bottom", lambda box: ", ".join(f"{side:.0f}" for side in box or ())),
)


def class_table(results: Sequence[Classification]) -> Table:
    """Make a table with a row for each class; the photo's path, relative to the common folder, is in its first row."""
    rows = [
        {"photo": photo if position == 0 else ""}
        | {key: getattr(answer, key) for key in ("label", "probability", "index")}
        for photo, result in zip(_short_names(results), results, strict=True)
        for position, answer in enumerate(result.answers)
    ]
    title = f"{results[0].net}, {results[0].weights} weights" if results else ""
    return Table(CLASS_COLUMNS, rows, title=title)


def object_table(results: Sequence[Detection]) -> Table:
    """Make a table with a row for each object; the photo's path, relative to the common folder, is in its first row."""
    rows: list[dict[str, Any]] = []
    for photo, result in zip(_short_names(results), results, strict=True):
        if not result.objects:
            rows.append({"photo": photo, "label": "nothing", "score": None, "box": None})
        for position, thing in enumerate(result.objects):
            values = {key: getattr(thing, key) for key in ("label", "score", "box")}
            rows.append({"photo": photo if position == 0 else ""} | values)
    title = ""
    if results:
        title = f"{results[0].net}, {results[0].weights} weights, scores above {results[0].threshold:g}"
    return Table(OBJECT_COLUMNS, rows, title=title)


def _short_names(results: Sequence[Classification] | Sequence[Detection]) -> list[str]:
    """Paths of the photos relative to their common folder."""
    paths = [Path(result.photo).absolute() for result in results]
    shared = os.path.commonpath([path.parent for path in paths] or [Path.cwd()])
    return [os.path.relpath(path, shared) for path in paths]
