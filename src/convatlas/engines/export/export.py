"""Export a net to a file, as a graph for other engines or as weights; the file is read back and compared."""

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
from convatlas.base.terminal.arguments import argument, spelled
from convatlas.engines.backends.onnxruntime import OnnxRuntime
from convatlas.engines.backends.openvino import OpenVINO
from convatlas.engines.export import openvino_ir
from convatlas.engines.export.graph import EXAMPLE, export_program, write_onnx
from convatlas.engines.export.metadata import DATA, metadata_of
from convatlas.engines.parity.reference import Deviation, Reference
from convatlas.engines.sample_inputs import NetInput, evaluation_copy, net_input, sample_inputs
from convatlas.engines.session import Session
from convatlas.genes.normalization import Standardize
from convatlas.nets.build import Size
from convatlas.nets.example_inputs import Shapes
from convatlas.nets.net import Net
from convatlas.weights import user_weights
from convatlas.weights.export import NATIVE, layout_of, layouts
from convatlas.weights.export import export as export_weights
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import COUNTER
from convatlas.weights.registry import origin
from convatlas.weights.user_weights import UserLineage, lineage_of

PHOTOS = 3
"""Number of photos on which a graph is compared with the net, in one batch and one by one."""

METADATA = "convatlas.json"
"""Name of the extra file in a .pt2 that holds the metadata."""

Writer = Callable[[Reference, NetInput, Path], None]


def export(
    net: nn.Module,
    file: str | Path,
    *,
    layout: str | None = None,
    size: Size | None = None,
    inputs: object = None,
    input_shape: Shapes | None = None,
) -> Path:
    """Write a net to a file, whole or not at all, and only if the file computes the same when it is read back.

    Graphs take any number of photos at a time, and contain the net's card, labels and preprocessing: .onnx for ONNX
    Runtime and most other programs, .xml (with a .bin beside it) for OpenVINO, .pt2 for PyTorch. Above 2 GB, the
    weights of NAME.onnx are in NAME.onnx.data beside it. A .pt2 is compared with eager mode in float64 and may differ
    by 1e-9 standard deviations of the outputs; .onnx and .xml in float32, by ten times eager mode's own error, which is
    its distance from float64. A net that cannot be computed in float64 (quantized layers) may differ by 1e-3 in every
    format. Files of weights must hold the same tensors when they are read back.

    Args:
        net: A net from `load` or `build`; for graphs any `torch.nn.Module` with one tensor as output. A net of your own
            that was trained here has native weights too.
        file: Path to write to; its ending selects the format: .onnx, .xml, .pt2, .safetensors, .weights.h5, .weights
            or .pth.
        layout: Layout of a file of weights: "native", "keras", "torchvision", "timm", "lite" or "darknet"; by
            default chosen by the ending, and for .pth by the origin of the net's weights.
        size: Height and width of a graph's photos, in pixels; by default those of the weights' preprocessing, or those
            the net was built for.
        inputs: A batch of what your own net takes if that is no photo: one tensor, of numbers or of tokens. The file is
            compared on it.
        input_shape: Shape of this tensor without the batch, such as (1, 16000), instead of its values.

    Returns:
        The path of the file.

    Raises:
        UnknownName: There is no such layout.
        WeightsError: The ending does not fit the layout, or the net of that origin computes something else.
        ConvAtlasError: A package is not installed, the net cannot be traced, an operation (which is named) has no
            counterpart in the format, the file computes something else, or the net is random in evaluation mode.
    """
    if not isinstance(net, nn.Module):
        raise ConvAtlasError(f"`export` takes a net from `load` or `build`, not {type(net).__name__}")
    if not isinstance(file, str | os.PathLike) or "\0" in str(file):
        raise ConvAtlasError(f"nets are written to a path; got {file!r:.100}")
    path = Path(file)
    ending = path.suffix.lower()
    if layout is not None and ending in GRAPHS:
        raise ConvAtlasError(f"{argument('layout')} is for files of weights, and {path.name!r:.99} is a graph")
    if size is not None and path.name.lower().endswith(_weight_endings()):
        raise ConvAtlasError(f"{argument('size')} is for graphs, and {path.name!r:.99} is a file of weights")
    if (inputs is not None or input_shape is not None) and ending not in GRAPHS:
        arguments = spelled("inputs= and input_shape= are", f"{argument('input_shape')} is")
        raise ConvAtlasError(f"{arguments} for graphs: {', '.join(GRAPHS)}; got {path.name!r:.99}")
    try:
        if ending in GRAPHS:
            twin = evaluation_copy(net)
            taken = net_input(twin, inputs=inputs, input_shape=input_shape, size=size)
            reference = Reference(twin, sample_inputs(twin, PHOTOS, taken))
            reference.check_repeatable()
            with whole(path, *COMPANIONS.get(ending, ())) as place:
                # The libraries that write the formats accept endings in lower case only.
                lower = place.with_suffix(ending)
                GRAPHS[ending](reference, taken, lower)
                lower.rename(place)
        else:
            _write_weights(net, path, layout)
    except OSError as error:
        raise ConvAtlasError(f"{str(path)!r:.300} cannot be written: {error.strerror or error}") from None
    return path


def _weight_endings() -> tuple[str, ...]:
    return tuple(dict.fromkeys(ending for group in layouts().values() for ending in group))


def _write_weights(net: nn.Module, path: Path, layout: str | None) -> None:
    endings = _weight_endings()
    if not path.name.lower().endswith(endings):
        raise WeightsError(f"graphs go to {', '.join(GRAPHS)}, weights to {', '.join(endings)}; got {path.name!r:.99}")
    if not isinstance(net, Net):
        _write_own_weights(net, path, layout)
        return
    with whole(path) as place:
        layout = layout_of(net, path) if layout is None else layout
        export_weights(net, place, layout=layout)
        _check_weights(net, place, layout)


def _write_own_weights(net: nn.Module, path: Path, layout: str | None) -> None:
    """Write the weights of a net of the user, as its training does."""
    lineage = lineage_of(net)
    if path.suffix.lower() != native.ENDING or layout not in (None, NATIVE) or not isinstance(lineage, UserLineage):
        raise ConvAtlasError(
            f"weights of your own net go to {native.ENDING} once it is trained here; its graph goes to "
            f"{', '.join(GRAPHS)}"
        )
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in net.state_dict().items()}
    with whole(path) as place:
        user_weights.write(weights, lineage, place)
        for name, tensor in user_weights.read(place)[0].items():
            if not torch.equal(tensor, weights[name]):
                raise WeightsError(f"{path.name} was not written: when read back, {name} differs from the net's")


def _onnx(reference: Reference, taken: NetInput, place: Path) -> None:
    _write_onnx(reference.net, taken, place)
    _check(reference, OnnxRuntime(place), place)


def _openvino(reference: Reference, taken: NetInput, place: Path) -> None:
    source = place.with_suffix(".onnx")
    metadata = _write_onnx(reference.net, taken, source)
    openvino_ir.save(source, metadata, place)
    for batch in (PHOTOS, 1):
        _check(reference, OpenVINO(place, batch), place)


def _write_onnx(net: nn.Module, taken: NetInput, place: Path) -> dict[str, str]:
    metadata = metadata_of(net, taken.shape)
    write_onnx(export_program(net, taken.example(EXAMPLE)), metadata, place)
    return metadata


def _pt2(reference: Reference, taken: NetInput, place: Path) -> None:
    metadata = json.dumps(metadata_of(reference.net, taken.shape), ensure_ascii=False)
    program = export_program(reference.net, taken.example(EXAMPLE))
    torch.export.save(program, place, extra_files={METADATA: metadata})
    module = torch.export.load(place).module()
    for rows in (slice(None), *(slice(n, n + 1) for n in range(PHOTOS))):
        _check_deviation(reference.program_deviation(module, rows), place)


def _check(reference: Reference, session: Session, place: Path) -> None:
    x = reference.x.numpy()
    _check_deviation(reference.deviation(session(x)), place)
    _check_deviation(reference.deviation(np.concatenate([session(x[n : n + 1]) for n in range(PHOTOS)])), place)


def _check_deviation(deviation: Deviation, place: Path) -> None:
    if not deviation.holds:
        raise ConvAtlasError(
            f"{place.name} was not written: its outputs differ from the net's by {deviation.error:.1e} standard "
            f"deviations; {deviation.bound:.1e} is allowed"
        )


def _check_weights(net: Net, place: Path, layout: str) -> None:
    """Refuse a file of weights whose tensors are not the net's."""
    tensors = native.read(place)[0] if layout == NATIVE else origin(layout).read(place, net)
    for name, tensor in net.state_dict().items():
        # For Keras, two normalizations of an EfficientNet are merged into one with another variance.
        if layout == "keras" and isinstance(net.get_submodule(name.rpartition(".")[0]), Standardize):
            continue
        if name.endswith(COUNTER) and name not in tensors:
            continue
        if not torch.equal(tensors[name].float(), tensor.float()):
            raise WeightsError(f"{place.name} was not written: when read back, {name} differs from the net's")


GRAPHS: dict[str, Writer] = {".onnx": _onnx, ".xml": _openvino, ".pt2": _pt2}
"""Functions that write the graph of a net and check the file, by its ending."""

COMPANIONS = {".onnx": (DATA,), ".xml": (".bin",)}
"""Endings of further files that may be written beside a graph, by its ending."""
