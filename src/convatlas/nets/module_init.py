"""Rules by which families initialize a module's weights."""

from __future__ import annotations

import torch
from torch import nn

from convatlas.genes.sparse_connections import LinkedConvolution


def init_module(module: nn.Module) -> None:
    """Initialize the weights by the module's own rule, its `reset_parameters`."""
    if callable(reset := getattr(module, "reset_parameters", None)):
        reset()


def init_by_fan_in(module: nn.Module) -> None:
    """Draw convolutions and dense layers uniformly in ±2.4 / fan-in (LeCun et al. 1998, appendix A), others as usual.

    The fan-in counts the connections of a unit without its bias; biases are drawn like weights.
    """
    init_module(module)
    if not isinstance(module, LinkedConvolution | nn.Conv2d | nn.Linear):
        return
    bound = 2.4 / module.weight[0].numel()
    for tensor in (module.weight, module.bias):
        if tensor is not None:
            nn.init.uniform_(tensor, -bound, bound)
    if isinstance(module, LinkedConvolution):
        fan_in = torch.tensor([len(inputs) for inputs in module.links])
        module.weight.div_(fan_in.repeat_interleave(fan_in)[:, None, None])
        if module.bias is not None:
            module.bias.div_(fan_in)
