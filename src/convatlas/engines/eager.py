"""PyTorch's eager mode: the net as it is; what every other engine is checked against."""

from __future__ import annotations

import torch
from torch import nn

from convatlas.engines.graph import still
from convatlas.engines.session import Photos


class EagerMode:
    """A net on the CPU, called as it is."""

    def __init__(self, net: nn.Module):
        self.net = net

    def __call__(self, x: Photos) -> Photos:
        with still(self.net), torch.inference_mode():
            found: Photos = self.net(torch.from_numpy(x)).numpy()
        return found
