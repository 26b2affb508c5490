"""Boxes of a detector as targets: the score of one box before non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from convatlas.base.errors import ConvAtlasError
from convatlas.nets.boxes import Parts, decode_parts
from convatlas.nets.families.yolo import YOLO
from convatlas.predict.predictors import MAX_OVERLAP

OWN_OVERLAP = 0.45
"""IoU above which a box of a user's own detector is dropped for a better one of its class."""

FIRST = 1024
"""Boxes among which a number is looked up first; more are tried if too few of them are left."""

Decoder = Callable[[Any], Parts]
"""Turns a detector's output into corners, probability of an object and of each class, for all of its boxes."""


@dataclass(frozen=True)
class Box:
    """A target: the score of a box, which is the probability of an object times that of its class.

    The box is chosen once, on the photo itself: the object that `detect` lists at this place, whatever its score. What
    is explained is the score of the same anchor in the same cell, before non-maximum suppression.

    Attributes:
        number: 0 for the best box, 1 for the next one that `detect` would keep, and so on.
        label: Only boxes of this class count, by number or name; None for all.
    """

    number: int = 0
    label: int | str | None = None


@dataclass(frozen=True)
class DetectedBox:
    """A box of a photo.

    Attributes:
        row: Its index among all boxes of the detector.
        index: Its class.
        corners: Left, top, right and bottom in pixels of the input.
        classes: Probability of each class in it, (classes,).
    """

    row: int
    index: int
    corners: tuple[float, float, float, float]
    classes: Tensor = field(repr=False, compare=False)

    def score(self, decoder: Decoder) -> Callable[[Any], Tensor]:
        """Function from the detector's output to the score of this anchor and cell for this class, (N,)."""

        def score(output: Any) -> Tensor:
            _, objects, classes = decoder(output)
            return objects[:, self.row] * classes[:, self.row, self.index]

        return score

    def scores(self, decoder: Decoder) -> Callable[[Any], Tensor]:
        """Function from the detector's output to the scores of this anchor and cell for all classes, (N, classes)."""

        def scores(output: Any) -> Tensor:
            _, objects, classes = decoder(output)
            return objects[:, self.row, None] * classes[:, self.row]

        return scores


def decoder_of(net: nn.Module, size: tuple[int, int]) -> Decoder | None:
    """The decoder of a detector's output for an input of a size (height, width); None if the net is no detector.

    A user's own detector has a method `decode_boxes(output, size)` that returns corners (N, boxes, 4) in pixels of the
    input, the probability of an object (N, boxes), and that of each class (N, boxes, classes).
    """
    if isinstance(net, YOLO):
        return lambda output: decode_parts(net, output, size)
    own = getattr(net, "decode_boxes", None)
    return (lambda output: own(output, size)) if callable(own) else None


def find_box(
    net: nn.Module, parts: Parts, number: int, label: int | None, shown: tuple[int, int, int, int]
) -> DetectedBox:
    """Find the box with a number among those of one photo, in the order in which `detect` lists them.

    Args:
        net: The detector.
        parts: Corners (boxes, 4), probability of an object (boxes,) and of each class (boxes, classes).
        number: Number of the box, from 0.
        label: Only boxes of this class count; None for all.
        shown: Left, top, right and bottom of the photo on the input; boxes outside of it do not count.

    Raises:
        ConvAtlasError: There are not so many boxes.
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ConvAtlasError(f"boxes have numbers from 0, the best one; got {number!r:.40}")
    corners, objects, classes = (each.double() for each in parts)
    scores = objects[:, None] * classes if label is None else objects[:, None] * classes[:, label : label + 1]
    overlap = MAX_OVERLAP[bool(net.config.cell_boxes)] if isinstance(net, YOLO) else OWN_OVERLAP
    left, top, right, bottom = corners.unbind(-1)
    visible = (torch.minimum(right, left.new_tensor(shown[2])) > left.clamp(min=shown[0])) & (
        torch.minimum(bottom, top.new_tensor(shown[3])) > top.clamp(min=shown[1])
    )
    count = FIRST
    while True:
        best, order = scores.flatten().topk(min(count, scores.numel()))
        rows, kinds = order // scores.shape[1], order % scores.shape[1]
        kept = batched_nms(corners[rows], best, kinds, overlap)
        kept = kept[visible[rows[kept]]]
        if len(kept) > number:
            break
        if count >= scores.numel():
            raise ConvAtlasError(f"the detector has {len(kept)} boxes on this photo, with numbers from 0; got {number}")
        count *= 8
    chosen = kept[number]
    row, index = int(rows[chosen]), int(kinds[chosen]) if label is None else label
    x1, y1, x2, y2 = corners[row].tolist()
    return DetectedBox(row, index, (x1, y1, x2, y2), classes[row].clone())
