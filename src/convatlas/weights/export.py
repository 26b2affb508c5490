"""Write a net's weights to a file: in our native format, or in the layout of another publisher's code."""

from __future__ import annotations

import os
from pathlib import Path

from convatlas.base.errors import ConvAtlasError, WeightsError, unknown
from convatlas.base.terminal.arguments import argument
from convatlas.catalogue.lineages import origins, weights_of
from convatlas.genes.loci import RATES
from convatlas.nets.net import Net
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import finite_float32
from convatlas.weights.registry import origin, variant

NATIVE = "native"
"""Name of the layout that is our native format, with everything that `load` needs to build the net again."""


def layouts() -> dict[str, tuple[str, ...]]:
    """File endings of each layout by its name: "native", and the origins whose files can be written."""
    return {NATIVE: (native.ENDING,)} | {
        name: origin(name).write_endings for name in origins() if origin(name).write_endings
    }


def export(net: Net, file: str | Path, *, layout: str | None = None) -> Path:
    """Write a net's weights to a file, whole or not at all.

    Args:
        net: A net of the atlas.
        file: Path of the file; its ending selects the format: .safetensors, .weights.h5, .weights or .pth.
        layout: "native" (the file holds everything that `load` needs to build the net again), or the origin whose code
            will read the file: "keras", "torchvision", "timm", "lite" or "darknet". If None, it follows from the
            ending, and for .pth from the origin of the net's weights.

    Returns:
        The path of the file.

    Raises:
        ConvAtlasError: `net` is not a net of the atlas, or `file` is not a path.
        UnknownName: There is no such layout.
        WeightsError: The ending does not belong to the layout, the origin's net computes something else,
            the weights hold numbers that `load` would refuse, or the file cannot be written.
    """
    if not isinstance(net, Net):
        raise ConvAtlasError(f"`export` takes a net from `load` or `build`, not {type(net).__name__}")
    if not isinstance(file, str | os.PathLike) or "\0" in str(file):
        raise ConvAtlasError(f"weights are written to a path; got {file!r:.100}")
    path, endings = Path(file), layouts()
    if layout is None:
        layout = layout_of(net, path)
    if layout not in list(endings):
        raise unknown("layout", layout, endings)
    if not path.name.lower().endswith(endings[layout]):
        raise WeightsError(f"{layout} weights are written to {', '.join(endings[layout])}; got {path.name!r:.99}")
    if any(tensor.is_meta for tensor in net.state_dict().values()):
        raise WeightsError(f"this {net.card.name} has no weights yet, only their shapes")
    weights = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}
    finite_float32(weights, f"the weights of this {net.card.name}")
    try:
        if layout == NATIVE:
            native.write({name: tensor.clone() for name, tensor in weights.items()}, native.describe(net), path)
        else:
            _refuse_other_nets(net, layout)
            origin(layout).write(net, path)
    except OSError as error:
        raise WeightsError(f"{str(path)!r:.300} cannot be written: {error.strerror or error}") from None
    return path


def layout_of(net: Net, path: Path) -> str:
    """Layout that fits the file's ending; if several do, the one of the origin of the net's weights.

    Raises:
        WeightsError: No layout has this ending, or several have, and the net follows none of them.
    """
    name, endings = path.name.lower(), layouts()
    fitting = [layout for layout, known in endings.items() if name.endswith(known)]
    if not fitting:
        shown = ", ".join(dict.fromkeys(known[0] for known in endings.values()))
        raise WeightsError(f"weights are written to {shown}; got {path.name!r:.99}")
    if NATIVE in fitting or len(fitting) == 1:
        return fitting[0]
    follows = net.follows.partition("/")[0]
    if follows not in fitting:
        published = {row.origin for row in weights_of(net.card.name)}
        if not (choices := [layout for layout in fitting if layout in published]):
            raise WeightsError(f"no layout of {path.name} has {net.card.name}; native weights go to {native.ENDING}")
        raise WeightsError(f"choose the layout of {path.name} with {argument('layout')}: {', '.join(choices)}")
    return follows


def _refuse_other_nets(net: Net, layout: str) -> None:
    """Refuse a net that the origin does not have, or computes differently."""
    source, here = origin(layout), variant(net.card, net.follows)
    rows = [row for row in weights_of(net.card.name) if row.origin == layout]
    if not rows:
        raise WeightsError(f"{layout} has no {net.card.name}")
    if not any(source.builds(row, here) for row in rows):
        conventions = net.follows or "its card"
        raise WeightsError(
            f"{layout}'s {net.card.name} computes something else than this net, which follows the conventions "
            f"of {conventions}"
        )
    if genes := [locus for locus in native.describe(net).genes if locus not in RATES]:
        raise WeightsError(f"{layout}'s {net.card.name} has other genes at {', '.join(genes)}")
