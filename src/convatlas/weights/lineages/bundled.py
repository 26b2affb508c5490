"""Weights that come with convatlas itself: digit nets trained here, small enough for the wheel.

`training.shipping` writes them and their table, `catalogue/data/weights/own.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.catalogue.lineages import Weights
from convatlas.nets.net import Net
from convatlas.weights import native
from convatlas.weights.lineage import lineage
from convatlas.weights.listing import kept
from convatlas.weights.state_io import finite

LIMIT = 3_000_000
"""Bytes that all of them may have together."""


def opened(row: Weights) -> tuple[dict[str, Tensor], native.Description]:
    """The tensors and their description.

    Raises:
        WeightsError: The installed file is damaged, or not the one that the catalogue speaks of.
    """
    path = file(row)
    try:
        tensors, described = native.read(path)
        weights = finite(tensors, path.name)
    except WeightsError as error:
        raise WeightsError(f"{error}; reinstall convatlas") from None
    if described is None or described.lineage != lineage(row):
        raise WeightsError(f"{path} is not the file that belongs to this version; reinstall convatlas")
    return weights, described


def variant(weights: Weights) -> Mapping[str, object]:
    """Nothing: they are the cards' own nets."""
    return {}


def file(weights: Weights) -> Path:
    """The file in the installed package."""
    return kept(weights)


def tensors(file: Path, net: Net) -> dict[str, Tensor]:
    """The tensors of a file by our names."""
    return native.read(file)[0]


def save(net: Net, file: Path) -> None:
    """Writes a file of our own."""
    native.write(
        {name: tensor.detach().cpu().clone() for name, tensor in net.state_dict().items()}, native.describe(net), file
    )
