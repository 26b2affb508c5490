"""Layers of a net in the order of Keras' files, each with the layout of its arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from math import prod

from torch import Tensor, nn

from convatlas.anatomy.measure.parameters import weighted_layers
from convatlas.genes.convolution import Separable
from convatlas.genes.normalization import BatchNorm, LayerNorm, Standardize
from convatlas.genes.structural import LayerScale
from convatlas.nets.families.convnext import OneLayer
from convatlas.nets.net import Net
from convatlas.weights.adapt import CLASSIFIER
from convatlas.weights.formats.state_io import COUNTER

KINDS: dict[type[nn.Module], str] = {
    Separable: "separable_conv2d",
    OneLayer: "sequential",
    BatchNorm: "batch_normalization",
    LayerNorm: "layer_normalization",
    LayerScale: "layer_scale",
    Standardize: "normalization",
}
"""Keras' class for each of our modules, as its files spell it; for convolutions and dense layers see `_kind`."""


@dataclass(frozen=True)
class Array:
    """An array in a file.

    Attributes:
        name: Name of our tensor.
        place: Path below the layer in a `.weights.h5`: "vars/0", "layers/conv2d/vars/0".
        shape: Shape of our tensor.
        view: (outputs, inputs, height, width) for a kernel or matrix; `shape` for other arrays.
        axes: Axes of `view` in Keras' order.
        flat: Whether Keras stores a matrix (inputs, outputs), with the inputs of a flattened map in the order H, W, C.
    """

    name: str
    place: str
    shape: tuple[int, ...]
    view: tuple[int, ...]
    axes: tuple[int, ...]
    flat: bool

    @property
    def stored(self) -> tuple[int, ...]:
        """Shape in the file."""
        permuted = tuple(self.view[axis] for axis in self.axes)
        return (prod(permuted[:-1]), permuted[-1]) if self.flat else permuted

    def to_ours(self, array: Tensor) -> Tensor:
        """Turn the file's array into our tensor."""
        back = [self.axes.index(axis) for axis in range(len(self.axes))]
        return array.reshape([self.view[axis] for axis in self.axes]).permute(back).reshape(self.shape).contiguous()

    def to_theirs(self, tensor: Tensor) -> Tensor:
        """Turn our tensor into the file's array."""
        return tensor.reshape(self.view).permute(self.axes).reshape(self.stored).contiguous()

    def for_classes(self, classes: int) -> Array:
        """Return the array with another number of outputs."""
        return replace(self, shape=(classes, *self.shape[1:]), view=(classes, *self.view[1:]))


@dataclass(frozen=True)
class Layer:
    """A layer with weights, as Keras counts layers.

    Attributes:
        kind: Class of the layer, as a `.weights.h5` spells it: "conv2d".
        arrays: Arrays in the order of the file.
        top: Whether it belongs to what Keras calls the top: the dense layers of the head.
    """

    kind: str
    arrays: tuple[Array, ...]
    top: bool

    @property
    def classifies(self) -> bool:
        """Whether it is the last layer, whose outputs are the classes."""
        return self.arrays[0].name.startswith(f"{CLASSIFIER}.")


def layers(net: Net) -> list[Layer]:
    """Layers of the net that have weights, in the order of Keras' files; the top comes last.

    Keras sorts layers by their depth below the output, not by the order of calls, so that the layers of parallel
    branches alternate. `data/keras_order.json` holds that order, as indices of our layers in the order of calls, for
    nets where it differs.
    """
    names = {module: name for name, module in net.named_modules()}
    called = [_layer(net, names[module], module) for module in weighted_layers(net)]
    order = _orders().get(net.card.name, range(len(called)))
    return [called[number] for number in order if number < len(called)]


def classifier(net: Net) -> Layer:
    """Return a dense layer that gives the classes, behind a pooling, as models of transfer learning have it."""
    weight, bias = (net.get_parameter(f"{CLASSIFIER}.{name}") for name in ("weight", "bias"))
    shape, outputs = tuple(weight.shape), tuple(bias.shape)
    kernel = Array(f"{CLASSIFIER}.weight", "vars/0", shape, (*shape, 1, 1), (2, 3, 1, 0), True)
    return Layer("dense", (kernel, Array(f"{CLASSIFIER}.bias", "vars/1", outputs, outputs, (0,), False)), top=True)


@cache
def _orders() -> dict[str, list[int]]:
    text = (files("convatlas.weights") / "data" / "keras_order.json").read_text(encoding="utf-8")
    orders: dict[str, list[int]] = json.loads(text)
    return orders


def _layer(net: Net, path: str, module: nn.Module) -> Layer:
    kind = _kind(net, module)
    inside = [(name, part) for name, part in module.named_modules() if [*part.parameters(recurse=False)]]
    if isinstance(module, Separable):
        kinds = ("depthwise_conv2d", "conv2d")
        parts = [
            array
            for number, (name, part) in enumerate(inside)
            for array in _arrays(net, f"{path}.{name}", part, kinds[number], "vars", number)
        ]
    elif isinstance(module, OneLayer):
        parts = [
            array
            for name, part in inside
            for array in _arrays(net, f"{path}.{name}", part, "conv2d", f"layers/{_kind(net, part)}/vars")
        ]
    else:
        parts = list(_arrays(net, path, module, kind, "vars"))
    return Layer(kind, tuple(parts), top=path.startswith("head.") and isinstance(module, nn.Linear))


def _kind(net: Net, module: nn.Module) -> str:
    family = net.card.family
    if isinstance(module, nn.Linear):
        return "conv2d" if family == "mobilenet" else "dense"
    if isinstance(module, nn.Conv2d):
        if family == "convnext":  # depthwise as a grouped convolution, 1 x 1 as a dense layer over the channels
            return "dense" if module.kernel_size == (1, 1) else "conv2d"
        return "depthwise_conv2d" if module.groups > 1 else "conv2d"
    return KINDS[type(module)]


def _arrays(net: Net, path: str, module: nn.Module, kind: str, group: str, first: int = 0) -> Iterator[Array]:
    state = {name: tensor for name, tensor in module.state_dict().items() if name != COUNTER}
    for number, (name, tensor) in enumerate(state.items(), first):
        shape = tuple(tensor.shape)
        kernel = len(shape) > 1
        view = (*shape[:1], *_inputs(net, path, shape)) if kernel else shape
        axes = (2, 3, 0, 1) if kind == "depthwise_conv2d" else (2, 3, 1, 0)
        yield Array(
            f"{path}.{name}",
            f"{group}/{number}",
            shape,
            view,
            axes if kernel else tuple(range(len(shape))),
            kernel and kind == "dense",
        )


def _inputs(net: Net, path: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (inputs, height, width) of a kernel or matrix."""
    if len(shape) == 4:
        return shape[1], shape[2], shape[3]
    # VGG halves a photo five times and flattens the map.
    flattened = path == "head.dense1" and isinstance(net.head.get_submodule("flatten"), nn.Flatten)
    height, width = (side // 32 for side in net.size) if flattened else (1, 1)
    return shape[1] // (height * width), height, width
