"""Random weights that a net can be trained from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from convatlas.genes.links import LinkedConvolution

if TYPE_CHECKING:
    from convatlas.nets.net import Net


def initialize(net: Net, seed: int) -> None:
    """Fills every parameter and buffer of `net` as the net says, by default as each module's `reset_parameters` says.

    One seed, one net; the global generator is left alone.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in net.modules():
            net.fill(module)


def start(module: nn.Module) -> None:
    """What a module starts with by itself."""
    if callable(reset := getattr(module, "reset_parameters", None)):
        reset()


def start_by_fan_in(module: nn.Module) -> None:
    """As `start`, but convolutions and dense layers begin uniform in 2.4 / fan-in (LeCun et al. 1998, appendix A).

    The fan-in is the number of links into a unit, that of its bias aside; biases are drawn as the weights are.
    """
    start(module)
    if not isinstance(module, LinkedConvolution | nn.Conv2d | nn.Linear):
        return
    bound = 2.4 / module.weight[0].numel()
    for tensor in (module.weight, module.bias):
        if tensor is not None:
            nn.init.uniform_(tensor, -bound, bound)
    if isinstance(module, LinkedConvolution):
        links = torch.tensor([len(seen) for seen in module.links])
        module.weight.div_(links.repeat_interleave(links)[:, None, None])
        if module.bias is not None:
            module.bias.div_(links)
