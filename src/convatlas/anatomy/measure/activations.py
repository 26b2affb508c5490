"""Compute the outputs of a net's layers for an input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from convatlas.anatomy.measure.find import find
from convatlas.anatomy.measure.tracing.calls import Operation
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.base.errors import unknown


def activations(net: nn.Module, x: Tensor, layers: Iterable[str | int] | None = None) -> dict[str | int, Tensor]:
    """Compute the outputs of layers for an input, as they were before any later in-place operation.

    The net runs in evaluation mode, without gradients, and is not changed.

    Args:
        net: Any module.
        x: Its input, (N, C, H, W) for photos, on the device of its weights.
        layers: Numbers of layers from 1, or names as in `measure(net).layers`; the name of a module stands for its last
            layer. By default all layers, by number.

    Returns:
        The output of each layer, by the name or number in `layers`; the first output of a layer that has several.

    Raises:
        UnknownName: No such layer.
    """
    if layers is None:
        return {number: operation.outputs[0] for number, operation in enumerate(trace(net, x, keep="values"), 1)}
    operations = trace(net, x)
    indices = {layer: _index(operations, layer) for layer in layers}
    kept = trace(net, x, keep="values", only=set(indices.values()))
    return {layer: kept[index].outputs[0] for layer, index in indices.items()}


def _index(operations: Sequence[Operation], layer: str | int) -> int:
    """Index of a layer's operation, from 0."""
    if isinstance(layer, str):
        return find(operations, layer, lambda operation: True, "layer")[0]
    if not 1 <= layer <= len(operations):
        raise unknown("layer", str(layer), map(str, range(1, len(operations) + 1)))
    return layer - 1
