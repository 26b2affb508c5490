"""Find the inputs that a net takes, and trace the net on them without computing values where possible."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import nn

from convatlas.anatomy.measure.tracing.calls import Operation, Trace
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.anatomy.measure.tracing.twin import has_plain_hooks
from convatlas.base.errors import ConvAtlasError, SizeError, first_line
from convatlas.nets.build import Size
from convatlas.nets.example_inputs import Inputs, Shapes, candidate_inputs, hint
from convatlas.nets.net import Net
from convatlas.nets.user_net import Exported


def net_name(net: nn.Module) -> str:
    """Name of a net: its name in the atlas, that of the file it was loaded from, or its class."""
    exported = getattr(net, "exported", None)
    if isinstance(exported, Exported):
        return exported.name
    return net.card.name if isinstance(net, Net) else type(net).__name__


def fitting_inputs(
    net: nn.Module,
    *,
    inputs: object = None,
    input_shape: Shapes | None = None,
    size: Size | None = None,
    channels: int | None = None,
) -> Inputs:
    """Return inputs that a net takes: those asked for, else a photo of a size and number of channels that it takes.

    Where several inputs are possible, they are tried on a copy of the net, on the meta device if possible.

    Args:
        net: Any module.
        inputs: Inputs asked for, as in `candidate_inputs`.
        input_shape: Shape of the input without the batch, or one for each of several inputs.
        size: Height and width of photos, or one number for both.
        channels: Channels of photos.

    Raises:
        SizeError: The net takes none of them; the message includes the net's own error.
        ConvAtlasError: As `candidate_inputs` does.
    """
    candidates = candidate_inputs(net, inputs=inputs, input_shape=input_shape, size=size, channels=channels)
    return candidates[0] if len(candidates) == 1 else trace_inputs(net, candidates)[0]


def input_shape(net: nn.Module, size: Size | None, channels: int | None) -> tuple[int, ...]:
    """Shape of a net's input without the batch: (C, H, W), or (features,) if the net starts with a dense layer.

    Args:
        net: Any module.
        size: Height and width, or one number for both; by default those of the net, else 224.
        channels: Number of channels; by default those of the net.

    Raises:
        SizeError: A side or the number of channels is not an integer from 1 to 8192, or the net takes no such photo.
    """
    return fitting_inputs(net, size=size, channels=channels).shape


def trace_inputs(net: nn.Module, candidates: Sequence[Inputs]) -> tuple[Inputs, list[Operation]]:
    """Trace a net as `trace_pass` does; returns the inputs and the operations that read them."""
    inputs, traced = trace_pass(net, candidates)
    return inputs, traced.operations


def trace_pass(net: nn.Module, candidates: Sequence[Inputs]) -> tuple[Inputs, Trace]:
    """Trace a net on the first of several inputs that it takes, on the meta device if possible, else on its own.

    Returns:
        The inputs, and the traced pass.

    Raises:
        SizeError: The net takes none of the inputs; the message includes the net's own error.
        ConvAtlasError: No output of the net is computed from its input in a way that can be traced.
    """
    floating = next((weight for weight in net.parameters() if weight.is_floating_point()), None)
    own_device = torch.device("cpu") if floating is None else floating.device
    # A net that fails on the meta device may need values: for a constant of its own, or a decision on a value.
    devices = list(dict.fromkeys((torch.device("meta"), own_device)))
    furthest, reason, best = -1, "", None
    # Hooks that are plain functions run only if the net fails without them.
    plain_hooks = (False, True) if has_plain_hooks(net) else (False,)
    for hooks, inputs, device in product(plain_hooks, candidates, devices):
        done = Trace()
        values = inputs.to(device)
        try:
            trace(net, *values.args, keywords=values.kwargs, plain_hooks=hooks, into=done)
        # A user's own net can raise anything.
        except Exception as error:
            # The error to report is that of the inputs with which the net got furthest, and of two devices the second,
            # where real numbers were computed.
            if len(done.operations) > furthest or (best is inputs and len(done.operations) == furthest):
                furthest, best = len(done.operations), inputs
                reason = f"{inputs.text}: {first_line(error)}"
            continue
        if all(operation.output_position is None for operation in done.operations):
            raise ConvAtlasError(
                f"{net_name(net)} cannot be measured: no output is computed from its input by PyTorch; the net "
                "does nothing, or passes tensors on in a way that cannot be traced, such as through NumPy"
            )
        return inputs, done
    are_examples = all(tensor.is_meta for inputs in candidates for tensor in inputs.tensors)
    advice = f"; {hint()}" if are_examples and not isinstance(net, Net) else ""
    raise SizeError(f"{net_name(net)} cannot take an input of {reason}{advice}")
