"""Published weights for nets with other inputs or another head than they were published for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

CLASSIFIER = "head.dense"
"""The last layer of every net whose weights others published."""


def without_classifier(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All but what belongs to another number of classes than the net has, which starts anew."""
    return {
        name: tensor
        for name, tensor in weights.items()
        if not (name.startswith("head.") and name in wanted and tensor.shape != wanted[name].shape)
    }


def for_channels(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """The weights for photos of so many channels; what reads the photo itself is adapted.

    The first convolution's kernels are summed for one channel (a grey photo then gives what its three equal channels
    gave), and repeated in turn for more, scaled so that the sum over the channels keeps its size (as timm does). Its
    own statistics of photos are averaged, or repeated.
    """
    return {
        name: _adapted(tensor, channels) if tensor.shape != wanted[name].shape else tensor
        for name, tensor in weights.items()
    }


def _adapted(tensor: Tensor, channels: int) -> Tensor:
    axis = 1 if tensor.dim() == 4 else 0
    before = tensor.shape[axis]
    if channels == 1:
        return tensor.sum(1, keepdim=True) if tensor.dim() == 4 else tensor.mean(0, keepdim=True)
    chosen = tensor.index_select(axis, torch.arange(channels) % before)
    return chosen * (before / channels) if tensor.dim() == 4 else chosen
