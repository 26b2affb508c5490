"""Published weights, converted once and kept as files of our own, which load without a copy."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.base.locking import locked, unusable
from convatlas.catalogue.cards import find
from convatlas.catalogue.lineages import Weights
from convatlas.nets.build import skeleton
from convatlas.weights import native
from convatlas.weights.lineage import lineage
from convatlas.weights.lineages import bundled
from convatlas.weights.lineages.registry import origin
from convatlas.weights.listing import kept
from convatlas.weights.state_io import finite, fits


def converted(row: Weights) -> tuple[dict[str, Tensor], native.Description]:
    """The tensors of published weights under our names, and their description.

    Raises:
        WeightsError: The file is damaged, or is not what the catalogue says.
        StoreError: It is not on this machine and could not be downloaded, or not be kept.
    """
    if row.origin == "own":
        return bundled.opened(row)
    path = kept(row)
    if (found := _read(path, row)) is not None:
        return found
    with locked(path):
        if (found := _read(path, row)) is not None:
            return found
        tensors, described = convert(row, origin(row.origin).file(row))
        try:
            native.write(tensors, described, path)
        except OSError as error:
            raise unusable(path, error) from None
    return native.read(path)[0], described


def convert(row: Weights, file: Path) -> tuple[dict[str, Tensor], native.Description]:
    """The tensors of a file of the origin under our names, checked, and their description."""
    card, source = find(row.net), origin(row.origin)
    net = skeleton(card.name, classes=row.outputs or None, variant=source.variant(row))
    tensors = source.tensors(file, net)
    title = f"the {row.name} weights of {card.name}"
    fits(tensors, net.state_dict(), title, headless=row.outputs == 0)
    return finite(tensors, title), _description(row)


def _description(row: Weights) -> native.Description:
    card = find(row.net)
    return native.Description(card.name, row.name, {}, row.outputs, card.input[2], card.input[:2], lineage(row))


def _read(path: Path, row: Weights) -> tuple[dict[str, Tensor], native.Description] | None:
    """What was kept; None if nothing was, or it is of another file, or damaged."""
    if not path.is_file():
        return None
    try:
        tensors, described = native.read(path)
    except WeightsError:
        return None
    if described is None or described != _description(row):
        return None
    return tensors, described
