"""From what a net puts out to probabilities, by the map that its card names."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.nets.net import Net


def _halved(y: Tensor) -> Tensor:
    share = ((1 + y) / 2).clamp(0, 1)
    return share / share.sum(1, keepdim=True).clamp_min(1e-12)


MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda y: y.softmax(1),
    "halved": _halved,
    "identity": lambda y: y,
}
"""As `Card.probabilities` explains them; (N, classes), same shape."""

OUTPUTS = {"dense": "softmax", "rbf": "softmax", "squashed": "halved"}
"""Which map goes with an output gene, for nets where it was swapped."""


def probabilities(net: Net, y: Tensor) -> Tensor:
    """The probability of each class, of what `net` answered; (N, classes), same shape.

    Raises:
        ConvAtlasError: The net's outputs are no answers to which class it is.
    """
    name = OUTPUTS.get(str(net.genome.output), net.card.probabilities)
    if name not in MAPS:
        raise ConvAtlasError(f"{net.card.name} puts out {net.card.output_kind}, of which no probabilities can be made")
    return MAPS[name](y)
