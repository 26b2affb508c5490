"""Export a net as a graph: a program of `torch.export`, and its translation to ONNX."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from convatlas.base.errors import ConvAtlasError, SizeError, first_line
from convatlas.base.extras import require
from convatlas.base.terminal.quiet import quiet
from convatlas.base.untouched import evaluating

OPSET = 20
"""Version of ONNX's operator set: the first one that has GELU."""

LARGEST = 2**31 - 2**26
"""Bytes of weights in one ONNX file, which with its graph may have less than 2^31."""

INPUT, OUTPUT = "photos", "outputs"
EXAMPLE = 2
"""Batch size of the example for tracing; `torch.export` would treat 1 as a constant."""


def export_program(net: nn.Module, example: Tensor) -> ExportedProgram:
    """Export a net on the CPU in float32, for any number of inputs like the two of `example`, (2, ...).

    Raises:
        ConvAtlasError: PyTorch cannot trace the net; the text quotes its error.
    """
    # PyTorch prints the graph that it has so far if it cannot go on.
    with evaluating(net), quiet(), redirect_stderr(io.StringIO()), torch.no_grad():
        try:
            return torch.export.export(net, (example,), dynamic_shapes=({0: Dim("batch", min=1)},))
        # `torch.export` raises nearly anything for code that it cannot trace.
        except Exception as error:
            raise ConvAtlasError(f"{type(net).__name__} cannot be exported: {first_line(error)}") from None


def write_onnx(program: ExportedProgram, metadata: Mapping[str, str], file: Path) -> None:
    """Write a program as an ONNX file with `metadata`, input "photos" and output "outputs".

    A graph whose weights take more than `LARGEST` bytes has them in a second file, of the same name with `.data` added.

    Raises:
        ConvAtlasError: An operation, which is named, has no counterpart in ONNX; or the exporter is not installed.
    """
    require("onnx")
    require("onnxscript")
    with quiet():
        try:
            exported = torch.onnx.export(
                _with_plain_pools(program),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
        # The exporter's errors have many classes; the innermost cause names the operation.
        except Exception as error:
            root: BaseException = error
            while root.__cause__ is not None:
                root = root.__cause__
            raise ConvAtlasError(f"the net cannot be exported to ONNX: {' '.join(str(root).split())[:300]}") from None
    assert exported is not None
    exported.model.metadata_props.update(dict(metadata) | {"opset": str(OPSET)})
    weights = (value.const_value for value in exported.model.graph.initializers.values())
    size = sum(weight.nbytes for weight in weights if weight is not None)
    exported.save(file, external_data=size > LARGEST)


def _with_plain_pools(program: ExportedProgram) -> ExportedProgram:
    """Replace average pooling with a divisor by scaled means: ONNX has none, and its exporter drops it silently."""
    graph = program.graph
    for node in list(graph.nodes):
        if node.target is not torch.ops.aten.avg_pool2d.default or len(node.args) < 7 or node.args[6] is None:
            continue
        kernel, divisor = node.args[1], node.args[6]
        area = kernel[0] * kernel[-1]
        node.args = (*node.args[:5], True)
        with graph.inserting_after(node):
            scaled = graph.call_function(torch.ops.aten.mul.Tensor, (node, area / divisor))
        scaled.meta = dict(node.meta)
        node.replace_all_uses_with(scaled, delete_user_cb=lambda user, scaled=scaled: user is not scaled)
    graph.lint()
    program.graph_module.recompile()
    return program


def outputs_of(net: nn.Module, x: Tensor) -> Tensor:
    """Run a net on `x` in evaluation mode, without gradients.

    Raises:
        SizeError: The net raises an error for such inputs; the text quotes it.
        ConvAtlasError: The output is not one tensor with a row for each photo.
    """
    with evaluating(net), torch.no_grad():
        try:
            # A copy, since the net may change its input in place.
            y: Any = net(x.clone())
        # A net of the user may raise anything.
        except Exception as error:
            shape = " x ".join(map(str, x.shape[1:]))
            raise SizeError(f"{type(net).__name__} cannot take an input of {shape}: {first_line(error)}") from None
    if not isinstance(y, Tensor):
        raise ConvAtlasError(f"an engine runs nets that give one tensor; {type(net).__name__} gives {type(y).__name__}")
    if y.dim() == 0 or len(y) != len(x) or y.numel() == 0:
        raise ConvAtlasError(
            f"an engine runs nets that give a row for each photo; {type(net).__name__} gives {tuple(y.shape)} "
            f"for {len(x)} photos"
        )
    return y
