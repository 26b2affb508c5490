"""Random weights that a net can be trained from."""

from __future__ import annotations

import torch
from torch import nn


def initialize(net: nn.Module, seed: int) -> None:
    """Fills every parameter and buffer of `net` as each module's `reset_parameters` says.

    One seed, one net; the global generator is left alone.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in net.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
