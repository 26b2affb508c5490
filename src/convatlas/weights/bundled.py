"""Read the weights that are bundled with the package, which are small enough for the wheel."""

from __future__ import annotations

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.catalogue.lineages import Weights
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import finite_float32
from convatlas.weights.lineage import lineage
from convatlas.weights.listing import local_path

MAX_BYTES = 3_000_000
"""Limit on the total size of all bundled files."""


def read(row: Weights) -> tuple[dict[str, Tensor], native.Description]:
    """Return the tensors of bundled weights, and their description.

    Raises:
        WeightsError: The installed file is damaged, or is not the one that the catalogue describes.
    """
    path = local_path(row)
    try:
        tensors, description = native.read(path)
        weights = finite_float32(tensors, path.name)
    except WeightsError as error:
        raise WeightsError(f"{error}; reinstall convatlas") from None
    if description is None or description.lineage != lineage(row):
        raise WeightsError(f"{path} is not the file that belongs to this version; reinstall convatlas")
    return weights, description
