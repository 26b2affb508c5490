"""PyTorch's eager mode: runs the module itself; the other engines are checked against it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.engines.backend import Backend
from convatlas.engines.options import Options
from convatlas.engines.session import Float32Array

if TYPE_CHECKING:
    from torch import nn


class EagerMode:
    """Session of a net on the CPU, in evaluation mode; with `channels_last`, of a copy in that memory layout."""

    def __init__(self, net: nn.Module, channels_last: bool = False):
        import torch

        from convatlas.base.memory_format import to_channels_last

        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = net
        if channels_last:
            self.net = copy.deepcopy(net)
            to_channels_last(self.net)

    def __call__(self, x: Float32Array) -> Float32Array:
        import torch

        with torch.inference_mode():
            # A copy, since the net may change its input in place.
            own = torch.from_numpy(x).clone(memory_format=self.format)
            y: Float32Array = self.net(own).contiguous().numpy()
        return y


class EagerBackend(Backend):
    preparation = 0.0
    colour = "#bab0ac"

    def candidates(self, precision: str, batch: int, convolves: bool) -> list[Options]:
        """Options for both memory layouts if the net has convolutions, which channels last may make faster."""
        contiguous = Options(self.name, precision, batch)
        return [contiguous, Options(self.name, precision, batch, channels_last=True)] if convolves else [contiguous]

    def open(self, folder: Path, options: Options, net: nn.Module | None = None) -> EagerMode:
        if net is None:
            raise TypeError("eager mode runs the net itself")
        return EagerMode(net, options.channels_last)


BACKEND = EagerBackend()
