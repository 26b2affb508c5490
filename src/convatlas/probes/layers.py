"""The layer at which a probe explains: by name, by number, or by the rule "the last spatial one"."""

from __future__ import annotations

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.probes.tape.tape import Tape

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

LAST = "last"
"""The last layer with maps of more than one position."""


def spatial_layers(tape: Tape) -> dict[str, int]:
    """Index on the tape of the maps (N, C, h, w) of each module that has some, in the order they were made.

    Only maps with more than one position count, and only those on the way to the target.
    """
    reached = {tape.output} | {index for operation in tape.after(tape.photo) for index in operation.inputs}
    maps = {
        name: index
        for name, indices in tape.layers.items()
        for index in indices
        if _is_map(tape, index) and index in reached
    }
    return dict(sorted(maps.items(), key=lambda item: item[1]))


def layer_named(tape: Tape, layer: str | int | None) -> tuple[str, int]:
    """Name of a layer, and index on the tape of its output, (N, C, h, w).

    Args:
        tape: The tape.
        layer: Name of a module; number of a layer among those with maps, from 1, or from the end if negative; None or
            "last" for the last one.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: It does not output maps, or the net has none.
    """
    maps = spatial_layers(tape)
    names = list(maps)
    if not names:
        last = _last_map(tape)
        if layer in (None, LAST) and last is not None:
            return last
        raise ConvAtlasError("no layer of this net outputs maps (N, C, h, w) of more than one position")
    if layer is None or layer == LAST:
        name, index = _last_map(tape) or (names[-1], maps[names[-1]])
        return min((other for other in names if maps[other] == index), key=len, default=name), index
    if isinstance(layer, int) or (isinstance(layer, str) and layer.lstrip("-").isdecimal()):
        number = int(layer)
        if number == 0 or not -len(names) <= number <= len(names):
            raise ConvAtlasError(f"layers with maps have numbers from 1 to {len(names)}; got {number}")
        name = names[number - 1 if number > 0 else number]
        return name, maps[name]
    if layer in maps:
        return layer, maps[layer]
    if layer in tape.layers:
        raise ConvAtlasError(f"{layer} does not output maps (N, C, h, w); the last layer that does is {names[-1]}")
    raise unknown("layer", layer, names)


def _last_map(tape: Tape) -> tuple[str, int] | None:
    """The last map from which a score is still to be computed, whoever made it, named after its module.

    A detector's output is a map too; nothing is mixed after it but what the target picks.
    """
    mixed = False
    for operation in reversed(tape.after(tape.photo)):
        for index in operation.outputs:
            if mixed and index is not None and _is_map(tape, index) and tape.depends[index]:
                return (operation.module or operation.name, index)
        mixed = mixed or operation.name in MIXES
    return None


def _is_map(tape: Tape, index: int) -> bool:
    shape = tape.values[index].shape
    return len(shape) == 4 and shape[2] > 1 and shape[3] > 1 and tape.values[index].is_floating_point()
