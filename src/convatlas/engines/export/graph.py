"""A net as a graph: what `torch.export` makes of it, and that as ONNX."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.base.extras import needed
from convatlas.base.untouched import evaluating

OPSET = 20
"""Of the ONNX files: the first one that has GELU as an operation of its own."""

CHATTY = (
    "torch.onnx",
    "torch.export",
    "torch.utils.cpp_extension",
    "torch._inductor.package.package",
    "onnxscript",
    "onnx_ir",
)

INPUT, OUTPUT = "photos", "outputs"
EXAMPLE = 2
"""Photos to trace with: one would be taken for a constant."""


def exported(net: nn.Module, shape: tuple[int, ...]) -> ExportedProgram:
    """The program of a net on the CPU in float32, for any number of inputs of `shape`.

    Raises:
        ConvAtlasError: PyTorch cannot follow what the net does; says where.
    """
    example = torch.zeros(EXAMPLE, *shape)
    with evaluating(net), quiet(), torch.no_grad():
        try:
            return torch.export.export(net, (example,), dynamic_shapes=({0: Dim("batch", min=1)},))
        # What `torch.export` raises about others' code is anything at all.
        except Exception as error:
            raise ConvAtlasError(f"{type(net).__name__} cannot be exported: {said(error)}") from None


def onnx_bytes(program: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    """An ONNX file of a program, with `metadata`; its input is called "photos", its output "outputs".

    Raises:
        ConvAtlasError: There is no ONNX for an operation, which is named; or the exporter is not installed.
    """
    needed("onnx")
    needed("onnxscript")
    import onnx

    with quiet():
        try:
            made = torch.onnx.export(
                _with_plain_pools(program),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
        # An exporter's errors have many classes, and their causes say what is missing.
        except Exception as error:
            root: BaseException = error
            while root.__cause__ is not None:
                root = root.__cause__
            raise ConvAtlasError(f"the net has no ONNX: {' '.join(str(root).split())[:300]}") from None
    assert made is not None
    model = made.model_proto
    onnx.helper.set_model_props(model, dict(metadata) | {"opset": str(OPSET)})
    file = io.BytesIO()
    onnx.save_model(model, file)
    return file.getvalue()


def _with_plain_pools(program: ExportedProgram) -> ExportedProgram:
    """The same program with averages in the place of sums over windows, which ONNX lacks: its exporter drops the 1."""
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


@contextmanager
def quiet() -> Iterator[None]:
    """Without the remarks that exporters and compilers make on the way."""
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(action="ignore"):
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def answers(net: nn.Module, x: Tensor) -> Tensor:
    """What a net puts out for `x`, in evaluation mode, without gradients.

    Raises:
        SizeError: It cannot take such inputs; says what it said.
        ConvAtlasError: It gives something else than one tensor, of a row for each photo.
    """
    with evaluating(net), torch.no_grad():
        try:
            y: Any = net(x)
        # What a net of the user's own raises is anything at all.
        except Exception as error:
            shape = " x ".join(map(str, x.shape[1:]))
            raise SizeError(f"{type(net).__name__} cannot take an input of {shape}: {said(error)}") from None
    if not isinstance(y, Tensor):
        raise ConvAtlasError(f"an engine runs nets that give one tensor; {type(net).__name__} gives {type(y).__name__}")
    if y.dim() == 0 or len(y) != len(x) or y.numel() == 0:
        raise ConvAtlasError(
            f"an engine runs nets that give a row for each photo; {type(net).__name__} gives {tuple(y.shape)} "
            f"for {len(x)} photos"
        )
    return y


def said(error: Exception) -> str:
    """An error of others' code in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
