"""A net as a file: its graph for other engines, or its weights; read back and compared before it has its name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from convatlas.base.atomic import whole
from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.engines.backends import onnxruntime, openvino
from convatlas.engines.backends.session import Session
from convatlas.engines.export.graph import exported, onnx_bytes
from convatlas.engines.export.metadata import describe
from convatlas.engines.parity import Agreement, Eager, doubled
from convatlas.engines.sample_inputs import ready, shape_of, trial
from convatlas.genes.normalization import Standardize
from convatlas.nets.build import Size
from convatlas.nets.net import Net
from convatlas.weights.export import NATIVE, layout_of, layouts
from convatlas.weights.export import export as export_weights
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import COUNTER
from convatlas.weights.registry import origin

PHOTOS = 3
"""That a file is compared on; one by itself is tried too."""

METADATA = "convatlas.json"
"""In a .pt2, where its description stands."""

Writer = Callable[[nn.Module, tuple[int, ...], Path], None]


def export(net: nn.Module, file: str | Path, *, layout: str | None = None, size: Size | None = None) -> Path:
    """Writes a net to a file, whole or not at all; done only when what was read back computes the same.

    Graphs run any number of photos at a time, and carry the net's card, labels and preprocessing: .onnx for ONNX
    Runtime and most others, .xml (with a .bin beside it) for OpenVINO, .pt2 for PyTorch. A .pt2 agrees with eager in
    float64 to 1e-9 of the outputs' deviation; an .onnx and .xml in float32 to ten times eager's own error there.
    Files of weights are those of `weights/export.py`; the tensors that are read back are equal.

    Args:
        net: What `load` or `build` gave; for graphs any `torch.nn.Module` that gives one tensor.
        file: Where to; the ending says what: .onnx, .xml, .pt2, .safetensors, .weights.h5, .weights or .pth.
        layout: Of weights: "native", or for whose code they are written: "keras", "torchvision", "timm", "lite" or
            "darknet". If not said: by the ending, and for .pth the origin of the net's weights.
        size: Of a graph's photos, in pixels; as its weights prepare them, or as the net was built, if not said.

    Returns:
        The path of the file.

    Raises:
        UnknownName: There is no such layout.
        WeightsError: The ending does not go with the layout, or the origin's net computes otherwise than this one.
        ConvAtlasError: A package is not installed, the net cannot be followed, has no counterpart in the format (the
            operation is named), or does not compute the same from the file.
    """
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"a net to export is what `load` or `build` gave, not {type(net).__name__}")
    if not isinstance(file, str | os.PathLike) or "\0" in str(file):
        raise ConvAtlasError(f"nets are written to a path; got {file!r:.100}")
    path = Path(file)
    ending = path.suffix.lower()
    if layout is not None and ending in GRAPHS:
        raise ConvAtlasError(f"a layout is for files of weights; {path.name!r:.99} holds a graph")
    try:
        if ending in GRAPHS:
            with whole(path, *OTHERS.get(ending, ())) as place:
                # The formats' own programs know their endings in lower case only.
                lower = place.with_suffix(ending)
                GRAPHS[ending](ready(net), shape_of(net, size), lower)
                lower.rename(place)
        else:
            _write_weights(net, path, layout)
    except OSError as error:
        raise ConvAtlasError(f"{str(path)!r:.300} cannot be written: {error.strerror or error}") from None
    return path


def _write_weights(net: nn.Module, path: Path, layout: str | None) -> None:
    endings = tuple(dict.fromkeys(ending for known in layouts().values() for ending in known))
    if not path.name.lower().endswith(endings):
        raise WeightsError(f"graphs go to {', '.join(GRAPHS)}, weights to {', '.join(endings)}; got {path.name!r:.99}")
    if not isinstance(net, Net):
        raise ConvAtlasError(
            f"only nets of the atlas have files of weights here; the graph goes to {', '.join(GRAPHS)}"
        )
    with whole(path) as place:
        layout = layout_of(net, path) if layout is None else layout
        export_weights(net, place, layout=layout)
        _read_back(net, place, layout)


def _onnx(net: nn.Module, shape: tuple[int, ...], place: Path) -> None:
    _write_onnx(net, shape, place)
    _check(net, shape, onnxruntime.OnnxRuntime(place), place)


def _openvino(net: nn.Module, shape: tuple[int, ...], place: Path) -> None:
    source = place.with_suffix(".onnx")
    metadata = _write_onnx(net, shape, source)
    openvino.save(source, metadata, place)
    for batch in (PHOTOS, 1):
        _check(net, shape, openvino.OpenVINO(place, batch), place)


def _write_onnx(net: nn.Module, shape: tuple[int, ...], place: Path) -> dict[str, str]:
    metadata = describe(net, shape)
    place.write_bytes(onnx_bytes(exported(net, shape), metadata))
    return metadata


def _pt2(net: nn.Module, shape: tuple[int, ...], place: Path) -> None:
    metadata = describe(net, shape)
    torch.export.save(exported(net, shape), place, extra_files={METADATA: json.dumps(metadata, ensure_ascii=False)})
    eager = Eager(net, trial(net, PHOTOS, shape))
    read = doubled(torch.export.load(place).module())
    with torch.no_grad():
        found = [read(eager.x.double()).numpy(), *(read(one[None]).numpy() for one in eager.x.double())]
    for y in (found[0], np.concatenate(found[1:])):
        _demand(eager.exact(y), place)


def _check(net: nn.Module, shape: tuple[int, ...], session: Session, place: Path) -> None:
    eager = Eager(net, trial(net, PHOTOS, shape))
    x = eager.x.numpy()
    _demand(eager.agreement(session(x)), place)
    _demand(eager.agreement(np.concatenate([session(x[n : n + 1]) for n in range(PHOTOS)])), place)


def _demand(found: Agreement, place: Path) -> None:
    if not found.holds:
        raise ConvAtlasError(
            f"{place.name} was not written: what it computes is {found.error:.1e} deviations from what the net "
            f"computes, and {found.bound:.1e} is allowed"
        )


def _read_back(net: Net, place: Path, layout: str) -> None:
    """Refuses a file of weights whose tensors are not the net's."""
    found = native.read(place)[0] if layout == NATIVE else origin(layout).tensors(place, net)
    for name, tensor in net.state_dict().items():
        # For Keras the steps in front of an EfficientNet become one, whose statistics are others: the logits are equal.
        if layout == "keras" and isinstance(net.get_submodule(name.rpartition(".")[0]), Standardize):
            continue
        if not (name.endswith(COUNTER) and name not in found) and not torch.equal(found[name].float(), tensor.float()):
            raise WeightsError(f"{place.name} was not written: {name} is not what the net has when it is read back")


GRAPHS: dict[str, Writer] = {".onnx": _onnx, ".xml": _openvino, ".pt2": _pt2}
"""Who writes and checks the graph of a net, by the file's ending."""

OTHERS = {".xml": (".bin",)}
"""Endings of the files that come with one of these."""
