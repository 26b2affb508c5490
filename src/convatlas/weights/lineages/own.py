"""Weights of digit nets that were trained with this package and are bundled with it.

The modules `bundle` of the studies write their files and their table, `catalogue/data/weights/own.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.catalogue.lineages import Weights
from convatlas.weights.listing import local_path
from convatlas.weights.origin import Origin, Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.nets.net import Net


SMALL: Mapping[str, Mapping[str, object]] = {"own/mnist_small": {"width": 16, "hidden": (64, 128)}}
"""Nets that are bundled with fewer channels and units than published, by the name of their weights."""


class Own(Origin):
    """The `own` lineage: native files inside the package."""

    pixels = {
        "lenet": Pixels(255.0, (0.1 / (1.175 + 0.1),), (1 / (1.175 + 0.1),), polarity="light on dark"),
        "unit": Pixels(255.0, (0.0,), (1.0,), polarity="light on dark"),
    }
    labels = {10: "digits"}
    bundled = True

    def variant(self, weights: Weights) -> Mapping[str, object]:
        return SMALL.get(weights.name, {})

    def file(self, weights: Weights) -> Path:
        return local_path(weights)

    def read(self, file: Path, net: Net) -> dict[str, Tensor]:
        from convatlas.weights.formats import native

        return native.read(file)[0]


ORIGIN = Own()
