"""Published weights for nets with other inputs, or another head, than they were published for.

The state_dicts of the net as published (`before`) and of the adapted one (`after`) show which weights change shape.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import torch
from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.nets.net import Net

CLASSIFIER = "head.dense"
"""Path of the last layer in every net whose weights others published."""


def adapt_to_classes(
    weights: Mapping[str, Tensor], before: Mapping[str, Tensor], after: Mapping[str, Tensor], net: str
) -> dict[str, Tensor]:
    """Return the weights that do not depend on the number of classes; all others start at random.

    Raises:
        WeightsError: None depend on it; the text names the net.
    """
    changed = {name for name, tensor in after.items() if tensor.shape != before[name].shape}
    if not changed:
        raise WeightsError(f"{net} keeps its classes: its last layer has no weights that depend on their number")
    return {name: tensor for name, tensor in weights.items() if name not in changed}


def embedding_modules(net: Net, names: Container[str]) -> list[str]:
    """Return the modules of the head to keep for an embedding: those before the last layer that owns weights.

    They end earlier where a module owns weights whose names are not among `names`.

    Raises:
        WeightsError: The head has no layer with weights.
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


def adapt_to_channels(
    weights: Mapping[str, Tensor], before: Mapping[str, Tensor], after: Mapping[str, Tensor], net: str, channels: int
) -> dict[str, Tensor]:
    """Return the weights for photos of another number of channels.

    The kernels of the first convolution are summed for one channel (a grey photo then gives what three equal channels
    gave). For more channels they are repeated in turn, and scaled so that the sum over the channels keeps its size (as
    timm does). Statistics of photos are averaged, or repeated.

    Raises:
        WeightsError: Other weights depend on the channels too; the text names net and weights.
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
                f"{net} keeps its channels: {name} has weights for each pixel, and no kernels that could be adapted"
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
