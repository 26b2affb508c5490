"""Fill a net on the meta device with random weights, or with given ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.nets.net import Net


def initialize(net: Net, seed: int) -> None:
    """Move `net` from the meta device to the CPU and draw all its weights.

    The same seed gives the same weights; PyTorch's global generator is left as it was.

    Raises:
        ConvAtlasError: An invalid seed.
    """
    _materialize(net, net.modules(), seed)


def assign(net: Net, weights: Mapping[str, Tensor], seed: int) -> None:
    """Assign `weights`, without a copy, to a net on the meta device; modules without all their weights are initialized.

    Constants that no file holds (persistent=False) are computed as well.
    """
    modules = {f"{path}." if path else "": module for path, module in net.named_modules()}
    incomplete = [
        module
        for prefix, module in modules.items()
        for tensors in (module._parameters, module._buffers)
        if any(tensor is not None and f"{prefix}{name}" not in weights for name, tensor in tensors.items())
    ]
    _materialize(net, dict.fromkeys(incomplete), seed)
    # `load_state_dict` takes ten times as long.
    for prefix, module in modules.items():
        for name, parameter in module._parameters.items():
            if parameter is not None and (weight := weights.get(prefix + name)) is not None:
                module._parameters[name] = nn.Parameter(weight, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None and (weight := weights.get(prefix + name)) is not None:
                module._buffers[name] = weight


def _materialize(net: Net, modules: Iterable[nn.Module], seed: int) -> None:
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
            net.init_weights(module)


def _empty(tensor: Tensor) -> Tensor:
    # `empty_like` of a tensor on the meta device, and therefore `to_empty`, takes ten times as long.
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
