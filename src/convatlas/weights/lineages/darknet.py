"""Darknet's weight files, read and written to the byte.

A file is a header and then nothing but little-endian float32. The header has three int32, the version's major, minor
and revision, and the number of photos the net was trained on: uint64 from version 0.2 on, int32 before. The layers
follow in the net's order: a convolution's biases, then, if it is normalized, gamma, mean and variance (its biases are
beta), then the weights (outputs, inputs, height, width); a dense layer's biases and weights (outputs, inputs), or
(inputs, outputs) where major or minor exceeds 1000, and its normalization last; a locally connected layer's biases
(outputs, rows, columns) and weights (positions, outputs, inputs, height, width).

Source: darknet, `parser.c`. Files that hold the first layers only are named after where darknet cut them:
`darknet53.conv.74`.
"""

from __future__ import annotations

import copy
import os
import re
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import WeightsError
from convatlas.base.store import Remote, fetch
from convatlas.catalogue.lineages import Weights
from convatlas.genes.local import LocallyConnected
from convatlas.nets.families.darknet import Darknet
from convatlas.nets.net import Net
from convatlas.weights.state_io import COUNTER

# As one of the origins.


def variant(weights: Weights) -> Mapping[str, object]:
    """Nothing: our nets of darknet's are its own."""
    return {}


def file(weights: Weights) -> Path:
    """The file, downloaded and verified."""
    return fetch(Remote(weights.address, weights.file, weights.hash))


def tensors(file: Path, net: Net) -> dict[str, Tensor]:
    """The tensors of a whole file by our names."""
    filled = copy.deepcopy(net).to_empty(device="cpu")
    header = read(file, filled)
    count = len(layers(filled))
    if header.layers != count:
        raise WeightsError(
            f"{file.name} holds the first {header.layers} of {count} layers of {net.card.name}: a start for training; "
            "fill a net that you built with convatlas.weights.lineages.darknet.read"
        )
    return {name: tensor for name, tensor in filled.state_dict().items() if not name.endswith(COUNTER)}


def save(net: Net, file: Path) -> None:
    """Writes the `.weights` file that darknet reads."""
    write(net, file)


CUT = re.compile(r"\.conv\.\d+$", re.IGNORECASE)
"""What the name of a file that may end early ends in."""

FLOATS = np.dtype("<f4")


@dataclass(frozen=True)
class Header:
    """What stands before the weights.

    Attributes:
        major: Of the version; it and `minor` say how the rest is laid out.
        minor: Of the version.
        revision: Of the version.
        seen: Photos that the net was trained on.
        layers: How many of the net's layers a file that was read holds; None for a header made by hand.
    """

    major: int = 0
    minor: int = 2
    revision: int = 0
    seen: int = 0
    layers: int | None = field(default=None, compare=False)

    @property
    def layout(self) -> str:
        """As the module `struct` writes it."""
        wide = self.major * 10 + self.minor >= 2 and self.major < 1000 and self.minor < 1000
        return "<3iQ" if wide else "<4i"

    @property
    def turned(self) -> bool:
        """Whether dense layers are stored (inputs, outputs)."""
        return self.major > 1000 or self.minor > 1000


@dataclass(frozen=True)
class Layer:
    """One layer of a net as a file holds it: its arrays by name, in order; the weights of some may be `turned`."""

    name: str
    arrays: dict[str, Tensor]
    turns: bool


def read(path: str | Path, net: nn.Module) -> Header:
    """Fills `net` from a file; one named `*.conv.N` may end early, and fills the first layers alone.

    Returns:
        The header; its `layers` says how many layers were filled.

    Raises:
        WeightsError: There is no such file, it does not fit the net, or it holds what is no weight (not a number, a
            negative variance). The net is then as it was.
    """
    name, found = repr(str(path)), layers(net)
    ends = list(accumulate(sum(tensor.numel() for tensor in layer.arrays.values()) for layer in found))
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise WeightsError(f"{name} is not an ordinary file, so it holds no weights")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _header(file.read(20), name)
            numbers, rest = divmod(size - struct.calcsize(header.layout), 4)
            count = ends.index(numbers) + 1 if numbers in ends and not rest else 0
            if not count or (count < len(found) and not CUT.search(str(path))):
                raise WeightsError(_misfit(name, numbers + rest / 4, ends[-1], count, len(found)))
            file.seek(struct.calcsize(header.layout))
            values = np.fromfile(file, FLOATS, numbers).astype(np.float32, copy=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"the weights' file {name} cannot be read: {reason}") from None
    if values.size < numbers:
        raise WeightsError(f"{name} became shorter while it was read")
    filled, starts = found[:count], [0, *ends]
    parts = [_arrays(layer, values[start:], header) for layer, start in zip(filled, starts, strict=False)]
    for layer, arrays in zip(filled, parts, strict=True):
        _check(name, layer, arrays)
    with torch.no_grad():
        for layer, arrays in zip(filled, parts, strict=True):
            for what, tensor in layer.arrays.items():
                tensor.copy_(torch.from_numpy(arrays[what]))
    return Header(header.major, header.minor, header.revision, header.seen, count)


def write(net: nn.Module, path: str | Path, header: Header = Header()) -> None:
    """Writes the weights of `net` as a file that darknet reads; numbers of more than 32 bits are rounded.

    Raises:
        WeightsError: The net has layers that darknet's files have no place for, or the header's numbers no bytes.
    """
    try:
        parts = [struct.pack(header.layout, header.major, header.minor, header.revision, header.seen)]
    except struct.error as error:
        raise WeightsError(f"{header} cannot be written: {error}") from None
    for layer in layers(net):
        for what, tensor in layer.arrays.items():
            turned = tensor.T if what == "weight" and layer.turns and header.turned else tensor
            parts.append(turned.detach().cpu().to(torch.float32).contiguous().numpy().astype(FLOATS).tobytes())
    write_bytes(Path(path), b"".join(parts))


def layers(net: nn.Module) -> list[Layer]:
    """The layers of a net that own weights, in order, as a file holds them.

    Raises:
        WeightsError: One of them has no place in darknet's files.
    """
    found: list[tuple[str, nn.Module, nn.Module | None]] = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | LocallyConnected):
            found.append((name, module, None))
        elif isinstance(module, _BatchNorm) and module.running_mean is not None and found and found[-1][2] is None:
            found[-1] = *found[-1][:2], module
        elif any(True for _ in module.parameters(recurse=False)):
            raise WeightsError(f"darknet's files have no place for {name}, a {type(module).__name__}")
    return [_layer(net, *one) for one in found]


def _layer(net: nn.Module, name: str, module: nn.Module, norm: nn.Module | None) -> Layer:
    own = dict(module.named_parameters(recurse=False))
    # What stands in Darknet-53 for a dense layer is a 1 x 1 convolution there.
    dense = isinstance(module, nn.Linear) and not isinstance(net, Darknet)
    if ("bias" in own) == (norm is not None) or (norm is not None and isinstance(module, LocallyConnected)):
        has = "neither" if norm is None else "both"
        raise WeightsError(f"darknet's layers have a bias or are normalized; {name} has {has}")
    if norm is None:
        return Layer(name, {"bias": own["bias"], "weight": own["weight"]}, dense)
    beta: dict[str, Any] = {"beta": norm.bias}
    rest = {"gamma": norm.weight, "mean": norm.running_mean, "variance": norm.running_var}
    weight = {"weight": own["weight"]}
    return Layer(name, beta | weight | rest if dense else beta | rest | weight, dense)


def _header(start: bytes, name: str) -> Header:
    if len(start) >= 16:
        version = Header(*struct.unpack("<3i", start[:12]))
        if min(version.major, version.minor, version.revision) >= 0 and len(start) >= struct.calcsize(version.layout):
            seen = struct.unpack(version.layout, start[: struct.calcsize(version.layout)])[3]
            return Header(version.major, version.minor, version.revision, seen)
    raise WeightsError(f"{name} does not begin as darknet's weight files do")


def _misfit(name: str, numbers: float, wanted: int, count: int, layers: int) -> str:
    told = f"{name} does not fit the net: it holds {numbers:,.10g} numbers, and the net has {wanted:,}"
    return f"{told}; a file of the first {count} of {layers} layers is named *.conv.N" if count else told


def _arrays(layer: Layer, values: NDArray[np.float32], header: Header) -> dict[str, NDArray[np.float32]]:
    arrays, start = {}, 0
    for what, tensor in layer.arrays.items():
        part, shape = values[start : start + tensor.numel()], tuple(tensor.shape)
        turned = what == "weight" and layer.turns and header.turned
        arrays[what] = part.reshape(shape[::-1]).T if turned else part.reshape(shape)
        start += tensor.numel()
    return arrays


def _check(name: str, layer: Layer, arrays: dict[str, NDArray[np.float32]]) -> None:
    for what, array in arrays.items():
        if not np.isfinite(array).all():
            raise WeightsError(f"{name} is damaged: the {what} of {layer.name} holds what is no number")
        if what == "variance" and array.min() < 0:
            raise WeightsError(f"{name} is damaged: the variance of {layer.name} is negative")
