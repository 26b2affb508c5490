"""Masks between 0 and 1 that let a photo through, and the background where they do not."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from convatlas.probes.subject import Subject


def blend(subject: Subject, masks: Tensor) -> Tensor:
    """Inputs (n, C, h, w) that are the photo where masks (n, h, w) are 1, and the background where they are 0."""
    return torch.lerp(subject.background, subject.x, masks[:, None].to(subject.x))


def between_cells(grids: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (n, h, w) that go linearly from the centre of a grid's cell to the next; grids are (n, rows, columns)."""
    return interpolate(grids[:, None], size, mode="bilinear", align_corners=False)[:, 0]
