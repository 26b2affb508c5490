"""Cache of published weights: converted once to our native format, then mapped into memory without a copy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.base.locking import locked_if_writable, unusable
from convatlas.base.store.sealed import seal, sealed_hash
from convatlas.catalogue.cards import Card
from convatlas.catalogue.lineages import Weights
from convatlas.nets.build import skeleton
from convatlas.weights import bundled
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import Misfit, check_fit, finite_float32
from convatlas.weights.lineage import lineage
from convatlas.weights.listing import local_path
from convatlas.weights.registry import origin


def load_converted(row: Weights, card: Card, *, again: bool = False) -> tuple[dict[str, Tensor], native.Description]:
    """Return the tensors of published weights under our names, and their description; download and convert if needed.

    Args:
        row: The weights.
        card: Their net.
        again: Whether to convert them even if a converted file is whole, because its layout is an older one.

    Raises:
        WeightsError: The file is damaged, or does not hold what the catalogue says.
        StoreError: The file could not be downloaded, or the store cannot be written to.
    """
    if origin(row.origin).bundled:
        return bundled.read(row)
    path = local_path(row)
    if not again and (cached := _read(path, row, card)) is not None:
        return cached
    with locked_if_writable(path) as writable:
        # Another process may have converted them while this one waited for the lock.
        if not again and (cached := _read(path, row, card)) is not None:
            return cached
        tensors, description = convert(row, card, origin(row.origin).file(row))
        if not writable:
            # A file that is on this machine is used all the same, converted each time.
            return tensors, description
        try:
            native.write(tensors, description, path)
            seal(path)
        except OSError as error:
            raise unusable(path, error) from None
    return native.read(path)[0], description


def convert(row: Weights, card: Card, file: Path) -> tuple[dict[str, Tensor], native.Description]:
    """Read a publisher's file: its tensors under our names, checked against the net, and their description."""
    source = origin(row.origin)
    net = skeleton(card, classes=row.outputs or None, variant=source.variant(row))
    renamed = source.renamed(source.opened(file), net)
    title = f"the {row.name} weights of {card.name}"
    check_fit(renamed.tensors, net.state_dict(), title, headless=row.outputs == 0, keys=renamed.keys)
    return finite_float32(renamed.tensors, title, renamed.keys), _description(row, card)


def is_outdated(tensors: Mapping[str, Tensor], row: Weights, card: Card) -> bool:
    """Whether a converted file has names or shapes of an earlier version, which are not those of the net."""
    source = origin(row.origin)
    net = skeleton(card, classes=row.outputs or None, variant=source.variant(row))
    try:
        check_fit(tensors, net.state_dict(), row.name, headless=row.outputs == 0)
    except Misfit:
        return not source.bundled
    return False


def _description(row: Weights, card: Card) -> native.Description:
    return native.Description(card.name, row.name, {}, row.outputs, card.input[2], card.input[:2], lineage(row))


def _read(path: Path, row: Weights, card: Card) -> tuple[dict[str, Tensor], native.Description] | None:
    """Read a cached file; None if it does not exist, belongs to other weights, or is damaged."""
    if not sealed_hash(path):
        return None
    try:
        tensors, description = native.read(path)
    except WeightsError:
        return None
    if description is None or description != _description(row, card):
        return None
    return tensors, description
