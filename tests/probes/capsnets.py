"""Small capsule nets with random weights."""

from __future__ import annotations

import torch

from convatlas.catalogue.cards import find_card
from convatlas.nets.families.capsnet import CapsNet
from convatlas.nets.families.capsnet import Config as CapsNetConfig
from convatlas.nets.families.matrix_capsnet import Config as MatrixConfig
from convatlas.nets.families.matrix_capsnet import MatrixCapsNet
from convatlas.nets.initialize import initialize
from convatlas.nets.net import Net

CLASSES = 4


def small_capsnet(seed: int = 0, **genes: object) -> CapsNet:
    """A CapsNet for 12 x 14 pixels: 3 types of primary capsules on a grid of 4 x 5."""
    row = CapsNetConfig(width=12, kernel=3, primary_size=4, class_size=6)
    with torch.device("meta"):
        net = CapsNet(row, CapsNet.default_genome(row).swapped("capsnet", genes), CLASSES, 1, (12, 14))
    return _ready(net, "capsnet", seed)


def small_matrix_capsnet(seed: int = 0) -> MatrixCapsNet:
    """A net of matrix capsules for 24 x 24 pixels: 3 types of children of the classes on a grid of 2 x 2."""
    row = MatrixConfig(4, 2, 3, 3)
    with torch.device("meta"):
        net = MatrixCapsNet(row, MatrixCapsNet.default_genome(row), CLASSES, 1, (24, 24))
    return _ready(net, "matrix_capsnet", seed)


def _ready(net: Net, card: str, seed: int) -> Net:
    initialize(net, seed)
    net.card = find_card(card)
    return net.eval().double()


def photo(height: int = 12, width: int = 14) -> torch.Tensor:
    return torch.rand(1, height, width, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
