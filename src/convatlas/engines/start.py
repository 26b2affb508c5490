"""From a folder with a net's files and a setting to a session."""

from __future__ import annotations

from pathlib import Path

from convatlas.engines.backends.session import Session
from convatlas.engines.options import Setting

GRAPH = "net.onnx"
"""In a net's folder: its graph in float32."""


def quantized(folder: Path, setting: Setting) -> Path:
    """Where the graph in int8 is, with the ranges that the setting names."""
    return folder / f"int8-{setting.ranges}.xml"


def start(folder: Path, setting: Setting) -> Session:
    """The session of an engine other than eager; torch is imported for the compiled one only.

    Raises:
        ConvAtlasError: The engine is not installed, or refuses the net.
    """
    if setting.engine == "onnxruntime":
        from convatlas.engines.backends.onnxruntime import OnnxRuntime

        return OnnxRuntime(folder / GRAPH)
    if setting.engine == "openvino":
        from convatlas.engines.backends.openvino import OpenVINO

        file = quantized(folder, setting) if setting.precision == "int8" else folder / GRAPH
        return OpenVINO(file, setting.batch, setting.precision, setting.streams)
    from convatlas.engines.backends.aot_inductor import Compiled, compile_package, package

    file = package(folder, setting.batch)
    if not file.is_file():
        compile_package(folder, setting.batch)
    return Compiled(file, setting.batch)
