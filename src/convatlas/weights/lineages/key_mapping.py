"""Between the names of a PyTorch file and ours, layer by layer.

An origin tells its names as rules: a pattern of our layer's path and what makes their name of its groups. Numbers among
the groups come as integers, for most others count from 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from convatlas.base.errors import WeightsError

Names = Iterable[tuple[str, str]]
"""(their name, our name) of every layer with weights."""

Rule = tuple[str, str | Callable[..., str]]
"""(pattern of our path, their name or what makes it of the groups)."""

PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def owners(net: nn.Module) -> list[str]:
    """The paths of all layers that a file holds something of, in the order in which the net was made."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in net.state_dict()))


def renamed(net: nn.Module, rules: Sequence[Rule]) -> Iterator[tuple[str, str]]:
    """The names by `rules`, of which each of our layers follows the first that matches all of its path.

    Raises:
        WeightsError: None does: the origin has no such layer.
    """
    for path in owners(net):
        for pattern, their in rules:
            if match := re.fullmatch(pattern, path):
                groups = [int(part) if part.isdecimal() else part for part in match.groups()]
                yield their if isinstance(their, str) else their(*groups), path
                break
        else:
            raise WeightsError(f"nothing like our layer {path} is in the published net")


def ours(found: Mapping[str, Tensor], names: Names, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors under our names, in our shapes where they differ by axes of length 1, or by a flattening.

    What no pair names keeps its name, for whoever checks the keys to refuse.
    """
    known = dict(names)
    given = {}
    for name, tensor in found.items():
        layer, _, part = name.rpartition(".")
        our = f"{known[layer]}.{part}" if layer in known else f"{known[name]}.weight" if name in known else name
        given[our] = tensor.reshape(wanted[our].shape) if our in wanted and _alike(tensor, wanted[our]) else tensor
    return given


def _alike(tensor: Tensor, wanted: Tensor) -> bool:
    return tensor.dim() > 0 and wanted.dim() > 0 and len(tensor) == len(wanted) and tensor.numel() == wanted.numel()


def theirs(net: nn.Module, names: Names, shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, Tensor]:
    """The net's tensors under their names, in their order, each in memory of its own.

    `shapes` ends the pattern of their weights' names: those that match have that shape after the first axis, in which
    -1 is the side of a square map.
    """
    state, found = net.state_dict(), {}
    for their, our in names:
        for part in PARTS:
            if (tensor := state.get(f"{our}.{part}")) is not None:
                whole = f"{their}.{part}" if not their.endswith(BARE) else their
                found[whole] = (
                    _shaped(whole, tensor, shapes or {}).detach().cpu().clone(memory_format=torch.contiguous_format)
                )
    return found


BARE = ("layer_scale", "gamma")
"""Names that are a parameter's own, not a layer's."""


def _shaped(name: str, tensor: Tensor, shapes: Mapping[str, Sequence[int]]) -> Tensor:
    for pattern, shape in shapes.items():
        if re.fullmatch(pattern, name):
            if -1 in shape:
                side = math.isqrt(tensor[0].numel() // shape[0])
                shape = [side if length == -1 else length for length in shape]
            return tensor.reshape(len(tensor), *shape) if shape else tensor.flatten(1)
    return tensor
