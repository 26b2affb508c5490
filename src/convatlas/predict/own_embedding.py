"""Remove the last layer of a user's own net, so that it gives an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.anatomy.measure.shape_trace import net_name
from convatlas.base.errors import ConvAtlasError
from convatlas.weights.lineage import Lineage


def without_last_layer(net: nn.Module, lineage: Lineage) -> nn.Module:
    """Replace the last layer with weights by the identity, if the net's output is that layer's; return the net.

    Raises:
        ConvAtlasError: The output is not that of a layer with weights.
    """
    outputs: list[tuple[str, Tensor]] = []
    handles = [
        module.register_forward_hook(
            lambda module, inputs, y, name=name: outputs.append((name, y)) if isinstance(y, Tensor) else None
        )
        for name, module in net.named_modules()
        if name and not list(module.children()) and list(module.parameters())
    ]
    preprocessing = lineage.preprocessing
    try:
        with torch.inference_mode():
            y = net.eval()(torch.zeros(1, preprocessing.channels, *preprocessing.size))
    finally:
        for handle in handles:
            handle.remove()
    if not outputs or outputs[-1][1] is not y:
        raise ConvAtlasError(f"{net_name(net)} does not end in a layer with weights, so it has no embedding")
    net.set_submodule(outputs[-1][0], nn.Identity())
    return net
