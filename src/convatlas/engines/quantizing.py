"""int8 by NNCF's post-training quantization, in a process of its own.

A net in int8 is only as good as the ranges that its numbers were given. Each convolution's weights get a range a
channel, since those of depthwise ones differ much between channels; each map gets one from photos that are prepared as
the net wants them; biases are corrected for what rounding shifts. Layer normalization, GELU, softmax and all routing
stay in float32. Where too few answers agree with float32's, the layers that harm most are put back (accuracy control).

`python -m convatlas.engines.quantizing SPECIFICATION` is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.base.atomic import whole
from convatlas.base.errors import ConvAtlasError
from convatlas.engines.agreeing import LEAST, agreement
from convatlas.engines.missing import needed
from convatlas.engines.session import Photos

FLOAT = ("MVN", "Gelu", "SoftMax", "Softmax", "LogSoftmax")
"""Operations of OpenVINO that stay in float32: what normalizes a layer is MVN there."""

ROUTING = ("MatMul", "Add", "Subtract", "Multiply", "Divide", "ReduceSum", "ReduceMean", "Sqrt", "Power", "Squeeze")
"""Those that stay so as well in nets that route: all but the convolutions."""


def quantize(graph: Path, file: Path, calibration: Photos, proof: Photos, *, routes: bool) -> None:
    """Writes the graph of an .onnx file in int8 as .xml and .bin, whole or not at all.

    Args:
        graph: The net in float32.
        file: Where to; its ending is .xml.
        calibration: Prepared photos from which the ranges come.
        proof: Others, on which answers are compared.
        routes: Whether the net is of capsules.

    Raises:
        ConvAtlasError: NNCF is not installed, or fails.
    """
    needed("nncf")
    needed("openvino")
    with tempfile.TemporaryDirectory() as folder, whole(file, ".bin") as place:
        sources = [Path(folder) / "calibration.npy", Path(folder) / "proof.npy"]
        for source, photos in zip(sources, (calibration, proof), strict=True):
            np.save(source, photos)
        told = json.dumps([str(graph), str(place), *map(str, sources), routes])
        done = subprocess.run(
            [sys.executable, "-m", "convatlas.engines.quantizing", told],
            # What NNCF would otherwise tell its makers stays here.
            env=os.environ | {"NNCF_CI": "1"},
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode:
            line = (done.stderr.strip().splitlines() or [f"it died of signal {-done.returncode}"])[-1]
            raise ConvAtlasError(f"NNCF cannot quantize this net: {line[:300]}")


def main() -> None:
    """Quantizes; and with accuracy control if that alone is not enough."""
    graph, target, calibration, proof, routes = json.loads(sys.argv[1])
    import nncf
    import openvino

    photos = [part[None] for part in np.load(proof)]
    seen = [part[None] for part in np.load(calibration)]
    ranges = nncf.Dataset(seen)
    ignored = nncf.IgnoredScope(types=[*FLOAT, *(ROUTING if routes else ())], validate=False)
    right = _answers(openvino.compile_model(_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}), photos)
    made = nncf.quantize(
        _model(graph), ranges, preset=nncf.QuantizationPreset.MIXED, subset_size=len(seen), ignored_scope=ignored
    )
    compiled = openvino.compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    if not agreement(right, _answers(compiled, photos)).holds:

        def validate(model: Any, data: Iterable[Photos]) -> float:
            return agreement(right, _answers(model, list(data))).share

        made = nncf.quantize_with_accuracy_control(
            _model(graph),
            ranges,
            nncf.Dataset(photos),
            validate,
            max_drop=1 - LEAST,
            drop_type=nncf.DropType.ABSOLUTE,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(seen),
            ignored_scope=ignored,
        )
    openvino.save_model(made, target, compress_to_fp16=False)


def _model(graph: str) -> Any:
    from convatlas.engines.openvino import read

    model = read(Path(graph))
    shape = model.input().partial_shape
    shape[0] = 1
    model.reshape(shape)
    return model


def _answers(compiled: Any, photos: Iterable[Photos]) -> Photos:
    return np.concatenate([compiled(photo)[0] for photo in photos])


if __name__ == "__main__":
    main()
