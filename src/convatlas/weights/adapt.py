"""Adapt published weights to another number of classes or input channels, or to a net without its last layer.

`before` is the state_dict of the net as published, `after` that of the changed net: they differ in the shapes of the
weights to adapt.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import torch
from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.nets.net import Net

CLASSIFIER = "head.dense"
"""Path of the last layer in every net that has weights of another publisher."""


def adapt_to_classes(
    weights: Mapping[str, Tensor], before: Mapping[str, Tensor], after: Mapping[str, Tensor], net: str
) -> dict[str, Tensor]:
    """Return the weights whose shape does not depend on the number of classes, without the others.

    Raises:
        WeightsError: No weights depend on it; the text names the net.
    """
    changed = {name for name, tensor in after.items() if tensor.shape != before[name].shape}
    if not changed:
        raise WeightsError(f"{net} keeps its classes: its last layer has no weights that depend on their number")
    return {name: tensor for name, tensor in weights.items() if name not in changed}


def embedding_modules(net: Net, names: Container[str]) -> list[str]:
    """Return the names of the head's modules that give an embedding: all before the last layer that has weights.

    The list ends earlier, before the first module with weights that are not among `names`.

    Raises:
        WeightsError: The head has no layer with weights.
    """
    parts = [(name, list(module.state_dict())) for name, module in net.head.named_children()]
    last = next((name for name, keys in reversed(parts) if keys), None)
    if last is None:
        raise WeightsError(f"{net.card.name} has no last layer with weights that could be cut off")
    kept = []
    for name, keys in parts:
        if name == last or any(f"head.{name}.{key}" not in names for key in keys):
            break
        kept.append(name)
    return kept


def adapt_to_channels(
    weights: Mapping[str, Tensor], before: Mapping[str, Tensor], after: Mapping[str, Tensor], net: str, channels: int
) -> dict[str, Tensor]:
    """Return the weights for inputs with another number of channels.

    For one channel, the kernels of the first convolution are summed over the channels, so that a grey photo gives the
    same as three equal channels. For more channels they are repeated in turn and scaled by old / new channels, as timm
    does. The mean and variance of the photos are averaged, or repeated.

    Raises:
        WeightsError: Weights of another kind depend on the channels too; the text names the net and the weights.
    """
    adapted = dict(weights)
    for name in weights:
        old, new = before[name].shape, after[name].shape
        if old == new:
            continue
        is_kernel = len(old) == 4 and new == (old[0], channels, *old[2:])
        is_statistic = len(old) == 1 and new == (channels,)
        if not is_kernel and not is_statistic:
            raise WeightsError(
                f"{net} keeps its channels: {name} has weights for each pixel, not kernels that could be adapted"
            )
        adapted[name] = _adapted(weights[name], channels)
    return adapted


def _adapted(tensor: Tensor, channels: int) -> Tensor:
    axis = 1 if tensor.dim() == 4 else 0
    before = tensor.shape[axis]
    if channels == 1:
        return tensor.sum(1, keepdim=True) if tensor.dim() == 4 else tensor.mean(0, keepdim=True)
    repeated = tensor.index_select(axis, torch.arange(channels) % before)
    return repeated * (before / channels) if tensor.dim() == 4 else repeated
