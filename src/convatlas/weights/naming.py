"""Between the names of a PyTorch file and ours, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

Names = Iterable[tuple[str, str]]
"""(their name, our name) of every layer with weights."""


def ours(found: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """A file's tensors under our names; what no pair names keeps its own, for whoever checks the keys to refuse."""
    known = dict(names)
    renamed = {}
    for name, tensor in found.items():
        layer, _, part = name.rpartition(".")
        renamed[f"{known[layer]}.{part}" if layer in known else name] = tensor
    return renamed


def theirs(net: nn.Module, names: Names) -> dict[str, Tensor]:
    """The net's tensors under their names, in their order, each in memory of its own."""
    state, found = net.state_dict(), {}
    for their, our in names:
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            if f"{our}.{part}" in state:
                found[f"{their}.{part}"] = (
                    state[f"{our}.{part}"].detach().cpu().clone(memory_format=torch.contiguous_format)
                )
    return found
