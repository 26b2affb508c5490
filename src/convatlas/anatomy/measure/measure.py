"""Measure a net by one traced pass, on the meta device if possible, so that its size costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from convatlas.anatomy.measure.hyperparameters import setting_of
from convatlas.anatomy.measure.macs import CONVOLUTIONS, TRANSPOSED, Window, argument, cost, window
from convatlas.anatomy.measure.operation_kinds import kind_of, kind_of_module
from convatlas.anatomy.measure.parameters import depth, parameters, statistics, weighted_layers
from convatlas.anatomy.measure.receptive_field import Field, fields, relative
from convatlas.anatomy.measure.records import Layer, Measurement, most_common_activation
from convatlas.anatomy.measure.tracer import Operation, trace
from convatlas.anatomy.measure.twin import has_observers
from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.genes.attention import Gated
from convatlas.genes.feedback import Recurrence
from convatlas.genes.layers import SelfCounting
from convatlas.nets.build import Size, skeleton
from convatlas.nets.net import Net
from convatlas.nets.user_net import Exported, is_user_net, load_user_net


def measure(
    net: str | nn.Module,
    *,
    size: Size | None = None,
    channels: int | None = None,
    classes: int | None = None,
    genes: Mapping[str, object] | None = None,
) -> Measurement:
    """Measure a net: its layers, their wiring, and the totals.

    Args:
        net: The name of a net of the atlas, which is then never filled with weights; or any module of your own, or
            where to find it: `package.module:callable`, or a .pt2 file.
        size: Height and width of the photos, or one number for both; the published size if not said, what it was built
            for if it is one of ours, exported with if it is a file, 224 for your own.
        channels: Of the photos; as published or built for if not said, what the first layer takes for your own net.
        classes: Outputs, as in `build`; only for a net of the atlas.
        genes: As in `build`; only for a net of the atlas.

    Returns:
        One row an operation, the wiring, and the totals.

    Raises:
        UnknownName: No such net or gene.
        SizeError: A size the net cannot take.
        ConvAtlasError: Your own net failed on such photos; says what it said.
    """
    if isinstance(net, str) and is_user_net(net):
        net = load_user_net(net)
    if isinstance(net, str):
        net = skeleton(net, size=size, channels=channels, classes=classes, genes=genes)
    elif classes is not None or genes:
        raise ConvAtlasError("classes and genes belong to nets of the atlas: your own module is measured as it is")
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"a net is a name or a torch.nn.Module, not {net!r}")
    if isinstance(net, torch.jit.ScriptModule):
        raise ConvAtlasError("a TorchScript module cannot be looked into: measure the module that it was made from")
    if any(is_lazy(weight) for weight in (*net.parameters(), *net.buffers())):
        raise ConvAtlasError(
            f"{_name(net)} has lazy layers, which get their shape when it first runs: run it once before"
        )
    shape = input_shape(net, size, channels)
    return _measurement(net, shape, operations_of(net, shape))


def _name(net: nn.Module) -> str:
    exported = getattr(net, "exported", None)
    if isinstance(exported, Exported):
        return exported.name
    return net.card.name if isinstance(net, Net) else type(net).__name__


def input_shape(net: nn.Module, size: Size | None, channels: int | None) -> tuple[int, ...]:
    """(C, H, W), or (features,) for a net that begins with a dense layer."""
    first = next((part for part in net.modules() if isinstance(part, nn.Conv2d | nn.Linear)), None)
    if isinstance(net, Net):
        size = net.size if size is None else size
        channels = net.channels if channels is None else channels
    elif isinstance(exported := getattr(net, "exported", None), Exported):
        if size is None and channels is None:
            return exported.input
        channels = exported.input[0] if channels is None else channels
    elif isinstance(first, nn.Linear) and size is None and channels is None:
        return (first.in_features,)
    if channels is None:
        channels = first.in_channels if isinstance(first, nn.Conv2d) else 3
    pair = (224, 224) if size is None else tuple(size) if isinstance(size, tuple | list) else (size, size)
    shape = (channels, *pair)
    # bool is an int in Python.
    if len(shape) != 3 or not all(type(side) is int and 1 <= side <= 8192 for side in shape):
        raise SizeError(f"a photo has 1 to 8192 pixels a side and channels; got {' x '.join(map(repr, shape))}")
    return shape


def operations_of(net: nn.Module, shape: tuple[int, ...]) -> list[Operation]:
    """Trace a net on an input of `shape`, on the meta device if that can be.

    Raises:
        SizeError: The net cannot take such an input; gives its error.
        ConvAtlasError: The net does nothing with it.
    """
    floating = next((weight for weight in net.parameters() if weight.is_floating_point()), None)
    dtype = torch.float32 if floating is None else floating.dtype
    device = torch.device("cpu") if floating is None else floating.device
    reason = ""
    # Where the meta device fails, something may need real numbers (a constant it made itself, a decision on a value).
    places = list(dict.fromkeys((torch.device("meta"), device)))
    # A hook that is a plain function runs only where the net fails without it.
    for observers in (False, True)[: 1 + has_observers(net)]:
        for place in places:
            try:
                x = torch.zeros(1, *shape, dtype=dtype, device=place)
                operations = trace(net, x, observers=observers)
            # What a net of the user's own raises is anything at all.
            except Exception as error:
                reason = f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
                continue
            if all(operation.answer is None for operation in operations):
                raise ConvAtlasError(
                    f"{_name(net)} gives nothing that PyTorch has made of its input, so it cannot be measured: "
                    "it hands tensors on in a way that cannot be followed, as through numpy, or does nothing"
                )
            return operations
    raise SizeError(f"{_name(net)} cannot take an input of {' x '.join(map(str, shape))}: {reason}")


def _measurement(net: nn.Module, shape: tuple[int, ...], operations: list[Operation]) -> Measurement:
    gates = {id(gate) for part in net.modules() if isinstance(part, Gated) for gate in part.gate.modules()}
    counted: set[int] = set()
    photo = (shape[1], shape[2]) if len(shape) == 3 else (1, 1)
    layers = tuple(
        _layer(number, operation, field, photo, counted)
        for number, (operation, field) in enumerate(zip(operations, fields(operations, photo), strict=True), 1)
    )
    total, trainable = parameters(net)
    answers = {operation.answer: operation for operation in operations if operation.answer is not None}
    first = answers[min(answers)]
    return Measurement(
        name=_name(net),
        input=shape,
        output=first.shapes[0][1:],
        layers=layers,
        parameters=total,
        trainable=trainable,
        depth=depth(net),
        path=_longest_path(operations, layers, gates),
        macs=sum(layer.macs for layer in layers),
        memory=sum(layer.memory for layer in layers),
        activation=most_common_activation(layers, _functions_within(operations)),
        weighted=tuple(_arrays(layer) for layer in weighted_layers(net)),
        aside=tuple(_aside(net, counted)),
    )


def _aside(net: nn.Module, counted: set[int]) -> Iterator[tuple[str, int]]:
    """The parts right below a net that hold numbers which none of its layers used, and how many; at last its own."""
    seen = set(counted)
    for name, part in [*net.named_children(), ("weights of its own", net)]:
        tensors = [*part.parameters(), *(tensor for below in part.modules() for tensor in statistics(below))]
        fresh = {id(tensor): tensor for tensor in tensors if id(tensor) not in seen}
        seen.update(fresh)
        if fresh:
            yield name, sum(tensor.numel() for tensor in fresh.values())


def _functions_within(operations: list[Operation]) -> list[str]:
    """What the transfer functions are called that recurrences apply themselves."""
    loops = [operation.module for operation in operations if isinstance(operation.module, Recurrence)]
    known = [(act, kind_of_module(act)) for loop in loops for act in loop.functions if act is not None]
    return [kind[0] if kind else type(act).__name__ for act, kind in known]


def _arrays(layer: nn.Module) -> int:
    return len(list(layer.parameters())) + sum(len(statistics(part)) for part in layer.modules())


def _layer(number: int, operation: Operation, field: Field, photo: tuple[int, int], counted: set[int]) -> Layer:
    kind, locus = kind_of(operation)
    still = statistics(operation.module)
    if not operation.is_leaf:
        read = set(map(id, operation.buffers))
        still = [tensor for tensor in still if id(tensor) in read]
    fresh = {id(tensor): tensor for tensor in (*operation.weights, *still) if id(tensor) not in counted}
    counted.update(fresh)
    macs, connections, units = cost(operation)
    seen = next((found for call in operation.calls if (found := window(call)) is not None), None)
    return Layer(
        number=number,
        name=operation.path,
        kind=kind,
        locus=locus,
        kernel=seen.kernel if seen else None,
        stride=seen.stride if seen else None,
        padding=_padding(operation, seen),
        dilation=seen.dilation if seen else None,
        groups=_groups(operation),
        setting=setting_of(operation),
        output=operation.shapes[0][1:],
        parameters=sum(tensor.numel() for tensor in fresh.values()),
        trainable=sum(weight.numel() for weight in fresh.values() if weight.requires_grad),
        macs=macs,
        connections=connections,
        units=units,
        memory=sum(prod(shape) for shape in operation.shapes) * operation.itemsize,
        field=field.size(photo),
        field_stride=field.stride,
        sees_all=field.whole,
        inputs=tuple(source + 1 for source in dict.fromkeys(operation.inputs)),
    )


def _padding(operation: Operation, seen: Window | None) -> tuple[int, int] | None:
    """(top, left) of the border, whoever adds it: the window itself or a pad in front of it."""
    borders = [call for call in operation.calls if call.name == "pad" and len(argument(call, 1, "pad")) >= 4]
    if seen is None and not borders:
        return None
    rows, columns = relative(operation, operation.shapes_in[0])
    return (-rows.first[0], -columns.first[0]) if rows and columns else None


def _groups(operation: Operation) -> int | None:
    for call in operation.calls:
        if call.name in (*CONVOLUTIONS, *TRANSPOSED):
            return int(argument(call, 6, "groups", 1))
    return None


def _longest_path(operations: list[Operation], layers: tuple[Layer, ...], gates: set[int]) -> int:
    """Convolutions and dense layers on the longest way through, what only computes a gate left aside."""
    lengths: list[int] = []
    for operation, layer in zip(operations, layers, strict=True):
        module = operation.module
        counts = module.layers if isinstance(module, SelfCounting) else int(layer.locus in ("convolution", "dense"))
        before = max((lengths[source] if source >= 0 else 0 for source in operation.inputs), default=0)
        lengths.append(before + (0 if id(module) in gates else counts))
    return max(lengths)
