"""A net's weights as a file: our own, or as the code of their origin reads them."""

from __future__ import annotations

import os
from pathlib import Path

from convatlas.base.errors import ConvAtlasError, WeightsError, unknown
from convatlas.catalogue.lineages import ORIGINS, Weights, weights_of
from convatlas.genes.loci import RATES
from convatlas.nets.net import Net
from convatlas.weights import native
from convatlas.weights.lineages.registry import origin, variant
from convatlas.weights.state_io import finite

ENDINGS = {
    "own": (".safetensors",),
    "keras": (".weights.h5",),
    "torchvision": (".pth", ".pt", ".bin", ".safetensors"),
    "timm": (".safetensors", ".pth", ".pt", ".bin"),
    "lite": (".pth", ".pt", ".bin", ".safetensors"),
    "darknet": (".weights",),
}
"""Which layout is written to files of which ending."""


def export(net: Net, file: str | Path, *, layout: str | None = None) -> Path:
    """Writes a net's weights to a file, whole or not at all.

    Args:
        net: A net of the atlas.
        file: Where to; the ending says what: .safetensors, .weights.h5 or .pth.
        layout: "own" (all that `load` needs to build the net again is in the file), or for whose code it is written:
            "keras", "torchvision", "timm", "lite" or "darknet". If not said: by the ending, and
            for .pth the origin of the net's weights.

    Returns:
        The path of the file.

    Raises:
        ConvAtlasError: What is to be exported is no net of the atlas, or goes to what is no path.
        UnknownName: There is no such layout.
        WeightsError: The ending does not go with the layout, the origin's net computes otherwise than this one, the
            weights are no numbers that could be loaded again, or the file cannot be written.
    """
    if not isinstance(net, Net):
        raise ConvAtlasError(f"a net to export is what `load` or `build` gave, not {type(net).__name__}")
    if not isinstance(file, str | os.PathLike) or "\0" in str(file):
        raise ConvAtlasError(f"weights are written to a path; got {file!r:.100}")
    path = Path(file)
    if layout is None:
        layout = layout_of(net, path)
    if layout not in tuple(ENDINGS):
        raise unknown("layout", layout, ENDINGS)
    if not path.name.lower().endswith(ENDINGS[layout]):
        raise WeightsError(f"{layout} weights are written to {', '.join(ENDINGS[layout])}; got {path.name!r:.99}")
    if any(tensor.is_meta for tensor in net.state_dict().values()):
        raise WeightsError(f"this {net.card.name} has no weights yet, only their shapes")
    weights = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}
    finite(weights, f"the weights of this {net.card.name}")
    try:
        if layout == "own":
            native.write({name: tensor.clone() for name, tensor in weights.items()}, native.describe(net), path)
        else:
            _refuse_others(net, layout)
            origin(layout).save(net, path)
    except OSError as error:
        raise WeightsError(f"{str(path)!r:.300} cannot be written: {error.strerror or error}") from None
    return path


def layout_of(net: Net, path: Path) -> str:
    """The layout that a file's ending and the net's origin speak for."""
    ending = path.suffix.lower()
    if path.name.lower().endswith(".weights.h5"):
        return "keras"
    if ending == ".safetensors":
        return "own"
    if ending == ".weights":
        return "darknet"
    if ending not in ENDINGS["torchvision"]:
        raise WeightsError(f"weights are written to .safetensors, .weights.h5, .weights or .pth; got {path.name!r:.99}")
    follows = net.follows.partition("/")[0]
    if ".pth" not in ENDINGS.get(follows, ()):
        torch_origins = [name for name in ORIGINS if ".pth" in ENDINGS[name]]
        raise WeightsError(f"say for whom {path.name} is written (layout=): {', '.join(torch_origins)}")
    return follows


def _refuse_others(net: Net, layout: str) -> None:
    """The origin's net must compute what this one does."""
    here = variant(net.card, net.follows)
    rows: list[Weights] = [row for row in weights_of(net.card.name) if row.origin == layout]
    if not rows:
        raise WeightsError(f"{layout} has no {net.card.name}")
    # Keras builds the cards' own nets too; only some that it has weights of are made otherwise.
    if all(origin(layout).variant(row) != here for row in rows) and not (layout == "keras" and not here):
        whose = net.follows or "the card's own"
        raise WeightsError(f"{layout}'s {net.card.name} computes otherwise than this net, which follows {whose}")
    if genes := [locus for locus in native.describe(net).genes if locus not in RATES]:
        raise WeightsError(f"{layout}'s {net.card.name} has other genes at {', '.join(genes)}")
