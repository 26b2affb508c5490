"""What is where on a photo, as a detector sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError, ImageError, WeightsError
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table
from convatlas.catalogue.cards import find
from convatlas.images.annotate import LabelledBox, draw_boxes
from convatlas.images.decoding import Source, read
from convatlas.images.sources import name, sources
from convatlas.nets.boxes import best, decode
from convatlas.nets.families.yolo import YOLO
from convatlas.nets.net import Net
from convatlas.predict.photo_verb import photo_verb
from convatlas.weights.files import is_file
from convatlas.weights.load import load

OVERLAP = {True: 0.4, False: 0.45}
"""The largest overlap of two boxes of one class, in version 1 and in the others, as darknet's commands have it."""


@dataclass(frozen=True)
class Found:
    """One object: its class by name and number, its score (0 to 1), its box in pixels of the photo.

    The box is left, top, right and bottom; pixels count from their own left and top edges, and none lies outside.
    """

    label: str
    number: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Detection(Record):
    """The objects on one photo, the surest first; or, where it could not be read, why.

    Attributes:
        photo: Its path, or what it was given as.
        net: Which net.
        weights: Which lineage.
        threshold: The score that each object exceeds.
        size: Height and width of the photo in pixels.
        objects: What was found.
        error: Why the photo could not be read; None if it could.
    """

    photo: str
    net: str
    weights: str
    threshold: float
    size: tuple[int, int] | None
    objects: tuple[Found, ...]
    error: str | None = None

    def draw(self, photo: Source | None = None) -> Image.Image:
        """The photo with a box around each object and its name and score on it.

        Args:
            photo: The photo, if it was given as anything but a file.

        Raises:
            ImageError: It cannot be read, or has another size than the one that was searched.
        """
        pixels = read(self.photo if photo is None else photo)
        if self.error is not None or pixels.shape[:2] != self.size:
            raise ImageError(self.error or f"the photo has {pixels.shape[:2]} pixels, the one searched had {self.size}")
        marks = [LabelledBox(one.box, f"{one.label} {one.score:.2f}", one.number) for one in self.objects]
        return draw_boxes(pixels, marks)

    def __str__(self) -> str:
        if self.error is not None:
            return self.error
        return f"{self.photo}: " + (", ".join(f"{one.label} {one.score:.3f}" for one in self.objects) or "nothing")


@photo_verb
def detect(
    photos: Source | Sequence[Source],
    net: str | Net = "yolo_v3",
    *,
    weights: str | None = None,
    threshold: float = 0.25,
    top: int = 100,
    device: str = "auto",
) -> Iterator[Detection]:
    """The objects on a photo, or on each of many, with their boxes.

    Args:
        photos: A path, bytes, an array (H, W, 3) or a PIL image; or a folder, or a list of any of these.
        net: A detector's name, or a net that `load` gave.
        weights: With a name: the lineage or file to load, as in `load`.
        threshold: A score has to exceed it, from 0 up to, but not including, 1.
        top: How many objects at most, 1 or more.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        A `Detection` for a single photo; a list of them for a folder or a list, in which photos that cannot be read
        have an `error` and no objects.

    Raises:
        ImageError: A single photo cannot be read.
        UnknownName: No such net or device.
        WeightsError: The net has no weights, or the file does not fit it.
    """
    where = device_of(device)
    check_limits(threshold, top)
    finder = detector(net, weights).to(where).eval()
    nothing = Detection("", finder.card.name, finder.lineage.name, float(threshold), None, ())
    for source in sources(photos):
        try:
            pixels = read(source)
        except ImageError as error:
            yield replace(nothing, photo=name(source), error=str(error))
            continue
        x, size = finder.lineage.preprocessing(pixels)[None], pixels.shape[:2]
        (objects,) = objects_on(finder, x, [size], threshold, top)
        yield replace(nothing, photo=name(source), size=size, objects=objects)


def check_limits(threshold: object, top: object) -> None:
    """Refuses a threshold that is no score below 1, and a number of objects that is none."""
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold < 1:
        raise ConvAtlasError(f"a threshold is a score from 0 up to, but not including, 1; got {threshold!r}")
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise ConvAtlasError(f"top is a number of objects, 1 or more; got {top!r}")


def detector(net: str | Net, weights: str | None) -> YOLO:
    """A net whose boxes have names: one by its name, or what `load` gave.

    Raises:
        ConvAtlasError: It finds no boxes, or reads no photos.
        WeightsError: Its weights are random, or its classes have no names.
    """
    if isinstance(net, str):
        if not is_file(net) and find(net).family != "yolo":
            raise ConvAtlasError(f"{find(net).name} finds no boxes; these do: {', '.join(YOLO.variants)}")
        net = load(net, weights=weights)
    elif weights is not None:
        raise ConvAtlasError("weights go with a net's name: a net that `load` gave has its own")
    if not isinstance(net, YOLO):
        given = net.card.name if isinstance(net, Net) else type(net).__name__
        raise ConvAtlasError(f"{given} finds no boxes; these do: {', '.join(YOLO.variants)}")
    if net.lineage is None:
        raise WeightsError(f"{net.card.name} has random weights, whose answers mean nothing; load it with weights")
    if not net.lineage.class_names:
        raise WeightsError(f"this {net.card.name} names no classes: its last layer is fresh")
    if net.channels != net.lineage.preprocessing.channels:
        raise ConvAtlasError(f"a photo becomes 3 channels, this {net.card.name} takes {net.channels}")
    return net


def objects_on(
    net: YOLO, x: NDArray[np.float32], sizes: Sequence[tuple[int, ...]], threshold: float, top: int
) -> list[tuple[Found, ...]]:
    """The objects on each of some photos, given as the net's inputs (N, 3, h, w) and their (height, width)."""
    fitting = net.lineage.preprocessing
    with torch.inference_mode():
        photos = torch.from_numpy(x).to(next(net.parameters()))
        boxes, scores = decode(net, net(photos), fitting.size)
        found = [
            best(*one, threshold, OVERLAP[bool(net.config.cell_boxes)], top) for one in zip(boxes, scores, strict=True)
        ]
    return [_placed(net, *one, *size) for one, size in zip(found, sizes, strict=True)]


def _placed(
    net: YOLO, boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor, height: int, width: int
) -> tuple[Found, ...]:
    """What was found, in pixels of a photo of `height` and `width`."""
    corners, sure, numbers = (part.double().cpu().numpy() for part in (boxes, scores, classes))
    back = net.lineage.preprocessing.back(corners, height, width).clip(0, [width, height, width, height])
    names = net.lineage.class_names
    objects = (
        Found(names[int(number)], int(number), float(score), tuple(box.tolist()))
        for box, score, number in zip(back, sure, numbers, strict=True)
    )
    # What lies in the grey around the photo is nothing.
    return tuple(one for one in objects if one.box[0] < one.box[2] and one.box[1] < one.box[3])


COLUMNS = (
    Column("photo", "photo"),
    Column("label", "class"),
    Column("score", "score", lambda share: "" if share is None else f"{share:.3f}"),
    Column("box", "left, top, right, bottom", lambda box: ", ".join(f"{side:.0f}" for side in box or ())),
)


def table(found: Sequence[Detection]) -> Table:
    """One row an object; the photo is named in its first, without the folder that all have in common."""
    shared = os.path.commonpath([Path(one.photo).absolute().parent for one in found] or [Path.cwd()])
    rows: list[dict[str, Any]] = []
    for one in found:
        photo = os.path.relpath(Path(one.photo).absolute(), shared)
        if not one.objects:
            rows.append({"photo": photo, "label": "nothing", "score": None, "box": None})
        for place, thing in enumerate(one.objects):
            shown = {key: getattr(thing, key) for key in ("label", "score", "box")}
            rows.append({"photo": photo if place == 0 else ""} | shown)
    title = f"{found[0].net}, {found[0].weights} weights, scores above {found[0].threshold:g}" if found else ""
    return Table(COLUMNS, rows, title=title)
