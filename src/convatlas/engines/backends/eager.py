"""PyTorch's eager mode: the net as it is; what every other engine is checked against."""

from __future__ import annotations

import copy

import torch
from torch import nn

from convatlas.base.memory_format import channels_innermost
from convatlas.engines.backends.session import Photos


class EagerMode:
    """A net on the CPU, in evaluation mode; with `channels_last` a copy of it, whose maps lie pixel by pixel."""

    def __init__(self, net: nn.Module, channels_last: bool = False):
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = net
        if channels_last:
            self.net = copy.deepcopy(net)
            channels_innermost(self.net)

    def __call__(self, x: Photos) -> Photos:
        with torch.inference_mode():
            found: Photos = self.net(torch.from_numpy(x).contiguous(memory_format=self.format)).contiguous().numpy()
        return found
