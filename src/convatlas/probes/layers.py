"""The layer at which a probe explains: by name, by number, or by the rule "the last spatial one"."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.probes.rules.kinds import ELEMENTWISE, names
from convatlas.probes.tape.backward import backward
from convatlas.probes.tape.tape import Operation, Tape

MIXES = frozenset(
    [
        "convolution",
        "mm",
        "addmm",
        "bmm",
        "mean",
        "sum",
        "amax",
        "max_pool2d_with_indices",
        "avg_pool2d",
        "_adaptive_avg_pool2d",
    ]
)
"""Operations that compute a number from many of a map."""

KEEPING = ELEMENTWISE | names(
    "convolution native_batch_norm native_group_norm max_pool2d_with_indices avg_pool2d _adaptive_avg_pool2d add "
    "sub mul div cat slice clone copy detach alias _to_copy constant_pad_nd reflection_pad2d "
    "replication_pad2d pixel_shuffle upsample_nearest2d upsample_bilinear2d upsample_bicubic2d view_scatter "
    "view_read maximum minimum split split_with_sizes roll masked_fill where index_put"
)
"""Operations whose result lies on the grid of their argument."""

VIEWS = names("view _unsafe_view reshape permute transpose expand unsqueeze squeeze select unbind")
"""Operations whose result does so if the last two dimensions, the grid, stay where they are."""

PADDING = names("constant_pad_nd reflection_pad2d replication_pad2d")
"""Operations whose result is no map of its own: what they add, it may be −∞, no layer computed."""

LAST = "last"
"""The last layer with maps of more than one position."""

ALL = "all"
"""Every layer with maps of more than one position."""


def several_layers(layer: object) -> bool:
    """Whether what a caller chose is a list of layers, or all of them."""
    return isinstance(layer, list) or layer == ALL


def spatial_layers(tape: Tape) -> dict[str, int]:
    """Index on the tape of the maps (N, C, h, w) of each module that has some, in the order they were made.

    Only maps with more than one position count, and only those on the way to the target.
    """
    reached = {tape.output} | {index for operation in tape.after(tape.photo) for index in operation.inputs}
    kept = {index for index in (grids(tape) - {tape.photo}) & reached if _is_map(tape, index)}
    maps = {name: index for name, indices in tape.layers.items() for index in indices if index in kept}
    return dict(sorted(maps.items(), key=lambda item: item[1]))


def named_maps(tape: Tape) -> dict[int, str]:
    """Name of the layer that made each of the maps of `spatial_layers`, by their index on the tape, in their order.

    A block and its last layer return the same maps; the shortest of such names stands for them.
    """
    names: dict[int, str] = {}
    for name, index in spatial_layers(tape).items():
        names[index] = min(names.get(index, name), name, key=len)
    return names


def layer_named(tape: Tape, layer: str | int | None, target: int | None = None) -> tuple[str, int]:
    """Name of a layer, and index on the tape of its output, (N, C, h, w).

    Args:
        tape: The tape.
        layer: Name of a module; number of a layer among those with maps, from 1, or from the end if negative (as a
            text only if no module has it as its name); None or "last" for the last one that the score reacts to.
        target: Which of the tape's scores; by default any of them.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: It does not output maps, or the net has none.
    """
    if not (layer is None or isinstance(layer, (str, Integral))) or isinstance(layer, bool):
        raise ConvAtlasError(f"a layer is a name or a number; got {layer!r:.40}")
    maps = spatial_layers(tape)
    names = list(maps)
    if not names:
        last = _last_map(tape, target)
        if layer in (None, LAST) and last is not None:
            return last
        raise ConvAtlasError(
            "no layer of this net outputs maps (N, C, h, w) of more than one position: use a probe of the input, such "
            "as integrated_gradients"
        )
    if layer is None or layer == LAST:
        name, index = _last_map(tape, target) or (names[-1], maps[names[-1]])
        return min((other for other in names if maps[other] == index), key=len, default=name), index
    if layer in maps:
        return str(layer), maps[str(layer)]
    if layer and layer in tape.layers:
        raise ConvAtlasError(f"{layer} does not output maps (N, C, h, w); the last layer that does is {names[-1]}")
    if not isinstance(layer, str) or layer.removeprefix("-").isdecimal():
        number = int(layer)
        if number == 0 or not -len(names) <= number <= len(names):
            raise ConvAtlasError(f"layers with maps have numbers from 1 to {len(names)}; got {number}")
        name = names[number - 1 if number > 0 else number]
        return name, maps[name]
    raise unknown("layer", layer, names)


def _last_map(tape: Tape, target: int | None) -> tuple[str, int] | None:
    """The last map from which a score is still to be computed, whoever made it, named after its module.

    A detector's output is a map too; nothing is mixed after it but what the target picks. Of several heads a box
    belongs to one: maps that the score does not react to are passed over.
    """
    maps = _mixed_maps(tape)
    if not maps:
        return None
    last = maps[0][1]
    if tape.values[last].is_meta:
        return maps[0]
    start = None
    if target is not None:
        start = torch.zeros_like(tape.values[tape.output])
        start[:, target] = 1
    if bool(backward(tape, [last], start=start)[last].any()):
        return maps[0]
    reacting: set[int] = set()

    def visit(index: int, gradient: Tensor) -> Tensor:
        if bool(gradient.any()):
            reacting.add(index)
        return gradient

    backward(tape, [tape.photo], visit=visit, start=start)
    return next(((name, index) for name, index in maps if index in reacting), maps[0])


def _mixed_maps(tape: Tape) -> list[tuple[str, int]]:
    """The maps from which the scores are still to be computed, the last one first, each with its module's name."""
    kept, maps = grids(tape), []
    mixed: set[int] = set()
    for operation in reversed(tape.after(tape.photo)):
        outputs = [index for index in operation.outputs if index is not None]
        maps += [
            (operation.module or operation.name, index)
            for index in outputs
            if index in mixed and index in kept and _is_map(tape, index) and operation.name not in PADDING
        ]
        if operation.name in MIXES or not mixed.isdisjoint(outputs):
            mixed.update(operation.inputs)
    return maps


def grids(tape: Tape) -> set[int]:
    """Indices of the tensors whose last two dimensions still are the photo's grid, coarser or finer.

    A view that touches these dimensions ends a grid: what attention makes of a map has four dimensions too. A
    permutation to channels first is taken to make one, as nets with channels last do before they pool.
    """
    kept = {tape.photo}
    for operation in tape.operations:
        sources = [index for index in operation.inputs if index in kept]
        turned = operation.name == "permute" and list(operation.args[1]) == [0, 3, 1, 2] and _fits(tape, operation)
        if turned or (sources and (operation.name in KEEPING or _keeps_grid(tape, operation, sources[0]))):
            kept.update(index for index in operation.outputs if index is not None and tape.values[index].ndim >= 3)
    return kept


def _fits(tape: Tape, operation: Operation) -> bool:
    """Whether a permutation makes maps of the photo's batch and about its aspect ratio."""
    output = operation.outputs[0]
    assert output is not None
    (n, _, height, width), shape = tape.values[tape.photo].shape, tape.values[output].shape
    return len(shape) == 4 and shape[0] == n and abs(shape[2] * width - shape[3] * height) <= max(height, width)


def _keeps_grid(tape: Tape, operation: Operation, source: int) -> bool:
    """Whether a view leaves the last two dimensions where they are."""
    output = operation.outputs[0]
    if operation.name not in VIEWS or output is None:
        return False
    before, after = tape.values[source], tape.values[output]
    # Strides tell whether equal lengths are the same dimensions; a copy has its own.
    return after.ndim >= 3 and before.shape[-2:] == after.shape[-2:] and before.stride()[-2:] == after.stride()[-2:]


def _is_map(tape: Tape, index: int) -> bool:
    shape = tape.values[index].shape
    return len(shape) == 4 and shape[2] > 1 and shape[3] > 1 and tape.values[index].is_floating_point()
