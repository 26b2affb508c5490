"""Convert a net's outputs to class probabilities, by the map that its card names. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from convatlas.engines.session import Float32Array

if TYPE_CHECKING:
    from torch import nn


def _softmax(y: Float32Array) -> Float32Array:
    exponentials = np.exp(y - y.max(1, keepdims=True))
    probabilities: Float32Array = exponentials / exponentials.sum(1, keepdims=True)
    return probabilities


def _halved(y: Float32Array) -> Float32Array:
    halves = ((1 + y) / 2).clip(0, 1)
    probabilities: Float32Array = halves / np.maximum(halves.sum(1, keepdims=True), np.float32(1e-12))
    return probabilities


MAPS: Mapping[str, Callable[[Float32Array], Float32Array]] = {
    "softmax": _softmax,
    "halved": _halved,
    "identity": lambda y: y,
}
"""Maps (N, classes) -> (N, classes) by the names explained at `Card.probabilities`."""

MAP_BY_OUTPUT = {"dense": "softmax", "rbf": "softmax", "squashed": "halved"}
"""Map for each output gene, which may differ from the card's map if the gene was swapped."""


def probability_map_of(net: nn.Module) -> str:
    """Name of the map from a net's outputs to probabilities, as `Card.probabilities`.

    It is "none" for an embedding, and empty for a net of the user if its weights do not name one.
    """
    from convatlas.nets.net import Net

    if not isinstance(net, Net):
        return str(getattr(getattr(net, "lineage", None), "probabilities", ""))
    return MAP_BY_OUTPUT.get(str(net.genome.output), net.card.probabilities) if net.classes else "none"
