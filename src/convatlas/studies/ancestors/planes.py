"""What cells learned: the piece of a photo that excites each plane most, and the weights of single cells."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.genes.fukushima import CognitronCells
from convatlas.nets.families.cognitron import Cognitron
from convatlas.nets.families.neocognitron import Neocognitron

COLUMNS = 12

FIELDS = {"s1": (2, 0), "s2": (6, 4)}
"""For S-layers whose cells see a part of the photo: pixels on each side of a cell's centre, and the first centre."""


@torch.no_grad()
def favourites(net: Neocognitron, photos: Tensor) -> dict[str, list[list[Tensor]]]:
    """For each S-layer, rows of pictures: the piece of the photos (N, 1, 16, 16) that excites each plane most.

    A plane that never fires is shown black. Cells of the last layer see the whole photo.
    """
    shown = {}
    for name, u in net.outputs(photos).items():
        if name not in ("s1", "s2", "s3"):
            continue
        pieces = []
        for plane in u.unbind(1):  # (N, H, W)
            half, first = FIELDS.get(name, (0, 0))
            number, row, column = (int(axis) for axis in np.unravel_index(int(plane.argmax()), plane.shape))
            if name in FIELDS:
                padded = F.pad(photos[number, 0], (half,) * 4)
                top, left = row + first, column + first
                piece = padded[top : top + 2 * half + 1, left : left + 2 * half + 1]
            else:
                piece = photos[number, 0]
            pieces.append(piece if plane.max() > 0 else torch.zeros_like(piece))
        shown[name] = [pieces[start : start + COLUMNS] for start in range(0, len(pieces), COLUMNS)]
    return shown


def learned_weights(net: Cognitron) -> list[list[Tensor]]:
    """Rows of pictures: the weights (5, 5) of each cell of the first layer, relative to its largest, in its place."""
    cells = net.get_submodule("layer1.cells")
    assert isinstance(cells, CognitronCells)
    weights = cells.weight.detach().reshape(*cells.grid, cells.kernel, cells.kernel)
    return [[picture / picture.max().clamp_min(1e-12) for picture in row] for row in weights]
