"""Random weights that a net can be trained from, and given ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.genes.sparse_connections import LinkedConvolution

if TYPE_CHECKING:
    from convatlas.nets.net import Net


def initialize(net: Net, seed: int) -> None:
    """Gives every parameter and buffer of `net` memory on the CPU, if it has none, and the numbers it starts with.

    One seed, one net; the global generator is left alone.

    Raises:
        ConvAtlasError: A seed that is none.
    """
    _begin(net, net.modules(), seed)


def assign(net: Net, weights: Mapping[str, Tensor], seed: int) -> None:
    """Puts `weights` into a net on the meta device, without a copy; modules that lack any start at random.

    Constants that belong to no file (persistent=False) are made as well.
    """
    incomplete = []
    for path, module in net.named_modules():
        prefix = f"{path}." if path else ""
        if any(f"{prefix}{name}" not in weights for name in (*module._parameters, *module._buffers)):
            incomplete.append(module)
    _begin(net, incomplete, seed)
    net.load_state_dict(weights, strict=False, assign=True)


def _begin(net: Net, modules: Iterable[nn.Module], seed: int) -> None:
    if not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ConvAtlasError(f"a seed is a whole number from 0 to 2^64 - 1; got {seed!r}")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in modules:
            for name, weight in module._parameters.items():
                if weight is not None and weight.is_meta:
                    module._parameters[name] = nn.Parameter(_empty(weight), weight.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_meta:
                    module._buffers[name] = _empty(buffer)
            net.fill(module)


def _empty(tensor: Tensor) -> Tensor:
    # `empty_like` of a tensor on the meta device, and so `to_empty`, takes ten times as long.
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")


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
