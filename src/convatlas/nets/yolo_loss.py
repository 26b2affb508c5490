"""The losses that detectors of the YOLO family learn from, as their papers define them.

All versions sum over the boxes of a photo and average over photos; squared errors are halved, so that the gradient is
the difference of prediction and truth, as the paper of version 3 puts it. What the papers leave open (weights of
version 2, that boxes and not anchors are compared with the ignore threshold, the weight of small boxes) is as darknet's
published configurations have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

from convatlas.nets.boxes import CELL, decode_parts
from convatlas.nets.families.yolo import YOLO

COORDINATES, NO_OBJECT = 5.0, 0.5
"""Weights of version 1: of coordinates, and of the objectness of boxes without object (Redmon et al. 2016, eq. 3)."""

OBJECT = 5.0
"""Weight of the objectness of boxes with an object in version 2; all others have 1."""

IGNORED = {True: 0.6, False: 0.5}
"""IoU with a true box above which a box without an object is not punished, by whether classes exclude each other
(version 2) or not (version 3: Redmon & Farhadi 2018, section 2.1)."""


@dataclass(frozen=True)
class Assignment:
    """The boxes of a net that have to predict an object; at most one object for each.

    Attributes:
        photos: Photo of each object (K,).
        rows: Row of the box that predicts it (K,), as in the net's output.
        truths: Index of the object among those of its photo (K,).
        offset: Centre within the cell, x and y in 0..1 (K, 2).
        scale: Logarithms of width and height relative to the anchor's (K, 2).
    """

    photos: Tensor
    rows: Tensor
    truths: Tensor
    offset: Tensor
    scale: Tensor


def detection_loss(net: YOLO, raw: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the mean loss of a batch.

    Version 1 (Redmon et al. 2016, eq. 3): squared errors of class probabilities, coordinates, roots of sides, and of
    objectness, whose target is the IoU with the object for the box of the cell that overlaps it most, 0 for all others.

    Version 2 (Redmon & Farhadi 2017, sections 2 and 4): an object belongs to the cell of its centre and to the anchor
    of the most similar shape. Squared errors of x and y within the cell, of the logarithms of the sides, and of
    objectness, whose target is the IoU with the object; cross-entropy of the softmax over classes.

    Version 3 (Redmon & Farhadi 2018, sections 2.1 and 2.2): the same assignment, among the anchors of all scales; the
    target of objectness is 1; objectness and each class have a binary cross-entropy.

    Args:
        net: A net of version 1, 2 or 3.
        raw: Output of `net.forward`.
        truth: True boxes (N, T, 5): class, then left, top, right, bottom in pixels of the input. Class -1 is padding.
        size: Height and width of the input in pixels.
    """
    # At least in float32, even if the net computes in less.
    raw = raw.float() if raw.dtype in (torch.bfloat16, torch.float16) else raw
    truth = truth.to(raw.dtype)
    with torch.no_grad():
        corners = decode_parts(net, raw, size)[0]  # (N, B, 4)
        overlaps = [box_iou(boxes, there[:, 1:]) for boxes, there in zip(corners, truth, strict=True)]  # (B, T) each
        # Padding has no area, and nothing overlaps it.
    total = _by_cells if net.config.cell_boxes else _by_anchors
    return total(net, raw, truth, torch.stack(overlaps), size) / len(raw)


def _by_anchors(net: YOLO, raw: Tensor, truth: Tensor, overlaps: Tensor, size: tuple[int, int]) -> Tensor:
    """Sum the losses of version 2 or 3 over all boxes (N, B, 5 + classes)."""
    softmax = net.config.softmax
    assigned = assign(net, truth, size)
    own = raw[assigned.photos, assigned.rows]  # (K, 5 + classes)
    objects = truth[assigned.photos, assigned.truths]  # (K, 5)
    sides = objects[:, 3:] - objects[:, 1:3]
    # Errors of a few pixels matter more in small boxes.
    weight = 2 - sides.prod(1) / (size[0] * size[1])
    errors = torch.cat([own[:, :2].sigmoid() - assigned.offset, own[:, 2:4] - assigned.scale], 1)
    loss = 0.5 * (weight * errors.square().sum(1)).sum()

    labels = objects[:, 0].long()
    if softmax:
        loss = loss + F.cross_entropy(own[:, 5:], labels, reduction="sum")
    else:
        kinds = F.one_hot(labels, net.classes).to(own.dtype)
        loss = loss + F.binary_cross_entropy_with_logits(own[:, 5:], kinds, reduction="sum")

    target = torch.zeros_like(raw[..., 4])  # (N, B)
    scale = (_best(overlaps) <= IGNORED[softmax]).to(raw.dtype)
    place = assigned.photos, assigned.rows
    target[place] = overlaps[(*place, assigned.truths)] if softmax else 1.0
    scale[place] = OBJECT if softmax else 1.0
    if softmax:
        return loss + 0.5 * (scale * (raw[..., 4].sigmoid() - target).square()).sum()
    return loss + F.binary_cross_entropy_with_logits(raw[..., 4], target, scale, reduction="sum")


def _best(overlaps: Tensor) -> Tensor:
    """Return the largest IoU of each box with any object (N, B); 0 if there is no object."""
    return overlaps.amax(2) if overlaps.shape[2] else overlaps.new_zeros(overlaps.shape[:2])


def assign(net: YOLO, truth: Tensor, size: tuple[int, int]) -> Assignment:
    """Assign each object to the cell of its centre and the anchor of the most similar shape (IoU with equal centres).

    Of several objects with the same cell and anchor the last one has it, as in darknet.

    Args:
        net: A net of version 2 or 3.
        truth: True boxes (N, T, 5), as in `detection_loss`.
        size: Height and width of the input in pixels.
    """
    photos, truths = (truth[..., 0] >= 0).nonzero(as_tuple=True)  # (K,) each
    corners = truth[photos, truths, 1:]
    sides, centres = corners[:, 2:] - corners[:, :2], (corners[:, :2] + corners[:, 2:]) / 2
    anchors = sides.new_tensor([anchor for boxes in net.priors for anchor in boxes.anchors])  # (A, 2)
    shared = torch.minimum(sides[:, None], anchors).prod(2)  # (K, A)
    nearest = (shared / (sides.prod(1)[:, None] + anchors.prod(1) - shared)).argmax(1)

    # For each anchor: the first row of its map, its number in the map, the number of anchors there, the stride.
    table, first = [], 0
    for boxes in net.priors:
        count = len(boxes.anchors)
        table += [(first, number, count, boxes.stride) for number in range(count)]
        first += (size[0] // boxes.stride) * (size[1] // boxes.stride) * count
    begin, place, each, stride = torch.tensor(table, device=truth.device)[nearest].unbind(1)
    columns, lines = size[1] // stride, size[0] // stride
    x, y = (centres / stride[:, None]).unbind(1)
    column, line = x.long().clamp_min(0).minimum(columns - 1), y.long().clamp_min(0).minimum(lines - 1)
    rows = begin + (line * columns + column) * each + place
    offset = torch.stack([x - column, y - line], 1)

    last = _last_of_each(photos, rows)
    parts = photos, rows, truths, offset, (sides / anchors[nearest]).log()
    return Assignment(*(part[last] for part in parts))


def _last_of_each(photos: Tensor, rows: Tensor) -> Tensor:
    """Return the index of the last object of each photo and row, sorted."""
    places = zip(photos.tolist(), rows.tolist(), strict=True)
    last = {place: index for index, place in enumerate(places)}
    return torch.tensor(sorted(last.values()), dtype=torch.long, device=photos.device)


def _by_cells(net: YOLO, raw: Tensor, truth: Tensor, overlaps: Tensor, size: tuple[int, int]) -> Tensor:
    """Sum the losses of version 1 over all cells; of several objects with one cell the last one has it."""
    height, width = (-(-side // CELL) for side in size)
    cells, per_cell = height * width, net.config.cell_boxes
    parts = torch.split(raw, [cells * net.classes, cells * per_cell, cells * per_cell * 4], 1)
    classes, confidence, boxes = parts[0].reshape(len(raw), cells, -1), parts[1], parts[2].reshape(len(raw), -1, 4)

    photos, truths = (truth[..., 0] >= 0).nonzero(as_tuple=True)
    corners = truth[photos, truths, 1:]
    photo = corners.new_tensor([size[1], size[0]])
    grid = corners.new_tensor([width, height])
    centres = (corners[:, :2] + corners[:, 2:]) / 2 / photo * grid  # (K, 2), in cells
    cell = centres.long().clamp_min(0).minimum(grid.long() - 1)
    index = cell[:, 1] * width + cell[:, 0]
    last = _last_of_each(photos, index)
    photos, truths, index, corners = photos[last], truths[last], index[last], corners[last]

    # The box of the cell that overlaps the object most predicts it.
    candidates = index[:, None] * per_cell + torch.arange(per_cell, device=raw.device)  # (K, per_cell)
    shared = overlaps[photos[:, None], candidates, truths[:, None]]
    best, rows = shared.max(1).values, candidates.gather(1, shared.argmax(1)[:, None])[:, 0]
    roots = ((corners[:, 2:] - corners[:, :2]) / photo).sqrt()
    place = torch.cat([(centres - cell)[last], roots], 1)
    kinds = F.one_hot(truth[photos, truths, 0].long(), net.classes).to(raw.dtype)

    target = torch.zeros_like(confidence)
    scale = torch.full_like(confidence, NO_OBJECT)
    target[photos, rows], scale[photos, rows] = best, 1.0
    errors: Tensor = (
        COORDINATES * (boxes[photos, rows] - place).square().sum()
        + (classes[photos, index] - kinds).square().sum()
        + (scale * (confidence - target).square()).sum()
    )
    return 0.5 * errors
