"""Choose a net's input shape, and trace the net on it without computing values where possible."""

from __future__ import annotations

import torch
from torch import nn

from convatlas.anatomy.measure.tracer import Operation, trace
from convatlas.anatomy.measure.twin import has_observers
from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.nets.build import Size
from convatlas.nets.net import Net
from convatlas.nets.user_net import Exported


def net_name(net: nn.Module) -> str:
    """Name of a net: its name in the atlas, that of the file it was loaded from, or its class."""
    exported = getattr(net, "exported", None)
    if isinstance(exported, Exported):
        return exported.name
    return net.card.name if isinstance(net, Net) else type(net).__name__


def input_shape(net: nn.Module, size: Size | None, channels: int | None) -> tuple[int, ...]:
    """Shape of a net's input without the batch: (C, H, W), or (features,) if the net starts with a dense layer.

    Args:
        net: Any module.
        size: Height and width, or one number for both; by default those of the net, else 224.
        channels: Number of channels; by default those of the net, else 3.

    Raises:
        SizeError: A side or the number of channels is not an integer from 1 to 8192.
    """
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


def trace_shapes(net: nn.Module, shape: tuple[int, ...]) -> list[Operation]:
    """Trace a net on an input of `shape`, on the meta device if possible, else on the device of its weights.

    Raises:
        SizeError: The net cannot take such an input; the message includes the net's own error.
        ConvAtlasError: No output of the net is computed from its input in a way that can be traced.
    """
    floating = next((weight for weight in net.parameters() if weight.is_floating_point()), None)
    dtype = torch.float32 if floating is None else floating.dtype
    own_device = torch.device("cpu") if floating is None else floating.device
    reason = ""
    # A net that fails on the meta device may need values: for a constant of its own, or a decision on a value.
    devices = list(dict.fromkeys((torch.device("meta"), own_device)))
    # Hooks that are plain functions run only if the net fails without them.
    for observers in (False, True)[: 1 + has_observers(net)]:
        for device in devices:
            try:
                x = torch.zeros(1, *shape, dtype=dtype, device=device)
                operations = trace(net, x, observers=observers)
            # A user's own net can raise anything.
            except Exception as error:
                reason = f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
                continue
            if all(operation.answer is None for operation in operations):
                raise ConvAtlasError(
                    f"{net_name(net)} cannot be measured: no output is computed from its input by PyTorch; "
                    "the net does nothing, or passes tensors on in a way that cannot be traced, such as through NumPy"
                )
            return operations
    raise SizeError(f"{net_name(net)} cannot take an input of {' x '.join(map(str, shape))}: {reason}")
