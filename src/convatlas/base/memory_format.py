"""How weights lie in memory."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn


def channels_innermost(net: nn.Module) -> None:
    """Lays out all weights of four dimensions so; PyTorch's own way refuses nets that have any of five."""
    for weight in chain(net.parameters(), net.buffers()):
        if weight.ndim == 4:
            weight.data = weight.data.to(memory_format=torch.channels_last)
