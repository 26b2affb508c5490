"""Follow which side of each tensor counts its channels: the first of a map (C, H, W), the last of tokens (N, C)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from math import prod
from operator import mul

from convatlas.anatomy.measure.operation_kinds import REARRANGING, TRANSPOSING
from convatlas.anatomy.measure.records import Layer, Shape

RESHAPING = (
    "reshape", "flatten", "view", "unflatten", "unsqueeze", "squeeze", "view_as", "reshape_as",
)  # fmt: skip
"""Kinds of layers that divide or unite sides."""


FIRST = ("batch normalization", "interpolate", "grid_sample", "pixel_shuffle", "pixel_unshuffle")
"""Kinds of layers without a window whose channels always come first."""


def channel_sides(photo: Shape, layers: Iterable[Layer]) -> dict[int, int | None]:
    """Return by layer (0: the photo) which side of its output, without the batch, counts channels; None if none does.

    Args:
        photo: Shape of the photo, without the batch.
        layers: All layers in the order of execution.
    """
    sides: dict[int, int | None] = {0: 0}
    shapes = {0: photo}
    for layer in layers:
        sides[layer.number] = _side(layer, shapes, sides)
        shapes[layer.number] = layer.output
    return sides


def _side(layer: Layer, shapes: Mapping[int, Shape], sides: Mapping[int, int | None]) -> int | None:
    shape, source = layer.output, layer.inputs[0]
    if not shape:
        return None
    if layer.locus == "dense" or len(shape) == 1:
        return len(shape) - 1
    if layer.kernel is not None or layer.kind in FIRST:
        return 0
    if layer.kind == REARRANGING[0]:
        return None
    if layer.kind in TRANSPOSING:
        return _transposed(layer, sides[source])
    if layer.kind in RESHAPING:
        return _reshaped(shapes[source], sides[source], shape)
    like = next((number for number in layer.inputs if shapes[number] == shape and sides[number] is not None), source)
    if len(shapes[like]) == len(shape):
        return sides[like]
    # Attention may return tokens with more or fewer sides; channels come last.
    return len(shape) - 1 if layer.locus == "attention" else None


def _transposed(layer: Layer, side: int | None) -> int | None:
    """Return where a transposition puts a side; its setting is the new order."""
    order = [int(number) for number in layer.setting.split()]
    # The first side is the batch.
    if side is None or len(order) != len(layer.output) + 1 or order[0] != 0:
        return None
    return order.index(side + 1) - 1


def _reshaped(before: Shape, side: int | None, after: Shape) -> int | None:
    """Return the side of a reshaped tensor that is as long as the channels, with as many numbers before it."""
    if side is None or prod(before) != prod(after):
        return None
    starts = [1, *accumulate(after, mul)]
    same = (at for at, size in enumerate(after) if size == before[side] and starts[at] == prod(before[:side]))
    return next(same, None)


def channels_last(shape: Shape, side: int | None) -> Shape:
    """Return a shape with its channels last, as papers write it."""
    return shape if side is None else (*shape[:side], *shape[side + 1 :], shape[side])
