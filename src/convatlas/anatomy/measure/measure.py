"""Measure a net by tracing one forward pass, on the meta device if possible, where no values are computed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from convatlas.anatomy.measure.assemble import assemble
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.measure.shape_trace import input_shape, net_name, trace_shapes
from convatlas.base.errors import ConvAtlasError
from convatlas.nets.build import Size, skeleton
from convatlas.nets.user_net import is_user_net, load_user_net


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
        net: Name of a net of the atlas, of which only the shapes are built; or your own net: a module,
            `package.module:callable`, or the path of a .pt2 file.
        size: Height and width of the photos, or one number for both; by default the size that the net was published,
            built or exported with, and 224 for a module of your own.
        channels: Channels of the photos; by default those that the net was published, built or exported with, and those
            that the first layer of your own module takes.
        classes: Number of outputs, as in `build`; only for a net of the atlas.
        genes: As in `build`; only for a net of the atlas.

    Returns:
        One record for each operation, their wiring, and the totals.

    Raises:
        UnknownName: No such net or gene.
        SizeError: A size that the net cannot take; for your own net, the message includes its error.
        ConvAtlasError: Your own net cannot be measured.
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
        raise ConvAtlasError("a TorchScript module cannot be traced: measure the module that it was compiled from")
    if any(is_lazy(weight) for weight in (*net.parameters(), *net.buffers())):
        raise ConvAtlasError(
            f"{net_name(net)} has lazy layers, whose shapes are set when it first runs: run it once before measuring"
        )
    shape = input_shape(net, size, channels)
    return assemble(net, shape, trace_shapes(net, shape))
