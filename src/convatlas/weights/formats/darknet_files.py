"""Darknet's weight files, read and written byte for byte.

A file is a header followed by little-endian float32 only. The header has three int32, the version's major, minor and
revision, and the number of photos the net was trained on: uint64 from version 0.2 on, int32 before. The layers follow
in the net's order. A convolution has biases, weights (outputs, inputs, height, width), and, if it is normalized, gamma,
mean and variance between them; its biases are then beta. A dense layer has biases, weights (outputs, inputs), or
(inputs, outputs) if major or minor exceeds 1000, and its normalization last. A locally connected layer has biases
(outputs, rows, columns) and weights (positions, outputs, inputs, height, width).

Source: darknet, `parser.c`. A file with the first layers only is named after the layer where it ends:
`darknet53.conv.74`.
"""

from __future__ import annotations

import os
import re
import stat
import struct
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
from convatlas.genes.local import LocallyConnected
from convatlas.nets.families.darknet import Darknet

FLOATS = np.dtype("<f4")

PARTIAL = re.compile(r"\.conv\.\d+$", re.IGNORECASE)
"""Ending of the files that hold the first layers only."""


@dataclass(frozen=True)
class Header:
    """Header of a file.

    Attributes:
        major: Major version; it and `minor` say how the rest is laid out.
        minor: Minor version.
        revision: Revision.
        photos: Number of photos that the net was trained on.
        layers: Number of layers with weights in the file; None if the header was not read from a file.
    """

    major: int = 0
    minor: int = 2
    revision: int = 0
    photos: int = 0
    layers: int | None = field(default=None, compare=False)

    @property
    def layout(self) -> str:
        """Format string of the header for the module `struct`."""
        wide = self.major * 10 + self.minor >= 2 and self.major < 1000 and self.minor < 1000
        return "<3iQ" if wide else "<4i"

    @property
    def transposed(self) -> bool:
        """Whether dense layers are stored (inputs, outputs)."""
        return self.major > 1000 or self.minor > 1000


@dataclass(frozen=True)
class Layer:
    """A layer of a net as a file holds it.

    Attributes:
        name: Path of the layer in the net.
        arrays: Tensors of the net by the names of the file's arrays, in the order of the file.
        dense: Whether its weights are a matrix, which files of some versions hold transposed.
    """

    name: str
    arrays: dict[str, Tensor]
    dense: bool

    def transposed(self, array: str, header: Header) -> bool:
        """Whether a file with this header holds this array transposed."""
        return array == "weight" and self.dense and header.transposed


def read(path: str | Path, net: nn.Module) -> Header:
    """Load a file into `net`; a file named `*.conv.N` may hold the first layers only.

    Returns:
        The header; its `layers` is the number of layers that were loaded.

    Raises:
        WeightsError: There is no such file, it does not fit the net, or it holds numbers that are not finite, or
            negative variances. The net is then unchanged.
    """
    name, all_layers = repr(str(path)), layers(net)
    ends = list(accumulate(sum(tensor.numel() for tensor in layer.arrays.values()) for layer in all_layers))
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise WeightsError(f"{name} is not an ordinary file, so it holds no weights")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _header(file.read(20), name)
            numbers, rest = divmod(size - struct.calcsize(header.layout), 4)
            count = ends.index(numbers) + 1 if numbers in ends and not rest else 0
            if not count or (count < len(all_layers) and not PARTIAL.search(str(path))):
                raise WeightsError(_misfit(name, numbers + rest / 4, ends[-1], count, len(all_layers)))
            file.seek(struct.calcsize(header.layout))
            values = np.fromfile(file, FLOATS, numbers).astype(np.float32, copy=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"the weights' file {name} cannot be read: {reason}") from None
    if values.size < numbers:
        raise WeightsError(f"{name} became shorter while it was read")
    filled, starts = all_layers[:count], [0, *ends]
    parts = [_arrays(layer, values[start:], header) for layer, start in zip(filled, starts, strict=False)]
    for layer, arrays in zip(filled, parts, strict=True):
        _check(name, layer, arrays)
    with torch.no_grad():
        for layer, arrays in zip(filled, parts, strict=True):
            for key, tensor in layer.arrays.items():
                tensor.copy_(torch.from_numpy(arrays[key]))
    return Header(header.major, header.minor, header.revision, header.photos, count)


def write(net: nn.Module, path: str | Path, header: Header = Header()) -> None:
    """Write the weights of `net` as a file that darknet reads; numbers of more than 32 bits are rounded.

    Raises:
        WeightsError: Darknet's format has no place for one of the net's layers, or for the header's numbers.
    """
    try:
        parts = [struct.pack(header.layout, header.major, header.minor, header.revision, header.photos)]
    except struct.error as error:
        raise WeightsError(f"{header} cannot be written: {error}") from None
    for layer in layers(net):
        for key, tensor in layer.arrays.items():
            stored = tensor.T if layer.transposed(key, header) else tensor
            parts.append(stored.detach().cpu().to(torch.float32).contiguous().numpy().astype(FLOATS).tobytes())
    write_bytes(Path(path), b"".join(parts))


def layers(net: nn.Module) -> list[Layer]:
    """Layers of a net that have weights, in the order of a file.

    Raises:
        WeightsError: Darknet's format has no place for one of them.
    """
    # Convolutions and dense layers, each with the normalization that follows it.
    owners: list[tuple[str, nn.Module, nn.Module | None]] = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | LocallyConnected):
            owners.append((name, module, None))
        elif isinstance(module, _BatchNorm) and module.running_mean is not None and owners and owners[-1][2] is None:
            owners[-1] = *owners[-1][:2], module
        elif any(True for _ in module.parameters(recurse=False)):
            raise WeightsError(f"darknet's files have no place for {name}, a {type(module).__name__}")
    return [_layer(net, *owner) for owner in owners]


def _layer(net: nn.Module, name: str, module: nn.Module, norm: nn.Module | None) -> Layer:
    parameters = dict(module.named_parameters(recurse=False))
    # The last layer of Darknet-53, a dense layer in our net, is a 1 x 1 convolution in darknet.
    dense = isinstance(module, nn.Linear) and not isinstance(net, Darknet)
    has_bias, is_normalized = "bias" in parameters, norm is not None
    if has_bias == is_normalized or (is_normalized and isinstance(module, LocallyConnected)):
        has = "both" if is_normalized else "neither"
        raise WeightsError(f"darknet's layers have a bias or are normalized; {name} has {has}")
    if norm is None:
        return Layer(name, {"bias": parameters["bias"], "weight": parameters["weight"]}, dense)
    beta: dict[str, Any] = {"beta": norm.bias}
    rest = {"gamma": norm.weight, "mean": norm.running_mean, "variance": norm.running_var}
    weight = {"weight": parameters["weight"]}
    return Layer(name, beta | weight | rest if dense else beta | rest | weight, dense)


def _header(start: bytes, name: str) -> Header:
    if len(start) >= 16:
        version = Header(*struct.unpack("<3i", start[:12]))
        if min(version.major, version.minor, version.revision) >= 0 and len(start) >= struct.calcsize(version.layout):
            photos = struct.unpack(version.layout, start[: struct.calcsize(version.layout)])[3]
            return Header(version.major, version.minor, version.revision, photos)
    raise WeightsError(f"{name} does not begin as darknet's weight files do")


def _misfit(name: str, numbers: float, expected: int, count: int, layers: int) -> str:
    message = f"{name} does not fit the net: it holds {numbers:,.10g} numbers, and the net has {expected:,}"
    return f"{message}; a file of the first {count} of {layers} layers is named *.conv.N" if count else message


def _arrays(layer: Layer, values: NDArray[np.float32], header: Header) -> dict[str, NDArray[np.float32]]:
    arrays, start = {}, 0
    for key, tensor in layer.arrays.items():
        part, shape = values[start : start + tensor.numel()], tuple(tensor.shape)
        arrays[key] = part.reshape(shape[::-1]).T if layer.transposed(key, header) else part.reshape(shape)
        start += tensor.numel()
    return arrays


def _check(name: str, layer: Layer, arrays: dict[str, NDArray[np.float32]]) -> None:
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise WeightsError(f"{name} is damaged: the {key} of {layer.name} holds a number that is not finite")
        if key == "variance" and array.min() < 0:
            raise WeightsError(f"{name} is damaged: the variance of {layer.name} is negative")
