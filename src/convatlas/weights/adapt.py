"""Published weights for nets with other inputs or another head than they were published for.

The shapes that the net wants `before` and those of the `wanted` one say which weights that concerns.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import torch
from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.nets.net import Net

CLASSIFIER = "head.dense"
"""The last layer of every net whose weights others published."""


def for_classes(
    weights: Mapping[str, Tensor], before: Mapping[str, Tensor], wanted: Mapping[str, Tensor], net: str
) -> dict[str, Tensor]:
    """All weights but those whose shapes depend on the number of classes: they start anew.

    Raises:
        WeightsError: The net has none; the text names it.
    """
    anew = {name for name, tensor in wanted.items() if tensor.shape != before[name].shape}
    if not anew:
        raise WeightsError(f"{net} keeps its classes: its last layer has no weights that could start anew for others")
    return {name: tensor for name, tensor in weights.items() if name not in anew}


def embedding(net: Net, names: Container[str]) -> list[str]:
    """The modules of the head in front of the last layer, or in front of the first one whose weights have no name.

    Raises:
        WeightsError: There is no last layer.
    """
    parts = [(name, list(module.state_dict())) for name, module in net.head.named_children()]
    last = next((name for name, keys in reversed(parts) if keys), None)
    if last is None:
        raise WeightsError(f"{net.card.name} has no last layer that could be cut off")
    kept = []
    for name, keys in parts:
        if name == last or any(f"head.{name}.{key}" not in names for key in keys):
            break
        kept.append(name)
    return kept


def for_channels(
    weights: Mapping[str, Tensor], before: Mapping[str, Tensor], wanted: Mapping[str, Tensor], net: str, channels: int
) -> dict[str, Tensor]:
    """The weights for photos of so many channels; what reads the photo itself is adapted.

    The first convolution's kernels are summed for one channel (a grey photo then gives what its three equal channels
    gave), and repeated in turn for more, scaled so that the sum over the channels keeps its size (as timm does). Its
    own statistics of photos are averaged, or repeated.

    Raises:
        WeightsError: Other weights depend on the channels too; the text names net and weights.
    """
    found = dict(weights)
    for name in weights:
        old, new = before[name].shape, wanted[name].shape
        if old == new:
            continue
        kernels = len(old) == 4 and new == (old[0], channels, *old[2:])
        if not kernels and (len(old), new) != (1, (channels,)):
            raise WeightsError(
                f"{net} keeps its channels: {name} has weights for each pixel, and no kernels that could be adapted"
            )
        found[name] = _adapted(weights[name], channels)
    return found


def _adapted(tensor: Tensor, channels: int) -> Tensor:
    axis = 1 if tensor.dim() == 4 else 0
    before = tensor.shape[axis]
    if channels == 1:
        return tensor.sum(1, keepdim=True) if tensor.dim() == 4 else tensor.mean(0, keepdim=True)
    chosen = tensor.index_select(axis, torch.arange(channels) % before)
    return chosen * (before / channels) if tensor.dim() == 4 else chosen
