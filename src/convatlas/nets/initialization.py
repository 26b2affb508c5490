"""Random weights that a net can be trained from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def initialize(net: nn.Module, seed: int) -> None:
    """Fills every parameter and buffer of `net` as each module's `reset_parameters` says.

    One seed, one net; the global generator is left alone.
    """
    _reset(net.modules(), seed)


def fill(net: nn.Module, weights: Mapping[str, Tensor], seed: int) -> None:
    """Puts `weights` into a net on the meta device, without a copy; modules that lack any start at random.

    Constants that belong to no file (persistent=False) are made as well.
    """
    incomplete = []
    for path, module in net.named_modules():
        prefix = f"{path}." if path else ""
        names = [*module._parameters, *module._buffers]
        if any(f"{prefix}{name}" not in weights for name in names):
            module.to_empty(device="cpu", recurse=False)
            incomplete.append(module)
    _reset(incomplete, seed)
    net.load_state_dict(weights, strict=False, assign=True)


def _reset(modules: Iterable[nn.Module], seed: int) -> None:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in modules:
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
