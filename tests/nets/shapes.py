"""Small patterns to learn from: bars and rings at random places, and the stroke patterns of Fukushima's simulations."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

# The digits and letters as lines on 16 x 16 pixels.
STROKES = {
    "0": [[(6, 2), (9, 2), (11, 5), (11, 9), (9, 12), (6, 12), (4, 9), (4, 5), (6, 2)]],
    "1": [[(5, 4), (8, 2), (8, 12)]],
    "2": [[(4, 4), (6, 2), (9, 2), (11, 4), (11, 6), (4, 12), (11, 12)]],
    "3": [[(4, 2), (11, 2), (7, 6), (10, 7), (11, 9), (10, 12), (6, 12), (4, 10)]],
    "4": [[(9, 12), (9, 2), (3, 9), (12, 9)]],
    "X": [[(3, 2), (12, 12)], [(12, 2), (3, 12)]],
    "Y": [[(3, 2), (8, 7), (8, 12)], [(12, 2), (8, 7)]],
    "T": [[(3, 2), (12, 2)], [(8, 2), (8, 12)]],
    "Z": [[(3, 2), (12, 2), (3, 12), (12, 12)]],
}


def strokes(names: str, size: int = 16, right: int = 0, down: int = 0) -> Tensor:
    """The patterns called `names`, one pixel thin, moved; (N, 1, size, size), 0 or 1."""
    drawn = []
    for name in names:
        image = Image.new("L", (size, size))
        for line in STROKES[name]:
            moved = [(x + (size - 16) // 2 + right, y + (size - 15) // 2 + down) for x, y in line]
            ImageDraw.Draw(image).line(moved, fill=255)
        drawn.append(pil_to_tensor(image).float() / 255)
    return torch.stack(drawn)


def bars_and_rings(count: int, size: int, channels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`count` photos (N, channels, size, size) of a lying bar, a standing bar or a ring, and which of them (N,)."""
    generator = torch.Generator().manual_seed(seed)
    x, labels = torch.zeros(count, 1, size, size), torch.arange(count) % 3
    for number, label in enumerate(labels.tolist()):
        row, column = torch.randint(4, size - 4, (2,), generator=generator).tolist()
        if label == 0:
            x[number, 0, row - 1 : row + 1, 2:-2] = 1
        elif label == 1:
            x[number, 0, 2:-2, column - 1 : column + 1] = 1
        else:
            x[number, 0, row - 3 : row + 4, column - 3 : column + 4] = 1
            x[number, 0, row - 1 : row + 2, column - 1 : column + 2] = 0
    return x.expand(-1, channels, -1, -1), labels
