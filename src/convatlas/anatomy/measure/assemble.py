"""Assemble the record of a net from its traced operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from torch import nn

from convatlas.anatomy.measure.gates import gates
from convatlas.anatomy.measure.hyperparameters import setting_of
from convatlas.anatomy.measure.macs import cost, is_uncounted
from convatlas.anatomy.measure.operation_kinds import kind_of, kind_or_class
from convatlas.anatomy.measure.parameters import depth, parameters, statistics, weighted_layers
from convatlas.anatomy.measure.products import CONVOLUTIONS, TRANSPOSED
from convatlas.anatomy.measure.receptive_field import NOTHING, UNKNOWN, Field, fields, relative
from convatlas.anatomy.measure.records import Layer, Measurement, most_common_activation
from convatlas.anatomy.measure.shape_trace import net_name
from convatlas.anatomy.measure.tracing.calls import Operation, Trace, argument
from convatlas.anatomy.measure.window import Window, window
from convatlas.genes.feedback import Recurrence
from convatlas.genes.layers import SelfCounting


def assemble(net: nn.Module, shape: tuple[int, ...], traced: Trace) -> Measurement:
    """Assemble the record of a net from a pass traced on an input of `shape` (without the batch)."""
    operations = traced.operations
    gating = gates(net, operations)
    counted: set[int] = set()  # ids of the tensors that are counted already
    photo = (shape[1], shape[2]) if len(shape) == 3 else None
    receptive = fields(operations, photo) if photo else [UNKNOWN] * len(operations)
    # Before the layers, since a weight that a constant reads too counts for the constant.
    constants = [
        _layer(len(operations) + number, operation, NOTHING, photo, counted)
        for number, operation in enumerate(filter(lambda each: any(cost(each)), traced.constants), 1)
    ]
    layers = tuple(
        _layer(number, operation, field, photo, counted)
        for number, (operation, field) in enumerate(zip(operations, receptive, strict=True), 1)
    )
    total, trainable = parameters(net)
    outputs = {
        operation.output_position: operation for operation in operations if operation.output_position is not None
    }
    first = outputs[min(outputs)]
    return Measurement(
        name=net_name(net),
        input=shape,
        output=first.shapes[0][1:],
        layers=layers,
        parameters=total,
        trainable=trainable,
        depth=depth(net),
        path=_longest_path(operations, layers, gating),
        macs=sum(layer.macs for layer in (*layers, *constants)),
        memory=sum(layer.memory for layer in layers),
        activation=most_common_activation(
            [layer for index, layer in enumerate(layers) if index not in gating], _recurrent_activations(operations)
        ),
        weighted=tuple(_count_arrays(layer) for layer in weighted_layers(net)),
        unused=tuple(_unused_parts(net, counted)),
        constants=tuple(constants),
        uncounted=tuple(dict.fromkeys(operation.name for operation in operations if is_uncounted(operation))),
        left_torch=tuple(traced.left_torch),
    )


def _unused_parts(net: nn.Module, counted: set[int]) -> Iterator[tuple[str, int]]:
    """Yield each child of the net with parameters that no operation used, and their number; the net's own come last.

    `counted` holds the ids of the tensors that operations used.
    """
    known = set(counted)
    for name, part in [*net.named_children(), ("weights of its own", net)]:
        tensors = [*part.parameters(), *(tensor for below in part.modules() for tensor in statistics(below))]
        unused = {id(tensor): tensor for tensor in tensors if id(tensor) not in known}
        known.update(unused)
        if unused:
            yield name, sum(tensor.numel() for tensor in unused.values())


def _recurrent_activations(operations: Sequence[Operation]) -> list[str]:
    """Kinds of the activations inside recurrences."""
    loops = [operation.module for operation in operations if isinstance(operation.module, Recurrence)]
    return [kind_or_class(act) for loop in loops for act in loop.functions if act is not None]


def _count_arrays(layer: nn.Module) -> int:
    """Number of weight arrays of a layer, running statistics included."""
    return len(list(layer.parameters())) + sum(len(statistics(part)) for part in layer.modules())


def _layer(number: int, operation: Operation, field: Field, photo: tuple[int, int] | None, counted: set[int]) -> Layer:
    """Describe one operation, and add the ids of its weights and statistics to `counted`."""
    kind, locus = kind_of(operation)
    running = statistics(operation.module)
    if not operation.is_leaf:
        read = set(map(id, operation.buffers))
        running = [tensor for tensor in running if id(tensor) in read]
    fresh = {id(tensor): tensor for tensor in (*operation.weights, *running) if id(tensor) not in counted}
    counted.update(fresh)
    macs, connections, units = cost(operation)
    windows = (window(call) for call in operation.calls)
    first_window = next((candidate for candidate in windows if candidate is not None), None)
    return Layer(
        number=number,
        name=operation.path,
        kind=kind,
        locus=locus,
        kernel=first_window.kernel if first_window else None,
        stride=first_window.stride if first_window else None,
        padding=_padding(operation, first_window),
        dilation=first_window.dilation if first_window else None,
        groups=_groups(operation),
        setting=setting_of(operation),
        output=operation.shapes[0][1:],
        parameters=sum(tensor.numel() for tensor in fresh.values()),
        trainable=sum(weight.numel() for weight in fresh.values() if weight.requires_grad),
        macs=macs,
        connections=connections,
        units=units,
        memory=sum(prod(shape) for shape in operation.shapes) * operation.itemsize,
        field=field.size(photo or (0, 0)),
        field_stride=field.stride,
        sees_all=field.whole,
        inputs=tuple(source + 1 for source in dict.fromkeys(operation.inputs)),
    )


def _padding(operation: Operation, first_window: Window | None) -> tuple[int, int] | None:
    """Size of the border (top, left), which the window itself or a pad before it adds."""
    borders = [call for call in operation.calls if call.name == "pad" and len(argument(call, 1, "pad")) >= 4]
    if first_window is None and not borders:
        return None
    if not operation.inputs:
        return first_window.padding if first_window else None
    rows, columns = relative(operation, operation.shapes_in[0])
    return (-rows.first[0], -columns.first[0]) if rows and columns else None


def _groups(operation: Operation) -> int | None:
    for call in operation.calls:
        if call.name in (*CONVOLUTIONS, *TRANSPOSED):
            return int(argument(call, 6, "groups", 1))
    return None


def _longest_path(operations: Sequence[Operation], layers: tuple[Layer, ...], gating: set[int]) -> int:
    """Number of convolutions and dense layers on the longest path; `gating` are the indices of those left out."""
    lengths: list[int] = []
    for index, (operation, layer) in enumerate(zip(operations, layers, strict=True)):
        module = operation.module
        counts = module.layers if isinstance(module, SelfCounting) else int(layer.locus in ("convolution", "dense"))
        before = max((lengths[source] if source >= 0 else 0 for source in operation.inputs), default=0)
        lengths.append(before + (0 if index in gating else counts))
    return max(lengths)
