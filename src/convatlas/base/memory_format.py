"""The order of a net's weights in memory."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn


def to_channels_last(net: nn.Module) -> None:
    """Store all four-dimensional weights channels last; `Module.to` refuses nets that have five-dimensional ones."""
    for weight in chain(net.parameters(), net.buffers()):
        if weight.ndim == 4:
            weight.data = weight.data.to(memory_format=torch.channels_last)
