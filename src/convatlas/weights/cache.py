"""Cache of published weights: converted once, kept in our native format, loaded without a copy."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.base.locking import locked, unusable
from convatlas.catalogue.cards import find_card
from convatlas.catalogue.lineages import Weights
from convatlas.nets.build import skeleton
from convatlas.weights import bundled
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import check_fit, finite_float32
from convatlas.weights.lineage import lineage
from convatlas.weights.listing import local_path
from convatlas.weights.registry import origin


def load_converted(row: Weights) -> tuple[dict[str, Tensor], native.Description]:
    """Return the tensors of published weights under our names, and their description; convert them if need be.

    Raises:
        WeightsError: The file is damaged, or is not what the catalogue says.
        StoreError: It is not on this machine and could not be downloaded, or could not be kept.
    """
    if origin(row.origin).bundled:
        return bundled.read(row)
    path = local_path(row)
    if (cached := _read(path, row)) is not None:
        return cached
    with locked(path):
        # Another process may have converted them while this one waited.
        if (cached := _read(path, row)) is not None:
            return cached
        tensors, description = convert(row, origin(row.origin).file(row))
        try:
            native.write(tensors, description, path)
        except OSError as error:
            raise unusable(path, error) from None
    return native.read(path)[0], description


def convert(row: Weights, file: Path) -> tuple[dict[str, Tensor], native.Description]:
    """Read the origin's file: its tensors under our names, checked, and their description."""
    card, source = find_card(row.net), origin(row.origin)
    net = skeleton(card.name, classes=row.outputs or None, variant=source.variant(row))
    tensors = source.read(file, net)
    title = f"the {row.name} weights of {card.name}"
    check_fit(tensors, net.state_dict(), title, headless=row.outputs == 0)
    return finite_float32(tensors, title), _description(row)


def _description(row: Weights) -> native.Description:
    card = find_card(row.net)
    return native.Description(card.name, row.name, {}, row.outputs, card.input[2], card.input[:2], lineage(row))


def _read(path: Path, row: Weights) -> tuple[dict[str, Tensor], native.Description] | None:
    """Read a cached file; None if there is none, if it was made for other weights, or if it is damaged."""
    if not path.is_file():
        return None
    try:
        tensors, description = native.read(path)
    except WeightsError:
        return None
    if description is None or description != _description(row):
        return None
    return tensors, description
