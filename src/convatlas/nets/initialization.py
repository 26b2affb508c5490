"""Random weights that a net can be trained from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError


def initialize(net: nn.Module, seed: int) -> None:
    """Gives every parameter and buffer of `net` memory on the CPU, if it has none, and what `reset_parameters` says.

    One seed, one net; the global generator is left alone.

    Raises:
        ConvAtlasError: A seed that is none.
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ConvAtlasError(f"a seed is a whole number from 0 to 2^64 - 1; got {seed!r}")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in net.modules():
            for name, weight in module._parameters.items():
                if weight is not None and weight.is_meta:
                    module._parameters[name] = nn.Parameter(_empty(weight), weight.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_meta:
                    module._buffers[name] = _empty(buffer)
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()


def _empty(tensor: Tensor) -> Tensor:
    # `empty_like` of a tensor on the meta device, and so `to_empty`, takes ten times as long.
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
