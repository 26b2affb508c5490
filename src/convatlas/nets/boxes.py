"""Decode a detector's output to boxes with a score for each class, and select the best of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from convatlas.nets.darknet_steps import Boxes
from convatlas.nets.families.yolo import YOLO

CELL = 64
"""Side of version 1's cells in pixels."""

Parts = tuple[Tensor, Tensor, Tensor]
"""Corners of boxes, the probability of an object in each, and that of each class."""


def decode(net: YOLO, raw: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Decode all boxes of a detector, whatever their scores.

    Args:
        net: A net of version 1, 2 or 3.
        raw: Output of `net.forward`.
        size: Height and width of the input in pixels.

    Returns:
        Left, top, right and bottom of each box in pixels of the input (N, boxes, 4), and its scores
        (N, boxes, classes): the probability of an object times that of the class (Redmon et al. 2016, eq. 1).
    """
    corners, objects, classes = decode_parts(net, raw, size)
    return corners, objects.unsqueeze(-1) * classes


def decode_parts(net: YOLO, raw: Tensor, size: tuple[int, int]) -> Parts:
    """Decode all boxes as `decode` does, with both factors of their scores.

    Returns:
        Corners (N, boxes, 4), the probability of an object (N, boxes), and that of each class (N, boxes, classes).
    """
    return _by_cells(net, raw, size) if net.config.cell_boxes else _by_anchors(net, raw, size)


def _by_cells(net: YOLO, raw: Tensor, size: tuple[int, int]) -> Parts:
    """Decode version 1: x and y within the cell, square roots of width and height relative to the photo, all linear."""
    height, width = (-(-side // CELL) for side in size)
    cells, per_cell = height * width, net.config.cell_boxes
    classes, objects, corners = torch.split(raw, [cells * net.classes, cells * per_cell, cells * per_cell * 4], 1)
    images, box = len(raw), corners.reshape(len(raw), cells, per_cell, 4)
    grid = _grid(height, width, raw)[:, None]  # (cells, 1, 2): x, y
    shape = raw.new_tensor([width, height])
    photo = raw.new_tensor([size[1], size[0]])
    centres, sides = (box[..., :2] + grid) / shape * photo, box[..., 2:].square() * photo
    shared = classes.reshape(images, cells, 1, -1).expand(-1, -1, per_cell, -1)
    return _corners(centres, sides).flatten(1, 2), objects, shared.flatten(1, 2)


def _by_anchors(net: YOLO, raw: Tensor, size: tuple[int, int]) -> Parts:
    """Decode versions 2 and 3: x and y within the cell by the logistic, width and height as exp times the anchor."""
    priors = [_grid_and_anchors(boxes, size, raw) for boxes in net.priors]
    grids, strides, anchors = (torch.cat(parts) for parts in zip(*priors, strict=True))
    centres = (raw[..., :2].sigmoid() + grids) * strides
    sides = raw[..., 2:4].exp() * anchors
    class_scores: Callable[[Tensor], Tensor] = (lambda x: x.softmax(-1)) if net.config.softmax else torch.sigmoid
    return _corners(centres, sides), raw[..., 4].sigmoid(), class_scores(raw[..., 5:])


def _grid_and_anchors(boxes: Boxes, size: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return x and y of the cell, its side, and the anchor's width and height, for each box of a map (H W A rows)."""
    height, width, count = size[0] // boxes.stride, size[1] // boxes.stride, len(boxes.anchors)
    grid = _grid(height, width, like).repeat_interleave(count, 0)
    anchors = like.new_tensor(boxes.anchors).repeat(height * width, 1)
    return grid, like.new_full((len(grid), 1), boxes.stride), anchors


def _grid(height: int, width: int, like: Tensor) -> Tensor:
    """Return the coordinates x and y of each cell, row by row (height width, 2)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1).to(like)


def _corners(centres: Tensor, sides: Tensor) -> Tensor:
    return torch.cat([centres - sides / 2, centres + sides / 2], -1)


def select_boxes(
    boxes: Tensor, scores: Tensor, threshold: float, overlap: float, limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Select the boxes of one photo above the threshold, after non-maximum suppression within each class.

    Args:
        boxes: Corners (boxes, 4).
        scores: Scores of each class (boxes, classes); one box may count for several classes.
        threshold: Score that a box must exceed.
        overlap: Largest intersection over union that two boxes of one class may have.
        limit: Largest number of boxes.

    Returns:
        Corners (n, 4), scores (n,) and class indices (n,), the best first.
    """
    rows, classes = (scores > threshold).nonzero(as_tuple=True)
    corners, passing = boxes[rows], scores[rows, classes]
    kept = batched_nms(corners, passing, classes, overlap)[:limit]
    return corners[kept], passing[kept], classes[kept]
