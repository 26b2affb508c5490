"""Map between the keys of another library's state_dicts and ours, layer by layer.

A rule is a regular expression for our layer's path, and the other library's name, or a function that makes it from the
matched groups. Groups of digits are passed as integers, because most libraries count from 0 and we from 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convatlas.base.errors import WeightsError

Names = Iterable[tuple[str, str]]
"""Pairs (their name, our name) of every layer with weights."""

Rule = tuple[str, str | Callable[..., str]]
"""(regular expression for our path, their name or a function from its groups to their name)."""

PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
"""Tensors of a layer, in the order of other libraries' state_dicts."""

BARE = ("layer_scale", "gamma")
"""Endings of their names that are names of parameters, to which no ".weight" is added."""


def layer_paths(net: nn.Module) -> list[str]:
    """Paths of all layers with entries in the state_dict, in its order."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in net.state_dict()))


def name_pairs(net: nn.Module, rules: Sequence[Rule]) -> Iterator[tuple[str, str]]:
    """Yield (their name, our path) of all layers, by the first rule that matches the whole path.

    Raises:
        WeightsError: No rule matches a layer: the library has no such layer.
    """
    for path in layer_paths(net):
        for pattern, their in rules:
            if match := re.fullmatch(pattern, path):
                groups = [int(part) if part.isdecimal() else part for part in match.groups()]
                yield their if isinstance(their, str) else their(*groups), path
                break
        else:
            raise WeightsError(f"the published net has no layer like our {path}")


@dataclass(frozen=True)
class Renamed:
    """A file's tensors under our names.

    Attributes:
        tensors: The tensors, in our shapes.
        keys: The file's name of each of them, and the library's name of each that the file lacks, by our name.
    """

    tensors: dict[str, Tensor]
    keys: Mapping[str, str]


def to_ours(
    state: Mapping[str, Tensor], current: Mapping[str, str], names: Names, expected: Mapping[str, Tensor]
) -> Renamed:
    """Return a file's tensors under our names and in our shapes.

    Shapes may differ by flattening only: a matrix for a kernel of 1 x 1, a vector for a column of numbers.
    A tensor without a pair in `names` keeps its name, so that `check_fit` refuses it.

    Args:
        state: The tensors by their names in the file.
        current: The library's current name for each name in the file; others are skipped.
        names: The library's name and ours of each layer.
        expected: Our net's state_dict.
    """
    known = dict(names)
    ours = {our: their for their, our in known.items()}
    keys = {name: _key(ours, name) for name in expected}
    tensors = {}
    for key, name in current.items():
        layer, _, part = name.rpartition(".")
        our = f"{known[layer]}.{part}" if layer in known else f"{known[name]}.weight" if name in known else name
        tensor, keys[our] = state[key], key
        flattens = our in expected and _differs_by_flattening(tensor, expected[our])
        tensors[our] = tensor.reshape(expected[our].shape) if flattens else tensor
    return Renamed(tensors, keys)


def _key(ours: Mapping[str, str], name: str) -> str:
    """Return the library's name of one of our weights."""
    layer, _, part = name.rpartition(".")
    their = ours.get(layer)
    return name if their is None else their if their.endswith(BARE) else f"{their}.{part}"


def _differs_by_flattening(tensor: Tensor, expected: Tensor) -> bool:
    # Kernels of as many axes are never reshaped: 1 x 7 would become 7 x 1.
    if tensor.dim() == expected.dim() or tensor.dim() == 0 or expected.dim() == 0:
        return False
    return len(tensor) == len(expected) and tensor.numel() == expected.numel()


def to_theirs(net: nn.Module, names: Names, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return copies of the net's tensors under their names, in the order of `names`.

    `shapes` maps regular expressions for their names to shapes without the first axis, in which -1 is the side of a
    square map; () flattens all axes after the first.
    """
    state, tensors = net.state_dict(), {}
    for their, our in names:
        for part in PARTS:
            if (tensor := state.get(f"{our}.{part}")) is not None:
                name = their if their.endswith(BARE) else f"{their}.{part}"
                shaped = _reshaped(name, tensor, shapes).detach().cpu()
                tensors[name] = shaped.clone(memory_format=torch.contiguous_format)
    return tensors


def _reshaped(name: str, tensor: Tensor, shapes: Mapping[str, Sequence[int]]) -> Tensor:
    for pattern, shape in shapes.items():
        if re.fullmatch(pattern, name):
            if -1 in shape:
                side = math.isqrt(tensor[0].numel() // shape[0])
                shape = [side if length == -1 else length for length in shape]
            return tensor.reshape(len(tensor), *shape) if shape else tensor.flatten(1)
    return tensor
