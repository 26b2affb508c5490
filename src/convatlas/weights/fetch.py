"""Download published weights before they are used."""

from __future__ import annotations

from pathlib import Path

from convatlas.catalogue.cards import find_card
from convatlas.weights.cache import load_converted
from convatlas.weights.listing import local_path
from convatlas.weights.registry import choose


def fetch(net: str, *, weights: str | None = None) -> Path:
    """Download, verify and convert published weights, so that `load` needs no network.

    Args:
        net: Name of the net, as in `list_nets()`, or as published.
        weights: Name of the weights, as in `load`; the net's default weights if None.

    Returns:
        Path of the converted file, which `load` also takes.

    Raises:
        UnknownName: No such net.
        WeightsError: The net has no such weights, or the file is damaged.
        StoreError: The file could not be downloaded; the text says where to put it by hand.
    """
    card = find_card(net)
    row = choose(card, weights)
    load_converted(row, card)
    return local_path(row)
