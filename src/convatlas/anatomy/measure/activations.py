"""The values of a net's layers for an input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from convatlas.anatomy.measure.find import find
from convatlas.anatomy.measure.tracer import Operation, trace
from convatlas.base.errors import unknown


def activations(net: nn.Module, x: Tensor, layers: Iterable[str | int] | None = None) -> dict[str | int, Tensor]:
    """Return the outputs of layers for an input, as the layers gave them, even if something is written there later.

    The net runs in evaluation mode, without gradients, and is not changed.

    Args:
        net: Any module.
        x: Its input, (N, C, H, W) for photos, on the device of its weights.
        layers: Names as in `measure(net).layers`, of layers or of modules that hold them (their last layer counts), or
            numbers from 1; all layers by default.

    Returns:
        For each of `layers` as it was asked for, or for each number, the layer's output; the first one if it has more.

    Raises:
        UnknownName: There is no such layer.
    """
    if layers is None:
        return {number: operation.outputs[0] for number, operation in enumerate(trace(net, x, keep="values"), 1)}
    operations = trace(net, x)
    numbers = {layer: _number(operations, layer) for layer in layers}
    kept = trace(net, x, keep="values", only=set(numbers.values()))
    return {layer: kept[number].outputs[0] for layer, number in numbers.items()}


def _number(operations: Sequence[Operation], layer: str | int) -> int:
    if isinstance(layer, str):
        return find(operations, layer, lambda operation: True, "layer")[0]
    if not 1 <= layer <= len(operations):
        raise unknown("layer", str(layer), map(str, range(1, len(operations) + 1)))
    return layer - 1
