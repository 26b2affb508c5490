"""Measure a net by tracing one forward pass, on the meta device if possible, where no values are computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from convatlas.anatomy.measure.assemble import assemble
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.measure.shape_trace import net_name, trace_pass
from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.nets.build import Size, skeleton
from convatlas.nets.example_inputs import Shapes, candidate_inputs
from convatlas.nets.user_net import is_user_net, load_user_net

QUANTIZED = ("torch.ao.nn.quantized.", "torch.ao.nn.intrinsic.quantized.", "torch.ao.nn.sparse.quantized.")
"""Packages of quantized layers."""


def measure(
    net: str | nn.Module,
    *,
    size: Size | None = None,
    channels: int | None = None,
    classes: int | None = None,
    genes: Mapping[str, object] | None = None,
    inputs: object = None,
    input_shape: Shapes | None = None,
) -> Measurement:
    """Measure a net: its layers, their wiring, and the totals.

    Args:
        net: Name of a net of the atlas, of which only the shapes are built; or your own net: a module,
            `package.module:callable`, or the path of a .pt2 file.
        size: Height and width of the photos, or one number for both; by default the size that the net was published,
            built or exported with, and 224 for a module of your own.
        channels: Channels of the photos; by default those that the net was published, built or exported with; for your
            own module 3, or as many as it takes.
        classes: Number of outputs, as in `build`; only for a net of the atlas.
        genes: As in `build`; only for a net of the atlas.
        inputs: What your own module is called with if that is no photo: a tensor; a tuple of several arguments; a dict,
            passed by keywords if its keys are arguments of `forward`; or a list or other object as one argument. The
            figures are those of these inputs: for one example, give a batch of one.
        input_shape: Shape of the input without the batch, such as (1, 16000), or one shape for each of several inputs;
            for a net of the atlas (channels, height, width).

    Returns:
        One record for each operation, their wiring, and the totals.

    Raises:
        UnknownName: No such net or gene.
        SizeError: A size or shape that the net cannot take; for your own net, the message includes its error.
        ConvAtlasError: Your own net cannot be measured.
    """
    if isinstance(net, str) and is_user_net(net):
        net = load_user_net(net)
    if isinstance(net, str):
        if inputs is not None:
            raise ConvAtlasError(
                "inputs are for your own module: a net of the atlas takes photos; give size and channels"
            )
        if input_shape is not None:
            size, channels = _photo(input_shape, size, channels)
            input_shape = None
        net = skeleton(net, size=size, channels=channels, classes=classes, genes=genes)
    elif classes is not None or genes:
        raise ConvAtlasError("classes and genes belong to nets of the atlas: your own module is measured as it is")
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"a net is a name or a torch.nn.Module, not {net!r}")
    if isinstance(net, torch.jit.ScriptModule):
        raise ConvAtlasError("a TorchScript module cannot be traced: measure the module that it was compiled from")
    quantized = next((part for part in net.modules() if _is_quantized(part)), None)
    if quantized is not None:
        raise ConvAtlasError(
            f"{net_name(net)} is quantized (it holds a {type(quantized).__name__} of {type(quantized).__module__}): "
            "measure the net that it was made from, which has the same shapes and MACs"
        )
    if any(is_lazy(weight) for weight in (*net.parameters(), *net.buffers())):
        raise ConvAtlasError(
            f"{net_name(net)} has lazy layers, whose shapes are set when it first runs: run it once before measuring"
        )
    candidates = candidate_inputs(net, inputs=inputs, input_shape=input_shape, size=size, channels=channels)
    values, traced = trace_pass(net, candidates)
    return assemble(net, values.shape, traced)


def _is_quantized(part: nn.Module) -> bool:
    """Whether a module has integer weights packed for PyTorch's quantized kernels, which no other code can read."""
    home = type(part).__module__
    return home.startswith(QUANTIZED) and not home.startswith("torch.ao.nn.quantized.reference")


def _photo(input_shape: Shapes, size: Size | None, channels: int | None) -> tuple[Size, int]:
    """Size and channels of the photos of a net of the atlas whose input has this shape."""
    shape: Any = input_shape
    if size is not None or channels is not None:
        raise ConvAtlasError("give either input_shape, or size and channels")
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise SizeError(f"the input of a net of the atlas is (channels, height, width); got {shape!r:.100}")
    return (shape[1], shape[2]), shape[0]
