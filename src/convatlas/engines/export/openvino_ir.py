"""Read OpenVINO models from .onnx and .xml files, and write them as .xml with our metadata. Needs no torch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError
from convatlas.base.extras import require

if TYPE_CHECKING:
    import openvino

SECTION = "convatlas"
"""Section of the file's run-time information that holds our metadata."""


@functools.cache
def core() -> openvino.Core:
    """Return OpenVINO's `Core`, created once in a process."""
    require("openvino")
    import openvino

    return openvino.Core()


def capabilities() -> tuple[str, ...]:
    """Number formats with instructions in this CPU: "FP32", "BF16", "INT8", ..."""
    return tuple(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def read(file: Path, batch: int | None = None) -> openvino.Model:
    """Read the model in an .onnx or .xml file, for a fixed batch size, or for any if None.

    Raises:
        ConvAtlasError: OpenVINO is not installed, or cannot read the file, for example an operation in it.
    """
    try:
        model = core().read_model(str(file))
        if batch is not None:
            shape = model.input().partial_shape
            shape[0] = batch
            model.reshape(shape)
    except RuntimeError as error:
        raise refusal(file, error) from None
    return model


def refusal(file: Path, error: RuntimeError) -> ConvAtlasError:
    """Return OpenVINO's error about a file as ours, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Exception from" not in line]
    return ConvAtlasError(f"OpenVINO refuses {file.name}: {' '.join(lines)[:300]}")


def save(source: Path, metadata: Mapping[str, str], file: Path) -> None:
    """Write the model of an .onnx file as .xml and .bin, with `metadata` in it and all weights in float32."""
    model = read(source)
    import openvino

    for name, value in metadata.items():
        model.set_rt_info(value, [SECTION, name])
    openvino.save_model(model, str(file), compress_to_fp16=False)
