"""Convert a net's outputs to probabilities, by the map that its card names."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.nets.net import Net


def _halved(y: Tensor) -> Tensor:
    halved = ((1 + y) / 2).clamp(0, 1)
    return halved / halved.sum(1, keepdim=True).clamp_min(1e-12)


MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda y: y.softmax(1),
    "halved": _halved,
    "identity": lambda y: y,
}
"""The maps explained at `Card.probabilities`; (N, classes), same shape."""

OUTPUTS = {"dense": "softmax", "rbf": "softmax", "squashed": "halved"}
"""Maps for nets whose output gene was swapped, by the gene."""


def probabilities(net: Net, y: Tensor) -> Tensor:
    """Probabilities of the classes from the outputs `y` of `net`; (N, classes), same shape.

    Raises:
        ConvAtlasError: The net's outputs do not score classes.
    """
    name = OUTPUTS.get(str(net.genome.output), net.card.probabilities)
    if name not in MAPS:
        raise ConvAtlasError(
            f"{net.card.name} puts out {net.card.output_kind}, which cannot be converted to probabilities"
        )
    return MAPS[name](y)
