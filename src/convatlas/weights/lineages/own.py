"""Weights of digit nets that were trained with this package and are bundled with it.

`studies.mnist_errors.bundle` writes their files and their table, `catalogue/data/weights/own.csv`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.catalogue.lineages import Weights
from convatlas.weights.listing import local_path
from convatlas.weights.origin import Origin, Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.nets.net import Net


class Own(Origin):
    """The `own` lineage: native files inside the package."""

    pixels = {
        "lenet": Pixels(255.0, (0.1 / (1.175 + 0.1),), (1 / (1.175 + 0.1),), polarity="light on dark"),
    }
    labels = {10: "digits"}
    bundled = True

    def file(self, weights: Weights) -> Path:
        return local_path(weights)

    def read(self, file: Path, net: Net) -> dict[str, Tensor]:
        from convatlas.weights.formats import native

        return native.read(file)[0]


ORIGIN = Own()
