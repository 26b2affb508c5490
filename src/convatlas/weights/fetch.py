"""Published weights, brought to this machine."""

from __future__ import annotations

from pathlib import Path

from convatlas.catalogue.cards import find
from convatlas.weights.cache import converted
from convatlas.weights.lineages.registry import choose
from convatlas.weights.listing import kept


def fetch(name: str, *, weights: str | None = None) -> Path:
    """Downloads published weights, verifies and converts them, so that `load` needs no network.

    Args:
        name: The net, as in `list_nets()`, or as published.
        weights: Which of its weights, as in `load`; its first if not said.

    Returns:
        The converted file, which `load` also takes by its path.

    Raises:
        UnknownName: No such net.
        WeightsError: It has no such weights, or the file is damaged.
        StoreError: The file could not be downloaded; the text says where to put it by hand.
    """
    row = choose(find(name), weights)
    converted(row)
    return kept(row)
