"""Inputs to try an engine with: crops of photographs, prepared as the net's weights need them, or noise."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.anatomy.measure.shape_trace import trace_inputs
from convatlas.base.errors import ConvAtlasError, ImageError, SizeError, first_line
from convatlas.images.decoding import read
from convatlas.images.samples import SAMPLES, sample
from convatlas.nets.build import Size
from convatlas.nets.example_inputs import Shapes, candidate_inputs
from convatlas.nets.net import Net
from convatlas.weights.user_weights import lineage_of

SIDE = 0.5
"""Smallest side of a crop, as a share of the photo's shorter side."""


def crops(count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Yield random square crops (h, h, 3) of the sample photographs, from one photo after the other."""
    photos = [read(sample(name)) for name in SAMPLES]
    generator = np.random.default_rng(seed)
    for number in range(count):
        photo = photos[number % len(photos)]
        side = int(min(photo.shape[:2]) * generator.uniform(SIDE, 1))
        y, x = (int(generator.integers(0, length - side + 1)) for length in photo.shape[:2])
        yield photo[y : y + side, x : x + side]


@dataclass(frozen=True)
class NetInput:
    """The one tensor that a net takes.

    Attributes:
        shape: Its shape without the batch: (C, H, W), (features,), ...
        dtype: Type of its numbers: float32, or that of whole numbers (tokens).
        values: Values of it that the user gave, (N, *shape); None if the net takes photos or noise.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    values: Tensor | None = None

    @property
    def kind(self) -> str:
        """Name of the type of its numbers, as in NumPy: "float32", "int64"."""
        return str(self.dtype).removeprefix("torch.")

    def example(self, count: int) -> Tensor:
        """Values for a trace, (count, *shape): those given, repeated, or zeros."""
        if self.values is None:
            return torch.zeros(count, *self.shape, dtype=self.dtype)
        return self.values[torch.arange(count) % len(self.values)]


def net_input(
    net: nn.Module, *, inputs: object = None, input_shape: Shapes | None = None, size: Size | None = None
) -> NetInput:
    """Return the input of a net; height and width of photos are by default those of the weights' preprocessing.

    Args:
        net: Any module.
        inputs: What the net is called with, as in `measure`; or the answer, if it is known.
        input_shape: Shape of its input without the batch, as in `measure`.
        size: Height and width of photos.

    Raises:
        SizeError: The net cannot take such an input.
        ConvAtlasError: It takes several tensors, or the arguments contradict each other.
    """
    if isinstance(inputs, NetInput):
        return inputs
    if inputs is None and input_shape is None and size is None and isinstance(net, Net):
        trained = net.lineage is not None and net.size == net.card.input[:2]
        size = net.lineage.preprocessing.size if trained else None
    candidates = candidate_inputs(net, inputs=inputs, input_shape=input_shape, size=size)
    try:
        chosen = candidates[0] if len(candidates) == 1 else trace_inputs(net, candidates)[0]
    except SizeError:
        raise
    # What cannot be traced may still run.
    except ConvAtlasError:
        chosen = candidates[0]
    x = chosen.args[0] if len(chosen.args) == 1 and not chosen.kwargs else None
    if not isinstance(x, Tensor):
        raise ConvAtlasError(
            f"an engine or a file runs nets that take one tensor; {type(net).__name__} is called with "
            f"{len(chosen.tensors)} in another form"
        )
    if x.ndim == 0 or len(x) == 0 or x.is_complex():
        raise ConvAtlasError(f"an engine takes a batch of real numbers; got {x.dtype} of shape {tuple(x.shape)}")
    dtype = torch.float32 if x.is_floating_point() else x.dtype
    values = None if x.is_meta else x.detach().to("cpu", dtype)
    return NetInput(tuple(x.shape[1:]), dtype, values)


def sample_inputs(net: nn.Module, count: int, input: NetInput, seed: int = 0) -> Tensor:
    """Inputs (count, *shape): those given, or prepared crops of photos if the net has a lineage, or noise in 0..1.

    Whole numbers that are not given are zeros, since the net may look them up in a table of any length.
    """
    if input.values is not None or not input.dtype.is_floating_point:
        return input.example(count)
    lineage = lineage_of(net)
    if lineage is not None:
        try:
            lineage = lineage.for_shape(input.shape)
            x = torch.stack([torch.from_numpy(lineage.prepare(crop)) for crop in crops(count, seed)])
        except ImageError:
            pass
        else:
            if tuple(x.shape[1:]) == input.shape:
                return x
    return torch.rand(count, *input.shape, generator=torch.Generator().manual_seed(seed))


def evaluation_copy(net: nn.Module) -> nn.Module:
    """Copy a net to the CPU, in float32 and in evaluation mode.

    Raises:
        ConvAtlasError: `net` is not a module, or cannot be copied.
    """
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"a net is a torch.nn.Module, as from `load` or `build`, not {type(net).__name__}")
    try:
        return copy.deepcopy(net).cpu().float().eval()
    # A net of the user can raise anything.
    except Exception as error:
        raise ConvAtlasError(f"{type(net).__name__} cannot be copied: {first_line(error)}") from None
